"""Evaluates scores that somebody recorded: the same figures, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tts_bench.dataset.ranked import RankedProblem
from tts_bench.dataset.rows import Row
from tts_bench.dataset.step_labels import StepLabels
from tts_bench.types import Score
from tts_bench.verifier.base import VerifierInfo
from tts_bench.verifier_eval.evaluation import Judged, evaluate
from tts_bench.verifier_eval.measures import Choices, Evaluation
from tts_bench.verifier_eval.output import EvaluationResult
from tts_bench.verifier_eval.ranked import candidate_row, rank, ranked_data, recorded_scores

NAME = "recorded"
"""What stands for a verifier on the command line where its scores stand in the data."""
_LEAST = "answers are scored by the lowest of their recorded steps"


def recorded_ranks(
    problems: Sequence[RankedProblem], source: str, choices: Choices, limit: int | None
) -> EvaluationResult:
    """How often recorded scores put the right candidate first. Raises UsageError without scores."""
    problems = problems[:limit]
    ranked = recorded_scores(problems, source)
    rows = [
        {
            **candidate_row(problem, i),
            "score": None if score.steps else score.value,
            "steps": score.steps,
        }
        for problem, scores in zip(problems, ranked, strict=True)
        for i, score in enumerate(scores.scores)
    ]
    return _result(ranked_data(problems, source, limit), choices, rank(ranked), rows)


def recorded_labels(
    source: StepLabels, rows: Sequence[Row], choices: Choices, limit: int | None
) -> EvaluationResult:
    """Every figure of recorded step scores on labelled solutions. Raises as `read_scored` does."""
    scored = source.read_scored(rows)[:limit]
    judged = [Judged(solution, Score(min(steps), steps)) for solution, steps in scored]
    done = evaluate(judged, choices)
    done.notes.append(_LEAST)
    data = {
        **asdict(source),
        "name": Path(source.source).name,
        "texts": len(scored),
        "problems": len({solution.problem_id for solution, _ in scored}),
        "steps": sum(len(steps) for _, steps in scored),
        "limit": limit,
    }
    lines = [
        {
            "id": solution.id,
            "problem": solution.problem_id,
            "labels": list(solution.labels),
            "first_error": solution.first_error,
            "correct": solution.correct,
            "steps": list(steps),
        }
        for solution, steps in scored
    ]
    return _result(data, choices, done, lines)


def _result(
    data: Mapping[str, Any],
    choices: Choices,
    evaluation: Evaluation,
    scores: Sequence[Mapping[str, Any]],
) -> EvaluationResult:
    return EvaluationResult(
        name="recorded scores",
        settings={},
        verifier_info=VerifierInfo("recorded scores"),
        data=data,
        choices=choices,
        evaluation=evaluation,
        spent=None,
        failures=[],
        scores=scores,
    )
