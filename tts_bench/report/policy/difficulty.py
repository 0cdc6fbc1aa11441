"""Bins of problems by difficulty: as the data set states it, as it turned out, as predicted."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tts_bench.errors import UsageError
from tts_bench.report.points.cost import added, subset_cost
from tts_bench.report.points.coverage import make_curves
from tts_bench.report.points.point import RunPoints

By = Literal["level", "oracle", "predicted"]
BINS = 5
"""Quantile bins, as in Snell et al., arXiv:2408.03314, section 3.2."""


@dataclass(frozen=True, slots=True)
class DifficultyBins:
    """Which bin each problem is in, easiest first, and what knowing that has cost."""

    by: By
    bins: Mapping[str, int]
    """Bin of each problem, from 0 = easiest."""
    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    """Of `predicted`: scores between the bins, descending; a score above the first is easiest."""
    probe: int = 0
    """Draws whose mean verifier score predicts; 0 if nothing is drawn for it."""
    cost: Mapping[str, float] | None = None
    """FLOPs of the probe on each problem; None if they are not known."""


def by_level(run: RunPoints) -> DifficultyBins:
    """The data set's own levels. Raises UsageError if it states none."""
    levels = {p: run.scope.levels[p] for p in run.scope.problems if p in run.scope.levels}
    if not levels:
        raise UsageError(f"{run.scope.run}: its data set states no levels; use --by oracle")
    known = sorted(set(levels.values()))
    bins = {problem: known.index(level) for problem, level in levels.items()}
    return DifficultyBins("level", bins, tuple(f"level {level}" for level in known))


def by_oracle(run: RunPoints) -> DifficultyBins:
    """Quantile bins of pass@1 over the run's largest pool, which the answers decide."""
    curves = make_curves(run.scope, run.outcomes)
    if not curves:
        raise UsageError(f"{run.scope.run}: no pool of two draws or more, so no pass@1 to bin by")
    largest = max(curves, key=lambda curve: curve.draws)
    solved = largest.points[0].by_problem
    bins, _ = _quantile_bins(solved)
    return DifficultyBins("oracle", bins, _names(bins, "pass@1"))


def by_prediction(run: RunPoints, probe: int = 4) -> DifficultyBins:
    """Quantile bins of the mean verifier score of the first `probe` draws; that is charged.

    No answer is looked at. Raises UsageError if no pool of that size has scores.
    """
    scores, cost = _probe(run, probe)
    if not scores:
        raise UsageError(f"{run.scope.run}: no scored pool of {probe} draws or more to predict by")
    bins, edges = _quantile_bins(scores)
    names = _names(bins, "predicted")
    return DifficultyBins("predicted", bins, names, edges, probe, cost)


def _probe(run: RunPoints, probe: int) -> tuple[dict[str, float], dict[str, float] | None]:
    cells = {cell.id for cell in run.scope.cells if cell.pooled and cell.selector == "best"}
    chosen = None
    scores: dict[str, float] = {}
    cost: dict[str, float | None] = {}
    for attempt in run.run.attempts():
        pool = attempt.pool
        usable = attempt.cell in cells and len(pool.score) >= probe
        if (
            not usable
            or attempt.seed != run.scope.seeds[0]
            or (chosen or attempt.cell) != attempt.cell
        ):
            continue
        chosen = attempt.cell
        scores[attempt.problem] = float(np.mean(pool.score[:probe]))
        spent = [subset_cost(use, len(pool), probe) for use in (attempt.policy, attempt.verifier)]
        cost[attempt.problem] = added(spent[0].flops_ideal, spent[1].flops_ideal)
    known = {problem: value for problem, value in cost.items() if value is not None}
    return scores, known if len(known) == len(cost) else None


def _quantile_bins(values: Mapping[str, float]) -> tuple[dict[str, int], tuple[float, ...]]:
    """Bins of nearly equal size, the highest values first, and the edges between them.

    Equal values share a bin, so there may be fewer bins than `BINS`. An edge lies halfway between
    the values on its two sides: there is one between each two bins, and no rounding moves a
    value across it.
    """
    shares = [1 - i / BINS for i in range(1, BINS)]
    cuts = np.quantile(list(values.values()), shares)
    place = {problem: int(np.sum(value < cuts)) for problem, value in values.items()}
    used = sorted(set(place.values()))
    bins = {problem: used.index(one) for problem, one in place.items()}
    members = [[values[p] for p, b in bins.items() if b == i] for i in range(len(used))]
    edges = [(min(above) + max(below)) / 2 for above, below in itertools.pairwise(members)]
    return bins, tuple(edges)


def _names(bins: Mapping[str, int], what: str) -> tuple[str, ...]:
    count = len(set(bins.values()))
    return tuple(f"{what} bin {i + 1} of {count}" for i in range(count))


def sizes(difficulty: DifficultyBins, problems: Sequence[str]) -> list[int]:
    """How many of the problems are in each bin."""
    bins = [difficulty.bins[problem] for problem in problems if problem in difficulty.bins]
    return [bins.count(i) for i in range(len(difficulty.names))]
