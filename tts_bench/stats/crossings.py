"""Curves of accuracy against cost: what is not dominated, where one reaches another, and the gap.

A curve is a few measured points (one strategy at several sizes), each with its accuracy and its
cost on every problem. Between two points accuracy is taken as linear in the logarithm of cost;
beyond the outer ones nothing is said. All intervals resample problems, every point of both curves
together, so that what the curves share (problems, often draws) is shared in the resamples, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tts_bench.stats.estimators import (
    Estimate,
    bootstrap_interval,
    paired_difference,
    unseen_reach,
)
from tts_bench.stats.quantiles import student

Array = NDArray[np.float64]
_SAME = 1e-9
"""Accuracies closer than this are equal: they differ by rounding alone."""


@dataclass(frozen=True)
class CostCurve:
    """One row for each measured point, one column for each problem."""

    accuracy: Array
    """In [0, 1]."""
    cost: Array
    """Positive; NaN on a problem of which it is not known, which then does not count in means."""

    def __post_init__(self) -> None:
        if self.accuracy.shape != self.cost.shape or self.accuracy.ndim != 2:
            raise ValueError("a curve needs accuracy and cost of one shape, points by problems")
        if not self.accuracy.size or np.isnan(self.cost).all(axis=1).any():
            raise ValueError("a curve needs points, each with a known cost on some problem")

    @property
    def is_point(self) -> bool:
        """Whether it is one point alone: a system that was run at one size."""
        return len(self.accuracy) == 1


@dataclass(frozen=True, slots=True)
class Reach:
    """The cost at which one curve reaches another; see `reach`.

    Of the costs, infinity says "above the measured range", minus infinity "below it".
    """

    cost: float
    """Infinite where there is none in the measured range: behind at its end, or never behind."""
    low: float
    high: float
    ahead: float
    """Share of the resamples without a crossing because the curve is never behind."""
    behind: float
    """Share of the resamples without a crossing because it is behind at the end of the range."""
    problems: int

    @property
    def missing(self) -> float:
        """Share of the resamples without a crossing."""
        return self.ahead + self.behind


def pareto(costs: Sequence[float], accuracies: Sequence[float]) -> list[bool]:
    """Whether each point is on the Pareto frontier: none is cheaper or better and not worse.

    Equal points are on it together.

    >>> pareto([1, 2, 3, 3], [0.5, 0.4, 0.7, 0.6])
    [True, False, True, False]
    """
    points = [
        (float(f"{cost:.9g}"), round(accuracy, 9))
        for cost, accuracy in zip(costs, accuracies, strict=True)
    ]
    return [
        not any(
            cost <= mine[0] and accuracy >= mine[1] and (cost, accuracy) != mine
            for cost, accuracy in points
        )
        for mine in points
    ]


def reach(
    a: CostCurve, b: CostCurve, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Reach:
    """The cost from which on `a`, having been behind `b`, stays at least as accurate.

    Where curves cross several times the last crossing is meant: curves of similar systems begin
    alike, and cross there by chance. Between measured points both curves are linear in log cost,
    and only costs that both have measured are looked at. Where `b` is one point alone, it stands
    for its accuracy, whatever that cost: the crossing is the cost at which `a` reaches it, looked
    for in all of `a`'s range.

    The interval is a percentile bootstrap over problems. A resample without a crossing lies
    beyond an end of the range: below it where `a` is never behind, above it where `a` is behind
    at the end. So an end of the interval may be open, and `ahead` and `behind` say how many
    they are. Problems of a kind that the sample happens not to hold leave no trace in resamples:
    where the gap at the crossing hardly varies, the interval reaches to where the curves would
    cross with the room between them that `bootstrap_interval` leaves for those.

    Raises ValueError where `a` is one point, where the curves are of different problems, or
    share no cost.
    """
    if a.is_point:
        raise ValueError("a single point does not reach anything")
    if shared_costs(a, b) is None:
        raise ValueError("the curves share no cost")
    ours, theirs = _means(a, _once(a)), _means(b, _once(b))
    found = _last_reach(ours, theirs)
    weights = _resampled(a.accuracy.shape[1], resamples, seed)
    sample = _last_reach(_means(a, weights), _means(b, weights))
    sample = sample[~np.isnan(sample)]
    tail = (1 - confidence) / 2
    # Not interpolated: there is nothing between a number and infinity.
    ends = np.quantile(sample, [tail, 1 - tail], method="inverted_cdf")
    room = max(0.0, _unseen_room(a, b, found, weights, confidence))
    easier, harder = (float(_last_reach(ours, theirs, ease)[0]) for ease in (room, -room))
    return Reach(
        cost=_cost(float(found[0])),
        low=_cost(min(float(ends[0]), easier)),
        high=_cost(max(float(ends[1]), harder)),
        ahead=float(np.mean(np.isneginf(sample))),
        behind=float(np.mean(np.isposinf(sample))),
        problems=a.accuracy.shape[1],
    )


def gap_at(
    a: CostCurve,
    b: CostCurve,
    cost: float,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Accuracy of `a` minus that of `b` at one cost, both linear in log cost between points.

    The interval is a percentile bootstrap over problems, with mean costs recomputed in every
    resample, widened as in `paired_difference`. A curve that a resample moves away from the
    cost stands for its nearest end. Raises ValueError where the curves are of different problems
    or one does not cover the cost.
    """
    _check_paired(a, b)
    for curve in (a, b):
        low, high = cost_range(curve)
        if not low * (1 - _SAME) <= cost <= high * (1 + _SAME):
            raise ValueError(f"{cost:g} is outside the measured range [{low:g}, {high:g}]")
    problems, where = a.accuracy.shape[1], np.array([[math.log(cost)]])
    ours, theirs = (_at_fixed_cost(curve, where) for curve in (a, b))
    plain = paired_difference(ours, theirs, confidence, resamples, seed)
    weights = _resampled(problems, resamples, seed)
    ends = np.broadcast_to(where, (resamples, 1))
    gaps = (_interpolate(ends, *_means(a, weights)) - _interpolate(ends, *_means(b, weights)))[:, 0]
    if problems < 2 or np.ptp(gaps) <= _SAME:
        return plain
    stderr = float(gaps.std()) * math.sqrt(problems / (problems - 1))
    return bootstrap_interval(plain.value, stderr, gaps, problems, confidence)


def shared_costs(a: CostCurve, b: CostCurve) -> tuple[float, float] | None:
    """The range of mean costs that both have measured; None where there is none.

    Where `b` is one point alone it is the range of `a`. Raises ValueError where the curves are
    of different problems.
    """
    _check_paired(a, b)
    low, high = cost_range(a)
    if b.is_point:
        return low, high
    low, high = max(low, cost_range(b)[0]), min(high, cost_range(b)[1])
    return (low, high) if low <= high else None


def cost_range(curve: CostCurve) -> tuple[float, float]:
    """Mean cost of the cheapest and of the dearest point."""
    spent = np.nanmean(curve.cost, axis=1)
    return float(spent.min()), float(spent.max())


def _check_paired(a: CostCurve, b: CostCurve) -> None:
    if a.accuracy.shape[1] != b.accuracy.shape[1]:
        raise ValueError("curves are compared on the same problems")


def _unseen_room(
    a: CostCurve, b: CostCurve, found: Array, weights: Array, confidence: float
) -> float:
    """What problems unseen may change of the gap at a crossing, beyond what resamples show."""
    problems = a.accuracy.shape[1]
    shared = shared_costs(a, b)
    assert shared is not None
    at = float(np.clip(found[0], *np.log(shared)))
    where = np.full((len(weights), 1), at)
    gaps = _interpolate(where, *_means(a, weights)) - _interpolate(where, *_means(b, weights))
    if problems < 2:
        return unseen_reach(0.0, problems, confidence)
    error = float(gaps.std()) * math.sqrt(problems / (problems - 1))
    return unseen_reach(student(confidence, problems - 1) * error, problems, confidence)


def _last_reach(a: tuple[Array, Array], b: tuple[Array, Array], ease: float = 0.0) -> Array:
    """Log cost of the last crossing in each row; infinite without one, NaN without a range.

    `ease` is added to the accuracy of `a`.
    """
    (xs, ours), (others, theirs) = a, b
    if others.shape[1] == 1:
        knots, gaps = xs, ours - theirs + ease
        empty = np.zeros(len(xs), bool)
    else:
        low = np.maximum(xs[:, :1], others[:, :1])
        high = np.minimum(xs[:, -1:], others[:, -1:])
        empty = (low > high)[:, 0]
        knots = np.sort(np.clip(np.hstack([xs, others]), low, np.maximum(low, high)), axis=1)
        gaps = _interpolate(knots, xs, ours) - _interpolate(knots, others, theirs) + ease
    below = gaps < -_SAME
    rows, width = np.arange(len(gaps)), gaps.shape[1]
    last = width - 1 - below[:, ::-1].argmax(axis=1)
    after = np.minimum(last + 1, width - 1)
    x0, x1, y0, y1 = (part[rows, i] for part in (knots, gaps) for i in (last, after))
    where = x0 + (x1 - x0) * np.divide(-y0, y1 - y0, out=np.zeros_like(y0), where=y1 != y0)
    found = np.where(below[:, -1], np.inf, np.where(below.any(axis=1), where, -np.inf))
    return np.where(empty, np.nan, found)


def _interpolate(where: Array, xs: Array, ys: Array) -> Array:
    """Values of each row's polyline at that row's places; beyond its ends those of the ends."""
    if xs.shape[1] == 1:
        return np.broadcast_to(ys, where.shape)
    left = np.clip((where[:, :, None] >= xs[:, None, :]).sum(axis=2) - 1, 0, xs.shape[1] - 2)
    x0, x1, y0, y1 = (np.take_along_axis(part, i, 1) for part in (xs, ys) for i in (left, left + 1))
    share = np.divide(where - x0, x1 - x0, out=np.ones_like(x0), where=x1 > x0)
    return np.asarray(y0 + np.clip(share, 0.0, 1.0) * (y1 - y0))


def _means(curve: CostCurve, weights: Array) -> tuple[Array, Array]:
    """Log of mean cost and mean accuracy, a row for each row of weights, cheapest point first."""
    known = ~np.isnan(curve.cost)
    counted = weights @ known.T
    # A resample without any problem of known cost keeps the cost of all problems.
    spent = np.where(
        counted > 0,
        weights @ np.where(known, curve.cost, 0.0).T / np.maximum(counted, 1),
        np.nanmean(curve.cost, axis=1),
    )
    accuracy = weights @ curve.accuracy.T / weights.sum(axis=1, keepdims=True)
    order = np.argsort(spent, axis=1, kind="stable")
    logs = np.log(np.take_along_axis(spent, order, axis=1))
    return logs, np.take_along_axis(accuracy, order, axis=1)


def _at_fixed_cost(curve: CostCurve, where: Array) -> list[float]:
    """Accuracy on each problem, between the two points whose mean costs enclose the place."""
    spent = np.nanmean(curve.cost, axis=1)
    order = np.argsort(spent, kind="stable")
    columns = curve.accuracy[order].T
    logs = np.broadcast_to(np.log(spent[order]), columns.shape)
    at = np.broadcast_to(where, (len(columns), 1))
    return [float(value) for value in _interpolate(at, logs, columns)[:, 0]]


def _once(curve: CostCurve) -> Array:
    return np.ones((1, curve.accuracy.shape[1]))


@lru_cache(maxsize=4)
def _resampled(problems: int, resamples: int, seed: int) -> Array:
    """How often each resample holds each problem."""
    rng = np.random.default_rng(seed)
    shares = np.full(problems, 1 / problems)
    return rng.multinomial(problems, shares, size=resamples).astype(np.float64)


def _cost(log: float) -> float:
    """The cost of a logarithm; what lies beyond the range stays infinite, with its sign."""
    return math.exp(log) if math.isfinite(log) else log
