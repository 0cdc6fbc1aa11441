"""Evaluates scores that somebody recorded: the same figures, without a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tts_bench.dataset.ranked import RankedProblem
from tts_bench.dataset.row import Row
from tts_bench.dataset.step_labels import StepLabels
from tts_bench.errors import UsageError
from tts_bench.report.points.scope import read_scope
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt, Problem, Score
from tts_bench.verifier.base import VerifierInfo
from tts_bench.verifier_eval.evaluation import Judged, evaluate
from tts_bench.verifier_eval.measures import Choices, Evaluation
from tts_bench.verifier_eval.output import EvaluationResult
from tts_bench.verifier_eval.ranked import (
    RankedScores,
    candidate_row,
    rank,
    ranked_data,
    recorded_scores,
)
from tts_bench.verifier_eval.rendering import given
from tts_bench.verifier_eval.selection import At, DrawnPool, select

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


def recorded_run(run: RunStore, choices: Choices, limit: int | None) -> EvaluationResult:
    """Best-of-n, votes and AUC of the scores that a run's candidates have.

    Where exactly one candidate of each problem is right, also how often it is scored highest. Of
    several ways of scoring the first cell's counts. Raises UsageError for a run without scores.
    """
    drawn = _scored_attempts(run)
    kept = set(list(dict.fromkeys(one.problem for one in drawn))[:limit])
    drawn = [one for one in drawn if one.problem in kept]
    selection = select([_drawn(one) for one in drawn], choices)
    evaluation = selection.evaluation
    manifest = run.read_manifest()
    without = len(manifest.problems) - len(kept)
    if without and limit is None:
        evaluation.notes.append(f"{without} problems have no candidates with scores; left out")
    if all(one.pool.correct.count(True) == 1 < len(one.pool) for one in drawn):
        ranked = [
            RankedScores(one.problem, one.pool.correct.index(True), _scores(one)) for one in drawn
        ]
        first = rank(ranked, own="as the run has them")
        evaluation.figures[:0] = first.figures
        evaluation.notes += first.notes
    rows = [
        {
            "problem": one.problem,
            "seed": one.seed,
            "candidate": i,
            "correct": one.pool.correct[i],
            "score": score.value,
            "steps": score.steps,
        }
        for one in drawn
        for i, score in enumerate(_scores(one))
    ]
    data = {
        "run": str(run.folder),
        "name": f"{manifest.suite} ({manifest.engine.model})",
        "texts": len(rows),
        "problems": len(kept),
        "limit": limit,
    }
    return _result(data, choices, evaluation, rows, selection.lines)


def _scored_attempts(run: RunStore) -> list[Attempt]:
    """The attempts of the first flat cell whose candidates have scores."""
    pooled = [cell.id for cell in read_scope(run).cells if cell.pooled]
    found: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in run.attempts():
        if (
            attempt.cell in pooled
            and len(attempt.pool)
            and len(attempt.pool.score) == len(attempt.pool)
        ):
            found[attempt.cell].append(attempt)
    cell = next((cell for cell in pooled if cell in found), None)
    if cell is None:
        raise UsageError(
            f"{run.folder}: no pool of candidates with scores; name a verifier for that"
        )
    return found[cell]


def _drawn(attempt: Attempt) -> DrawnPool:
    pool = attempt.pool
    return DrawnPool(
        Problem(attempt.problem, ""),
        attempt.seed,
        tuple(given(i, "") for i in range(len(pool))),
        pool.answer_class,
        pool.correct,
        pool.score,
    )


def _scores(attempt: Attempt) -> tuple[Score, ...]:
    pool = attempt.pool
    steps = pool.steps if len(pool.steps) == len(pool) else ((),) * len(pool)
    return tuple(map(Score, pool.score, steps))


def _result(
    data: Mapping[str, Any],
    choices: Choices,
    evaluation: Evaluation,
    scores: Sequence[Mapping[str, Any]],
    lines: Mapping[str, Sequence[At]] | None = None,
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
        lines=lines or {},
    )
