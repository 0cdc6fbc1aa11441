"""Evaluates a verifier on labelled solutions, or on the candidates of a finished run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts_bench.dataset.ranked import RankedProblem
from tts_bench.dataset.row import Row
from tts_bench.dataset.step_labels import LabelledSolution, StepLabels
from tts_bench.errors import UsageError
from tts_bench.progress import Progress
from tts_bench.store.runs import RunStore
from tts_bench.suite.registry import Registry
from tts_bench.types import Score
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.confidence import ConfidenceVerifier
from tts_bench.verifier_eval.evaluation import Judged, evaluate
from tts_bench.verifier_eval.measures import Choices
from tts_bench.verifier_eval.output import EvaluationResult
from tts_bench.verifier_eval.ranked import (
    candidate_row,
    complete,
    rank,
    ranked_data,
    write_candidates,
)
from tts_bench.verifier_eval.rendering import write
from tts_bench.verifier_eval.scoring import Outcome, Setting, scorer
from tts_bench.verifier_eval.selection import read_pools, scored, select


@dataclass(frozen=True)
class EvaluationJob:
    """Settings of an evaluation, the same for labelled solutions and for runs."""

    setting: Setting
    generations: Path
    """The store that keeps the scores; with it an evaluation that was stopped goes on."""
    choices: Choices
    progress: Progress
    replay: bool = False
    limit: int | None = None


async def verify_labels(
    job: EvaluationJob, source: StepLabels, rows: Sequence[Row] | None = None
) -> EvaluationResult:
    """Every figure on step-labelled solutions. Raises UsageError if there can be none."""
    _refuse_confidence(job)
    solutions = source.read(rows)[: job.limit]
    async with scorer(job.setting, job.generations, job.progress, replay=job.replay) as started:
        texts = write(solutions, job.setting.delimiter, started.tokenizer)
        asked = [(one.problem, one.candidate) for one in texts.written]
        outcomes, spent = await started.score(asked, job.progress)
    written = [one.solution for one in texts.written]
    judged = [
        Judged(solution, outcome.score)
        for solution, outcome in zip(written, outcomes, strict=True)
        if isinstance(outcome, Scoring)
    ]
    failures = _failures([one.id for one in written], outcomes)
    evaluation = evaluate(judged, job.choices)
    if texts.mended:
        evaluation.notes.append(
            f"{texts.mended} solutions have steps that held the delimiter "
            f"{job.setting.delimiter!r}, which was taken out of them"
        )
    return EvaluationResult(
        name=job.setting.name,
        settings=job.setting.block,
        verifier_info=started.verifier_info,
        data={
            **asdict(source),
            "name": Path(source.source).name,
            "texts": len(solutions),
            "problems": len({one.problem_id for one in solutions}),
            "steps": sum(len(one.steps) for one in solutions),
            "limit": job.limit,
        },
        choices=job.choices,
        evaluation=evaluation,
        spent=spent,
        failures=[*texts.unwritten, *failures],
        scores=_rows(written, outcomes, _labelled_row),
    )


async def verify_ranked(
    job: EvaluationJob, problems: Sequence[RankedProblem], source: str
) -> EvaluationResult:
    """How often the right candidate is ranked first. Raises UsageError if that cannot be told."""
    _refuse_confidence(job)
    problems = problems[: job.limit]
    async with scorer(job.setting, job.generations, job.progress, replay=job.replay) as started:
        texts, places = write_candidates(problems, job.setting.delimiter, started.tokenizer, source)
        asked = [(one.problem, one.candidate) for one in texts.written]
        outcomes, spent = await started.score(asked, job.progress)
    failures = _failures([one.solution.id for one in texts.written], outcomes)
    scores = {
        place: outcome.score
        for place, outcome in zip(places, outcomes, strict=True)
        if isinstance(outcome, Scoring)
    }
    ranked = complete(problems, scores)
    evaluation = rank(ranked, own="as the verifier scores")
    if left := len(problems) - len(ranked):
        evaluation.notes.append(f"{left} problems are left out: a candidate of them has no score")
    return EvaluationResult(
        name=job.setting.name,
        settings=job.setting.block,
        verifier_info=started.verifier_info,
        data=ranked_data(problems, source, job.limit),
        choices=job.choices,
        evaluation=evaluation,
        spent=spent,
        failures=[*texts.unwritten, *failures],
        scores=_rows(places, outcomes, lambda place: candidate_row(problems[place[0]], place[1])),
    )


def _refuse_confidence(job: EvaluationJob) -> None:
    if isinstance(job.setting.verifier, ConfidenceVerifier):
        raise UsageError(
            "confidence reads the log-probabilities of the policy's draws, which labelled "
            "solutions do not have; evaluate it on a run's folder"
        )


async def verify_run(job: EvaluationJob, run: RunStore, registry: Registry) -> EvaluationResult:
    """Best-of-n, votes and AUC on a run's candidates. Raises UsageError if it has none."""
    pools = read_pools(run, registry)
    if job.limit is not None:
        kept = set(list(dict.fromkeys(one.problem.id for one in pools))[: job.limit])
        pools = [one for one in pools if one.problem.id in kept]
    asked = [(drawn.problem, one) for drawn in pools for one in drawn.candidates]
    async with scorer(job.setting, job.generations, job.progress, replay=job.replay) as started:
        outcomes, spent = await started.score(asked, job.progress)
    places = [
        {
            "problem": drawn.problem.id,
            "seed": drawn.seed,
            "candidate": candidate.id,
            "correct": correct,
        }
        for drawn in pools
        for candidate, correct in zip(drawn.candidates, drawn.correct, strict=True)
    ]
    names = [f"{one['problem']}, candidate {one['candidate']}" for one in places]
    failures = _failures(names, outcomes)
    selection = select(scored(pools, outcomes), job.choices)
    manifest = run.read_manifest()
    without = len(manifest.problems) - len({one.problem.id for one in pools})
    if without and job.limit is None:
        selection.evaluation.notes.append(
            f"{without} problems of the run have no candidates and are left out"
        )
    return EvaluationResult(
        name=job.setting.name,
        settings=job.setting.block,
        verifier_info=started.verifier_info,
        data={
            "run": str(run.folder),
            "name": f"{manifest.suite} ({manifest.engine.model})",
            "texts": len(asked),
            "problems": len({one.problem.id for one in pools}),
            "limit": job.limit,
        },
        choices=job.choices,
        evaluation=selection.evaluation,
        spent=spent,
        failures=failures,
        scores=_rows(places, outcomes, dict),
        lines=selection.lines,
    )


def _failures(names: Sequence[str], outcomes: Sequence[Outcome]) -> list[str]:
    """Why texts have no score. Raises UsageError if none has one."""
    failed = [
        f"{name}: {outcome}"
        for name, outcome in zip(names, outcomes, strict=True)
        if isinstance(outcome, str)
    ]
    if len(failed) == len(outcomes):
        raise UsageError(f"the verifier failed at every text; the first: {failed[0]}")
    return failed


def _rows(
    places: Sequence[Any], outcomes: Sequence[Outcome], row: Callable[[Any], Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {**row(place), **_scores(outcome)} for place, outcome in zip(places, outcomes, strict=True)
    ]


def _scores(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"score": None, "steps": [], "error": outcome}
    score: Score = outcome.score
    return {"score": score.value, "steps": list(score.steps)}


def _labelled_row(solution: LabelledSolution) -> dict[str, Any]:
    return {
        "id": solution.id,
        "problem": solution.problem_id,
        "labels": list(solution.labels),
        "first_error": solution.first_error,
        "correct": solution.correct,
    }
