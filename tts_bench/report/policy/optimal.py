"""The compute-optimal policy: for each difficulty and budget, the strategy that pays most.

Snell et al., arXiv:2408.03314, equation 1: the best strategy per question and budget, here per
bin of difficulty. It is chosen on one half of a bin's problems and scored on the other (two
folds, both ways), never on the problems that it was chosen on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tts_bench.errors import UsageError
from tts_bench.report.points.point import Point
from tts_bench.report.policy.difficulty import DifficultyBins
from tts_bench.report.policy.saving import Saving, ends_of, saving_at
from tts_bench.stats.estimators import Estimate, mean_interval

Floats = NDArray[np.float64]
_BUDGETS = 12


@dataclass(frozen=True, slots=True)
class BinChoice:
    """The policy's choice for one bin at one budget, made on all of the bin's problems."""

    bin: int
    point: Point
    accuracy: float
    """On the problems that it was chosen on, so optimistic; the curve is not."""
    flops: float


@dataclass(frozen=True, slots=True)
class OptimalPoint:
    """The policy at one budget, cross-fitted."""

    budget: float
    """FLOPs per problem that no bin's choice may exceed in the mean."""
    flops: float
    """FLOPs really spent per problem, the prediction of difficulty included."""
    accuracy: Estimate
    choices: tuple[BinChoice, ...]
    saving: Saving


@dataclass(frozen=True, slots=True)
class Optimal:
    """The policy's curve beside the uniform baseline's."""

    difficulty: DifficultyBins
    problems: tuple[str, ...]
    points: tuple[OptimalPoint, ...]
    baseline: str
    uniform: tuple[tuple[float, Estimate], ...]
    """FLOPs and accuracy of the baseline strategy at each of its sizes."""


@dataclass(frozen=True)
class _Grid:
    """Accuracy and FLOPs of every point (rows) on every problem (columns)."""

    points: tuple[Point, ...]
    accuracy: Floats
    flops: Floats
    bins: NDArray[np.int64]
    folds: NDArray[np.int64]
    prediction: Floats
    uniform: NDArray[np.int64]
    """Rows of the baseline, by size."""


def compute_optimal(
    points: Sequence[Point],
    difficulty: DifficultyBins,
    baseline: str = "best_of_n",
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Optimal:
    """The policy over all points whose FLOPs are known, on the problems that all of them have.

    `baseline` names the strategy whose uniform use at one n for all problems it is held
    against; the saving's interval is a bootstrap over problems in which everything is chosen
    anew. Raises UsageError for a run without FLOPs or without the baseline, and for bins of
    fewer than two problems.
    """
    usable = [one for one in points if one.values["flops"]]
    if not usable:
        raise UsageError("no strategy of the run has known FLOPs, so nothing can be optimal")
    problems = [
        problem
        for problem in difficulty.bins
        if all(problem in one.values["flops"] for one in usable)
    ]
    grid = _grid(usable, problems, difficulty, baseline, seed)
    budgets = _budgets(grid)
    along = _points(grid, budgets, problems)
    ends = _bootstrap_savings(grid, budgets, resamples, seed)
    return Optimal(
        difficulty=difficulty,
        problems=tuple(problems),
        points=tuple(
            OptimalPoint(
                budget=float(budget),
                flops=float(flops.mean()),
                accuracy=mean_interval(accuracy.tolist()),
                choices=tuple(_choices(grid, budget)),
                saving=_saving(grid, float(accuracy.mean()), float(flops.mean()), interval),
            )
            for (budget, accuracy, flops), interval in zip(along, ends, strict=True)
        ),
        baseline=baseline,
        uniform=tuple(
            (float(grid.flops[row].mean()), mean_interval(grid.accuracy[row].tolist()))
            for row in grid.uniform
        ),
    )


def _grid(
    points: Sequence[Point],
    problems: Sequence[str],
    difficulty: DifficultyBins,
    baseline: str,
    seed: int,
) -> _Grid:
    uniform = [i for i, one in enumerate(points) if one.cell.strategy == baseline]
    if len({points[i].cell.line for i in uniform}) != 1:
        known = ", ".join(dict.fromkeys(one.cell.strategy for one in points))
        fault = "has several variants" if uniform else "is not in the run"
        raise UsageError(f"--baseline {baseline} {fault}; it has {known}")
    bins = np.array([difficulty.bins[problem] for problem in problems], np.int64)
    counts = np.bincount(bins, minlength=len(difficulty.names))
    if counts.min() < 2:
        name = difficulty.names[int(counts.argmin())]
        raise UsageError(f"{name} has {counts.min()} problems; two folds need at least 2")
    if difficulty.probe and difficulty.cost is None:
        raise UsageError("the FLOPs of predicting difficulty are not known")
    cost = difficulty.cost or {}
    values = [[one.values[name] for one in points] for name in ("accuracy", "flops")]
    accuracy, flops = (
        np.array([[known[problem] for problem in problems] for known in rows]) for rows in values
    )
    order = sorted(uniform, key=lambda i: float(flops[i].mean()))
    return _Grid(
        tuple(points),
        accuracy,
        flops,
        bins,
        _folds(bins, seed),
        np.array([cost.get(problem, 0.0) for problem in problems]),
        np.array(order, np.int64),
    )


def _folds(bins: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Half of each bin's problems in fold 0, the others in fold 1, by lot."""
    rng, folds = np.random.default_rng(seed), np.zeros(len(bins), np.int64)
    for b in np.unique(bins):
        members = rng.permutation(np.flatnonzero(bins == b))
        folds[members[len(members) // 2 :]] = 1
    return folds


def _budgets(grid: _Grid) -> Floats:
    """Budgets from the cheapest strategy's mean cost to the dearest's, evenly on a log scale."""
    means = grid.flops.mean(axis=1)
    return np.geomspace(means.min() * 1.0001, means.max() * 1.0001, _BUDGETS)


def _points(
    grid: _Grid, budgets: Floats, problems: Sequence[str]
) -> list[tuple[float, Floats, Floats]]:
    return [(float(budget), *_cross_fit(grid, float(budget))) for budget in budgets]


def _cross_fit(grid: _Grid, budget: float) -> tuple[Floats, Floats]:
    """Accuracy and FLOPs on every problem, by what was best on the other fold of its bin."""
    columns = len(grid.bins)
    accuracy, flops = np.zeros(columns), np.zeros(columns)
    for b in np.unique(grid.bins):
        for fold in (0, 1):
            chosen_on = np.flatnonzero((grid.bins == b) & (grid.folds != fold))
            scored_on = np.flatnonzero((grid.bins == b) & (grid.folds == fold))
            if not len(scored_on):
                continue
            row = _best(grid, chosen_on if len(chosen_on) else scored_on, budget)
            accuracy[scored_on] = grid.accuracy[row, scored_on]
            flops[scored_on] = grid.flops[row, scored_on] + grid.prediction[scored_on]
    return accuracy, flops


def _best(grid: _Grid, columns: NDArray[np.int64], budget: float) -> int:
    """The most accurate point that these problems can afford; of equals the cheapest."""
    accuracy = np.round(grid.accuracy[:, columns].mean(axis=1), 12)
    flops = grid.flops[:, columns].mean(axis=1)
    affordable = flops <= budget
    if not affordable.any():
        return int(flops.argmin())
    order = np.lexsort((flops, -accuracy))
    return int(next(row for row in order if affordable[row]))


def _cross_fit_means(grid: _Grid, budget: float, weights: Floats) -> tuple[Floats, Floats]:
    """What `_cross_fit` reaches and spends in the mean, on resamples of the problems.

    `weights` says how often each problem (column) is in each resample (row). A problem keeps
    its fold: no copy of it is chosen on while another is scored.
    """
    accuracy, flops = np.zeros(len(weights)), weights @ grid.prediction
    for b in np.unique(grid.bins):
        for fold in (0, 1):
            here = (grid.bins == b) & (grid.folds == fold)
            chosen_on, scored_on = weights * ((grid.bins == b) & ~here), weights * here
            empty = ~chosen_on.any(axis=1)
            chosen_on[empty] = scored_on[empty]
            rows = _best_rows(grid, chosen_on, budget)[:, None]
            for total, values in ((accuracy, grid.accuracy), (flops, grid.flops)):
                total += np.take_along_axis(scored_on @ values.T, rows, axis=1)[:, 0]
    return accuracy / len(grid.bins), flops / len(grid.bins)


def _best_rows(grid: _Grid, weights: Floats, budget: float) -> NDArray[np.int64]:
    """`_best` for each resample; where it holds none of these problems, any row will do."""
    size = np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    accuracy = np.round(weights @ grid.accuracy.T / size, 12)
    flops = weights @ grid.flops.T / size
    affordable = flops <= budget
    reached = np.where(affordable, accuracy, -1.0)
    tied = reached == reached.max(axis=1, keepdims=True)
    # Where nothing is affordable all are tied, and the cheapest is taken.
    return np.asarray(np.where(tied, flops, np.inf).argmin(axis=1))


def _choices(grid: _Grid, budget: float) -> list[BinChoice]:
    found = []
    for b in np.unique(grid.bins):
        columns = np.flatnonzero(grid.bins == b)
        row = _best(grid, columns, budget)
        accuracy, flops = grid.accuracy[row, columns].mean(), grid.flops[row, columns].mean()
        found.append(BinChoice(int(b), grid.points[row], float(accuracy), float(flops)))
    return found


def _saving(grid: _Grid, accuracy: float, flops: float, ends: tuple[float, float]) -> Saving:
    costs = grid.flops[grid.uniform].mean(axis=1)
    reached = grid.accuracy[grid.uniform].mean(axis=1).round(12)
    value = saving_at(costs, reached, round(accuracy, 12), flops)
    return Saving(value, *ends, least=costs.min() / flops, most=costs.max() / flops)


def _bootstrap_savings(
    grid: _Grid, budgets: Floats, resamples: int, seed: int
) -> list[tuple[float, float]]:
    """95 % intervals of the saving at each budget."""
    problems = len(grid.bins)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(problems, np.full(problems, 1 / problems), resamples).astype(float)
    costs = weights @ grid.flops[grid.uniform].T / problems
    reached = (weights @ grid.accuracy[grid.uniform].T / problems).round(12)
    found = []
    for budget in budgets:
        accuracy, flops = _cross_fit_means(grid, float(budget), weights)
        # Rounded: what is equal stays equal whichever sums led to it.
        points = zip(costs, reached, accuracy.round(12), flops, strict=True)
        found.append(ends_of([saving_at(x, y, float(a), float(f)) for x, y, a, f in points]))
    return found


def as_json(optimal: Optimal) -> dict[str, Any]:
    """The analysis, JSON-ready; shares of 1 and FLOPs per problem."""
    return {
        "by": optimal.difficulty.by,
        "bins": list(optimal.difficulty.names),
        "n_problems": len(optimal.problems),
        "baseline": optimal.baseline,
        "uniform": [_at(flops, accuracy) for flops, accuracy in optimal.uniform],
        "points": [
            {
                "budget": point.budget,
                **_at(point.flops, point.accuracy),
                **point.saving.as_json(),
                "choices": {
                    optimal.difficulty.names[choice.bin]: choice.point.full_name
                    for choice in point.choices
                },
            }
            for point in optimal.points
        ],
    }


def _at(flops: float, accuracy: Estimate) -> dict[str, Any]:
    return {
        "flops": flops,
        "accuracy": accuracy.value,
        "ci95": [accuracy.low, accuracy.high],
    }
