"""Estimates over problems, with their errors: coverage, means, differences, ratios.

The problem is the unit: seeds and subsets of one problem are averaged first, for they are not
independent of each other (Miller, arXiv:2411.00640). What is used, why, and how well its
intervals cover, is told in docs/estimators.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_bench.stats.quantiles import normal, score_interval, student, wilson


def pass_at_k(n: ArrayLike, c: ArrayLike, k: ArrayLike) -> NDArray[np.float64]:
    """Coverage: the chance that k of n draws, c of them correct, hold a correct one.

    1 - C(n-c,k) / C(n,k), unbiased for k <= n (Chen et al., arXiv:2107.03374), as a sum of
    logarithms, so that small values keep their digits. Arguments are broadcast; the mean over
    problems is the coverage of a suite. Raises ValueError unless 0 <= c <= n and 1 <= k <= n.
    """
    n, c, k = np.broadcast_arrays(*(np.asarray(count, np.int64) for count in (n, c, k)))
    if np.any((c < 0) | (c > n) | (k < 1) | (k > n)):
        raise ValueError("pass@k needs 0 <= c <= n and 1 <= k <= n")
    few, many = np.minimum(c, k), np.maximum(c, k)
    i = np.arange(few.max(initial=0))
    left = n[..., None] - i
    # The ratio is the product over i < few of 1 - many/(n-i); a factor of 0 makes it 0.
    share = np.where(i < few[..., None], many[..., None] / np.maximum(left, 1), 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(np.log1p(-np.minimum(share, 1.0)).sum(axis=-1)))


def g_pass_at_k(n: int, c: int, k: int, share: Fraction) -> float:
    """The chance that of k of n draws, c of them correct, `share` or more are correct.

    Computed exactly, in whole numbers. Raises ValueError unless 0 <= c <= n, 1 <= k <= n and
    0 < share <= 1.
    """
    if not (0 <= c <= n and 1 <= k <= n and 0 < share <= 1):
        raise ValueError("G-Pass@k needs 0 <= c <= n, 1 <= k <= n and 0 < share <= 1")
    least = math.ceil(share * k)
    ways = sum(math.comb(c, j) * math.comb(n - c, k - j) for j in range(least, min(c, k) + 1))
    return float(Fraction(ways, math.comb(n, k)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over `n` problems, its standard error, and its confidence interval."""

    value: float
    stderr: float
    low: float
    high: float
    n: int


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Estimate:
    """The mean of per-problem values in [0, 1], with an interval for the population's mean.

    0/1 values: Wilson's interval. Fractions (means over seeds, expectations over subsets):
    Wilson's interval at the effective number of problems, that for which a proportion would
    have the variance seen, with Student's quantile because that variance is an estimate; never
    fewer problems than there are. And whatever the variance seen, each end leaves room for
    problems of a kind that the sample happens not to hold: for a share z²/(n + z²) of zeros
    below, of ones above, which is what Wilson's interval leaves beside n ones. So no interval
    is shorter than that of n equal zeros or ones. Raises ValueError for values outside [0, 1]
    and for none.
    """
    sample = _unit_interval(values)
    n, mean = len(sample), float(sample.mean())
    spread = float(sample.var(ddof=1)) if n > 1 else 0.0
    unseen = normal(confidence) ** 2 / n
    seen, most = unseen, mean * (1 - mean)
    if n > 1 and most > 0:
        seen = min(unseen, student(confidence, n - 1) ** 2 * spread / (n * most))
    low, high = score_interval(mean, seen)
    low, high = min(low, mean / (1 + unseen)), max(high, 1 - (1 - mean) / (1 + unseen))
    return Estimate(mean, math.sqrt(spread / n), low, high, n)


_ROUNDING = 1e-24
"""A variance below this comes from rounding of equal values."""


def _unit_interval(values: Sequence[float]) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or not len(sample):
        raise ValueError("a mean needs a list of at least one value")
    if not np.all((sample >= -1e-9) & (sample <= 1 + 1e-9)):
        raise ValueError("per-problem values must lie in [0, 1]")
    return sample.clip(0.0, 1.0)


def clustered_stderr(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Standard error of a mean whose values come in clusters (problems of one source).

    SE² = C/(C-1) · (1/n²) · sum over clusters of (sum of deviations)²: Miller's estimate with
    the correction for few clusters, which makes it sd/√n if every value is a cluster of its
    own. Raises ValueError for fewer than two clusters.
    """
    sample = np.asarray(values, np.float64)
    if len(sample) != len(clusters):
        raise ValueError(f"{len(clusters)} clusters for {len(sample)} values")
    numbers: dict[Hashable, int] = {}
    member = [numbers.setdefault(cluster, len(numbers)) for cluster in clusters]
    if len(numbers) < 2:
        raise ValueError("a clustered standard error needs at least two clusters")
    sums = np.bincount(member, weights=sample - sample.mean())
    correction = len(numbers) / (len(numbers) - 1)
    return float(math.sqrt(correction * np.sum(sums**2)) / len(sample))


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Mean of a - b over problems that both have attempted; values in [0, 1], in one order.

    The interval is a seeded percentile bootstrap over problems, as `bootstrap_interval` widens
    it. Raises ValueError for values outside [0, 1] and for lists of different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal lengths, not {len(a)} and {len(b)}")
    differences = _unit_interval(a) - _unit_interval(b)
    n, mean = len(differences), float(differences.mean())
    spread = float(differences.var(ddof=1)) if n > 1 else 0.0
    if spread <= _ROUNDING:
        return bootstrap_interval(mean, 0.0, [mean], n, confidence)
    means = _bootstrap_means(differences, resamples, seed)
    return bootstrap_interval(mean, math.sqrt(spread / n), means, n, confidence)


def bootstrap_interval(
    mean: float, stderr: float, means: ArrayLike, n: int, confidence: float
) -> Estimate:
    """A mean difference over n problems, from its values in resamples; within [-1, 1].

    The percentiles are stretched by √(n/(n-1)) and by Student's quantile over the normal one,
    which few problems need. They reach at least as far as Student's interval: means of few whole
    differences lie on steps of 1/n, on which percentiles may fall short. And problems of a kind
    that the sample happens not to hold leave no trace in either. So the interval of differences
    that are (nearly) alike reaches z²/(n + z²), Wilson's bound on the share of problems that
    could differ unseen; beyond half of that, the variance seen takes its place step by step.
    """
    low = high = mean
    seen = 0.0
    if n > 1:
        quantile, tail = student(confidence, n - 1), (1 - confidence) / 2
        widen = math.sqrt(n / (n - 1)) * quantile / normal(confidence)
        ends = np.quantile(np.asarray(means, np.float64), [tail, 1 - tail])
        low, high = (mean + widen * (float(end) - mean) for end in ends)
        seen = quantile * stderr
    reach = max(seen, unseen_reach(seen, n, confidence))
    low, high = min(low, mean - reach), max(high, mean + reach)
    return Estimate(mean, stderr, max(-1.0, low), min(1.0, high), n)


def unseen_reach(seen: float, n: int, confidence: float) -> float:
    """What problems unseen may change of a difference over n, beside what `seen` ones may.

    At most Wilson's bound on their share; 0 or less where the variance seen has taken its place.
    """
    unseen = wilson(0.0, n, confidence)[1]
    return min(unseen, 1.5 * unseen - seen)


def _bootstrap_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of resamples with replacement: multinomial counts of the distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(values), counts / len(values), size=resamples)
    means: NDArray[np.float64] = draws @ distinct / len(values)
    return means


def ratio_of_means(a: Sequence[float], b: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean of a over mean of b, for costs of two systems on the same problems, in one order.

    Fieller's interval (1954, JRSS B 16:175): all r >= 0 for which the mean of a - r·b is not
    told from 0 by Student's test on the problems. It knows that both means are estimates and
    stays honest for costs with heavy tails. Costs that are proportional on every problem have a
    ratio without width. It is open, up to infinity, for one problem and where the mean of b
    itself is hardly told from 0; then the standard error is what is known, infinite for one.
    Raises ValueError for lists of different lengths, for none, for values below 0, and where
    the mean of b is not positive.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError("a ratio needs two lists of one length, with at least one value")
    if second.mean() <= 0:
        raise ValueError("a ratio needs a positive mean below it")
    if min(first.min(), second.min()) < 0:
        raise ValueError("a ratio of costs needs values of at least 0")
    n, below = len(first), float(second.mean())
    value = float(first.mean()) / below
    if n < 2:
        return Estimate(value, math.inf, 0.0, math.inf, n)
    apart = first - value * second
    # Covariances of the means, in units of b's: r = value + d fulfils
    # d² <= t²·(error² - 2·d·shared + d²·relative²).
    error, relative = (float(x.std(ddof=1)) / below / math.sqrt(n) for x in (apart, second))
    if error <= value * 1e-12:
        return Estimate(value, 0.0, value, value, n)
    shared = float(np.mean(apart * (second - below))) / below**2 / (n - 1)
    squared = student(confidence, n - 1) ** 2
    bend = 1 - squared * relative**2
    if bend <= 0:
        return Estimate(value, error, 0.0, math.inf, n)
    half = math.sqrt(squared * (squared * shared**2 + error**2 * bend))
    low, high = (value + (side * half - squared * shared) / bend for side in (-1, 1))
    return Estimate(value, error, max(0.0, low), high, n)
