"""Selection by a verifier among a finished run's candidates: best-of-n beside its bounds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar
from zlib import crc32

import numpy as np

from tts_bench.dataset.base import LoadedDataset
from tts_bench.errors import UsageError
from tts_bench.report.points.scope import canonical, read_scope
from tts_bench.stats.estimators import Estimate, mean_interval, pass_at_k
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import RunTexts, distinct_draws
from tts_bench.strategy.select import SELECTORS
from tts_bench.suite.load import load_blocks
from tts_bench.suite.registry import DATASETS, Registry
from tts_bench.suite.yaml_document import YamlDocument
from tts_bench.types import Attempt, Candidate, Problem
from tts_bench.verifier.base import Scoring
from tts_bench.verifier_eval.measures import Choices, Evaluation, Problems, add_auc, add_calibration
from tts_bench.verifier_eval.rendering import given

T = TypeVar("T")

LINES: Mapping[str, str] = {
    "coverage": "coverage (oracle)",
    "best": "best of n",
    "weighted": "weighted vote",
    "majority": "majority (no verifier)",
}
"""The lines of the figure: an upper bound, two ways to use the scores, and one without them."""


@dataclass(frozen=True, slots=True)
class DrawnPool:
    """The distinct candidates that a run drew for a problem with one seed."""

    problem: Problem
    seed: int
    candidates: tuple[Candidate, ...]
    answer_class: tuple[int, ...]
    correct: tuple[bool | None, ...]
    scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class At:
    """A line's accuracy at n candidates."""

    n: int
    accuracy: Estimate


@dataclass(frozen=True)
class Selection:
    """Accuracy against the number of candidates, by line."""

    lines: Mapping[str, tuple[At, ...]]
    evaluation: Evaluation
    """How well the scores tell right candidates from wrong ones."""


def read_pools(run: RunStore, registry: Registry) -> list[DrawnPool]:
    """The largest pool of each problem and seed, with its texts and the problems' own.

    Only pools of flat strategies count: the candidates of a search were chosen by a verifier
    already. Of several ways of sampling, the one with the most candidates is taken. Raises
    UsageError if there is none, or the run's problems or texts are not there any more.
    """
    scope = read_scope(run)
    sampling = {cell.id: canonical(cell.sampling) for cell in scope.cells if cell.pooled}
    pools: dict[str, dict[tuple[str, int], Attempt]] = {}
    for attempt in run.attempts():
        if attempt.cell in sampling and len(attempt.pool):
            largest = pools.setdefault(sampling[attempt.cell], {})
            known = largest.get((attempt.problem, attempt.seed))
            if known is None or len(attempt.pool) > len(known.pool):
                largest[attempt.problem, attempt.seed] = attempt
    if not pools:
        raise UsageError(f"{run.folder}: no pool of candidates; run best_of_n or a vote for that")
    chosen = max(pools.values(), key=lambda one: sum(len(found.pool) for found in one.values()))
    problems = _problems(run, registry)
    place = {problem: i for i, problem in enumerate(problems)}
    if strange := [problem for problem, _ in chosen if problem not in place]:
        raise UsageError(f"{run.folder}: its data set has no problem {strange[0]!r}")
    with RunTexts(run) as texts:
        return [
            _drawn(attempt, problems[attempt.problem], texts)
            for attempt in sorted(chosen.values(), key=lambda one: (place[one.problem], one.seed))
        ]


def _problems(run: RunStore, registry: Registry) -> dict[str, Problem]:
    """The run's problems, from the data set that its manifest names."""
    manifest = run.read_manifest()
    document = YamlDocument(str(run.manifest_path), {"dataset": manifest.resolved["dataset"]})
    dataset: LoadedDataset = load_blocks(document, registry, [DATASETS])["dataset"][1].load()
    if dataset.content_hash != manifest.dataset.content_hash:
        raise UsageError(f"{run.folder}: its data set, {dataset.source}, has changed since the run")
    return {item.problem.id: item.problem for item in dataset}


def _drawn(attempt: Attempt, problem: Problem, run_texts: RunTexts) -> DrawnPool:
    """The attempt's candidates; copies of one draw are one candidate."""
    pool = attempt.pool
    kept = sorted(distinct_draws(pool))
    texts = run_texts.of(attempt)
    if lacking := sum(texts[i] is None for i in kept):
        raise UsageError(
            f"the generation store lacks {lacking} texts of {attempt.cell} on {attempt.problem}"
        )
    candidates = tuple(
        given(
            i,
            texts[i] or "",
            logprob=pool.logprob[i] if pool.logprob else math.nan,
            generated=pool.tokens[i] or 0,
            finish_reason=pool.finish_reason[i] or "stop",
        )
        for i in kept
    )
    return DrawnPool(
        problem, attempt.seed, candidates, _at(pool.answer_class, kept), _at(pool.correct, kept)
    )


def _at(column: Sequence[T], kept: Sequence[int]) -> tuple[T, ...]:
    return tuple(column[i] for i in kept)


def scored(pools: Sequence[DrawnPool], outcomes: Iterable[Scoring | str]) -> list[DrawnPool]:
    """The pools with their candidates' scores; a candidate without one leaves its pool.

    `outcomes` has one entry for each candidate, pool by pool. Raises UsageError if no pool
    has a candidate left.
    """
    upcoming = iter(outcomes)
    found = []
    for drawn in pools:
        mine = list(islice(upcoming, len(drawn.candidates)))
        kept = [i for i, outcome in enumerate(mine) if not isinstance(outcome, str)]
        values = [one.score.value for one in mine if not isinstance(one, str)]
        if kept:
            found.append(
                DrawnPool(
                    drawn.problem,
                    drawn.seed,
                    _at(drawn.candidates, kept),
                    _at(drawn.answer_class, kept),
                    _at(drawn.correct, kept),
                    tuple(values),
                )
            )
    if not found:
        raise UsageError("the verifier failed at every candidate")
    return found


def select(pools: Sequence[DrawnPool], choices: Choices) -> Selection:
    """The lines, and how well the scores tell right candidates from wrong ones.

    Expectations over all n-subsets of each pool (`select.SELECTORS`), seeds averaged within a
    problem, intervals over problems. The lines end where the smallest pool does.
    """
    most = min(len(drawn.candidates) for drawn in pools)
    sizes = sorted({*(2**power for power in range(most.bit_length())), most})
    lines = {line: tuple(At(n, _accuracy(line, n, pools)) for n in sizes) for line in LINES}
    done = Evaluation()
    values = np.array([score for drawn in pools for score in drawn.scores])
    right = np.array([one is True for drawn in pools for one in drawn.correct], bool)
    problems = Problems([one.problem.id for one in pools for _ in one.candidates], choices)
    add_auc(done, "answer", values, right, problems, {"problem": problems.of})
    add_calibration(done, "answer", values, right, problems, choices.bins)
    return Selection(lines, done)


def _accuracy(line: str, n: int, pools: Sequence[DrawnPool]) -> Estimate:
    by_problem: dict[str, list[float]] = {}
    for drawn in pools:
        by_problem.setdefault(drawn.problem.id, []).append(_expected(line, n, drawn))
    return mean_interval([sum(values) / len(values) for values in by_problem.values()])


def _expected(line: str, n: int, drawn: DrawnPool) -> float:
    if line == "coverage":
        right = sum(one is True for one in drawn.correct)
        return float(pass_at_k(len(drawn.correct), right, n))
    # Each problem has subsets of its own, the same ones in every evaluation.
    seed = crc32(f"{drawn.seed}|{drawn.problem.id}".encode())
    selector = SELECTORS[line]
    return selector.expected(drawn.answer_class, drawn.scores, drawn.correct, n, seed).value
