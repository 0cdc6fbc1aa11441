"""Measures of a verifier on labelled solutions, as functions of arrays (pure).

Each figure is a function of weights, one for each problem: all ones give the figure itself, the
counts of a resample give it for that resample. NaN is "not defined here".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_bench.stats.estimators import Estimate, mean_interval
from tts_bench.stats.quantiles import normal, student
from tts_bench.stats.subsets import TIE

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.int64]
Statistic = Callable[[Floats], float]
"""Weights of the problems -> the figure."""

DEFAULT_BINS = 10
_CONFIDENCE = 0.95


def auc(scores: ArrayLike, positive: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a positive outscores a negative, ties one half.

    The statistic of Mann and Whitney's test over the number of pairs. NaN if there is no
    positive or no negative.
    """
    rows = np.arange(np.size(scores))
    return auc_of(scores, positive, rows)(np.ones(len(rows)))


def auc_of(scores: ArrayLike, positive: ArrayLike, owners: Indices) -> Statistic:
    """The AUC over rows that belong to problems, given by their numbers."""
    right = np.asarray(positive, bool)
    levels, level = np.unique(np.asarray(scores, np.float64), return_inverse=True)

    def statistic(weights: Floats) -> float:
        weight = weights[owners]
        above = np.bincount(level, weights=weight * right, minlength=len(levels))
        below = np.bincount(level, weights=weight * ~right, minlength=len(levels))
        pairs = above.sum() * below.sum()
        beaten = np.cumsum(below) - below / 2
        return float(np.sum(above * beaten) / pairs) if pairs else math.nan

    return statistic


def auc_within(scores: ArrayLike, positive: ArrayLike, groups: ArrayLike) -> dict[int, float]:
    """The AUC of each group that has positives and negatives, by group."""
    score, right, group = (np.asarray(one) for one in (scores, positive, groups))
    found = {int(one): auc(score[group == one], right[group == one]) for one in np.unique(group)}
    return {one: value for one, value in found.items() if not math.isnan(value)}


def rank_of_right(scores: Sequence[float], right: int) -> int:
    """Rank of one candidate by its score, 1 the highest; whatever ties with it stands before it.

    Scores tie that differ by rounding alone (see `subsets.TIE`), so that products of the same
    numbers in another order do.
    """
    mine = scores[right]
    others = (score for i, score in enumerate(scores) if i != right)
    return 1 + sum(mine - score <= TIE * (abs(mine) + abs(score)) for score in others)


@dataclass(frozen=True, slots=True)
class Bin:
    """The scores between two bounds: how many, their mean, and how many are right."""

    low: float
    high: float
    count: float
    mean_score: float
    share_right: float


def bin_of(scores: ArrayLike, bins: int) -> Indices:
    """Number of each score's bin: of equally wide ones over [0, 1], each closed above."""
    place = np.searchsorted(np.linspace(0.0, 1.0, bins + 1), np.asarray(scores), side="left") - 1
    return np.clip(place, 0, bins - 1)


def reliability(
    scores: ArrayLike, right: ArrayLike, weights: ArrayLike | None = None, bins: int = DEFAULT_BINS
) -> list[Bin]:
    """Scores in [0, 1] by bin (see `bin_of`), in ascending order; empty bins are left out."""
    score, truth = np.asarray(scores, np.float64), np.asarray(right, np.float64)
    weight = np.ones(len(score)) if weights is None else np.asarray(weights, np.float64)
    edges, place = np.linspace(0.0, 1.0, bins + 1), bin_of(score, bins)
    count = np.bincount(place, weights=weight, minlength=bins)
    sums = [np.bincount(place, weights=weight * one, minlength=bins) for one in (score, truth)]
    return [
        Bin(*map(float, (edges[i], edges[i + 1], count[i], *(one[i] / count[i] for one in sums))))
        for i in np.flatnonzero(count)
    ]


def calibration_of(
    scores: ArrayLike, right: ArrayLike, owners: Indices, bins: int = DEFAULT_BINS
) -> Statistic:
    """Expected calibration error: the mean gap between score and share of right, over bins.

    ECE = Σ_b n_b/n · |share right in b - mean score in b| (Guo et al., arXiv:1706.04599, eq. 3),
    over rows that belong to problems. The score is the probability that the step is right, so the
    bins span all of [0, 1] and not, as with the confidence of a chosen class, its upper half. NaN
    without scores.
    """
    gap = np.asarray(right, np.float64) - np.asarray(scores, np.float64)
    cell = owners * bins + bin_of(scores, bins)
    size = (int(owners.max(initial=-1)) + 1) * bins
    gaps = np.bincount(cell, weights=gap, minlength=size).reshape(-1, bins)
    counts = np.bincount(cell, minlength=size).reshape(-1, bins)

    def statistic(weights: Floats) -> float:
        weight = weights[: len(counts), None]
        total = np.sum(weight * counts)
        return float(np.abs(np.sum(weight * gaps, axis=0)).sum() / total) if total else math.nan

    return statistic


def brier_of(scores: ArrayLike, right: ArrayLike, owners: Indices) -> Statistic:
    """Mean squared distance of the score from 1 (right) or 0 (wrong); Brier (1950)."""
    return mean_of((np.asarray(scores) - np.asarray(right, np.float64)) ** 2, owners)


def mean_of(values: ArrayLike, owners: Indices, members: Flags | None = None) -> Statistic:
    """The mean over rows that belong to problems, or over some of the rows; NaN over none."""
    kept = np.ones(len(owners)) if members is None else members.astype(np.float64)
    sums = np.bincount(owners, weights=kept * np.asarray(values, np.float64))
    counts = np.bincount(owners, weights=kept)

    def statistic(weights: Floats) -> float:
        weight = weights[: len(counts)]
        total = np.sum(weight * counts)
        return float(np.sum(weight * sums) / total) if total else math.nan

    return statistic


def harmonic_mean(a: float, b: float) -> float:
    """2ab / (a + b), and 0 if both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


@dataclass(frozen=True, slots=True)
class Passing:
    """For which thresholds the first wrong step of each solution is found: low < t <= high.

    A step is taken for wrong if its score is below the threshold t, and the first such step is
    the prediction. With m the lowest score before the first wrong step (none: infinite), a wrong
    solution is judged right for score < t <= m, and a right one for t <= its lowest score.
    """

    low: Floats
    high: Floats
    wrong: Flags
    """Whether the solution has a wrong step."""

    @classmethod
    def of(cls, scores: Sequence[Sequence[float]], first_errors: Sequence[int]) -> Passing:
        """From each solution's step scores and the index of its first wrong step, or -1."""
        bounds = [
            (-math.inf, min(steps)) if k < 0 else (steps[k], min(steps[:k], default=math.inf))
            for steps, k in zip(scores, first_errors, strict=True)
        ]
        low, high = np.array(bounds, np.float64).reshape(-1, 2).T
        return cls(low, high, np.asarray(first_errors, np.int64) >= 0)

    def among(self, members: Flags) -> Passing:
        """The same of some of the solutions."""
        return Passing(self.low[members], self.high[members], self.wrong[members])

    def found(self, threshold: float) -> Flags:
        """Which solutions are judged right at a threshold."""
        return (self.low < threshold) & (threshold <= self.high)

    def f1(
        self, threshold: float, owners: Indices | None = None, members: Flags | None = None
    ) -> Statistic:
        """ProcessBench's F1: the harmonic mean of the accuracies on two kinds of solutions.

        On those with an error, the very step must be found, and on those without, none; Zheng et
        al., arXiv:2412.06559, section 4.1. NaN if solutions of either kind are missing. Without
        `owners` each solution has a weight of its own; only the `members` count.
        """
        rows = np.arange(len(self.low)) if owners is None else owners
        kept = np.ones(len(rows), bool) if members is None else members
        found = self.found(threshold)
        erroneous = mean_of(found, rows, kept & self.wrong)
        correct = mean_of(found, rows, kept & ~self.wrong)
        return lambda weights: harmonic_mean(erroneous(weights), correct(weights))

    def best_threshold(self) -> float:
        """The threshold with the highest F1; the middle of the lowest interval that has it.

        F1 changes only at the ends of intervals, so one threshold between each two ends is
        tried. NaN if F1 is not defined.
        """
        ends = np.unique(np.concatenate((self.low, self.high)))
        ends = ends[np.isfinite(ends)]
        if not len(ends) or self.wrong.all() or not self.wrong.any():
            return math.nan
        # Left of the lowest end nothing is taken for wrong, right of the highest everything.
        tried = [ends[0], *((ends[:-1] + ends[1:]) / 2), np.nextafter(ends[-1], math.inf)]
        every = np.ones(len(self.low))
        values = [self.f1(float(threshold))(every) for threshold in tried]
        return float(tried[int(np.argmax(values))])


def estimate(
    statistic: Statistic, problems: int, resamples: int = 1000, seed: int = 0
) -> Estimate | None:
    """A figure in [0, 1] with its 95 % interval: percentile bootstrap over problems, widened.

    Solutions of one problem are drawn together, for they are not independent. Resamples in which
    the figure is not defined are left out. As for differences of means, percentiles are stretched
    by what few problems need; and as for means, each end leaves room for a share z²/(n + z²) of
    problems of a kind that the sample happens not to hold, so no interval is shorter than
    Wilson's of n ones. One problem tells nothing of how problems differ: a figure of it other
    than 0 or 1 has NaN for error and interval. None if the figure itself is not defined.
    """
    value = statistic(np.ones(problems))
    if math.isnan(value):
        return None
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(problems, np.full(problems, 1 / problems), size=resamples)
    values = np.array([statistic(draw.astype(np.float64)) for draw in draws])
    values = values[~np.isnan(values)]
    if value in (0.0, 1.0) and np.all(values == value):
        return mean_interval([value] * problems)
    if problems < 2:
        return Estimate(value, math.nan, math.nan, math.nan, problems)
    few = math.sqrt(problems / (problems - 1))
    widen = few * student(_CONFIDENCE, problems - 1) / normal(_CONFIDENCE)
    tail = (1 - _CONFIDENCE) / 2
    ends = np.quantile(values, [tail, 1 - tail])
    low, high = (value + widen * (float(end) - value) for end in ends)
    room = 1 + normal(_CONFIDENCE) ** 2 / problems
    low, high = min(low, value / room), max(high, 1 - (1 - value) / room)
    return Estimate(value, few * float(values.std()), max(0.0, low), min(1.0, high), problems)
