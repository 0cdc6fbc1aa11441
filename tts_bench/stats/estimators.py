"""Estimates over problems, with their errors: coverage, means, differences, ratios.

The problem is the unit: seeds and subsets of one problem are averaged first, for they are not
independent of each other (Miller, arXiv:2411.00640). What is used, why, and how well its
intervals cover, is told in docs/estimators.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
    have the variance seen, with Student's quantile because that variance is an estimate. It
    stays within [0, 1] and does not collapse where all values agree. Raises ValueError for
    values outside [0, 1] and for none.
    """
    sample = _unit_interval(values)
    n, mean = len(sample), float(sample.mean())
    spread = float(sample.var(ddof=1)) if n > 1 else 0.0
    binary = bool(np.all((sample == 0.0) | (sample == 1.0)))
    if binary or spread <= _ROUNDING:
        # Values that agree tell no variance: take the largest one possible, a proportion's.
        effective, quantile = float(n), _normal_quantile(confidence)
    else:
        effective, quantile = mean * (1 - mean) * n / spread, _t_quantile(confidence, n - 1)
    low, high = _wilson(mean, effective, quantile)
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


def _wilson(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval (1927) for a proportion; n need not be whole."""
    squared = quantile**2
    centre = (share + squared / (2 * n)) / (1 + squared / n)
    half = quantile / (1 + squared / n) * math.sqrt(share * (1 - share) / n + squared / (4 * n**2))
    # At 0 and 1 the bound is the share itself; rounding must not put it inside.
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return low, high


def _normal_quantile(confidence: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


def _t_quantile(confidence: float, degrees: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def clustered_stderr(values: Sequence[float], clusters: Sequence[Hashable]) -> float:
    """Standard error of a mean whose values come in clusters (problems of one source).

    SE² = C/(C-1) · (1/n²) · sum over clusters of (sum of deviations)²: Miller's estimate with
    the correction for few clusters, which makes it sd/√n where every value is a cluster of its
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

    The interval is a seeded percentile bootstrap over problems, widened by √(n/(n-1)) and by
    Student's quantile over the normal one, which the plain percentiles of few problems lack.
    Where all differences are alike the bootstrap knows no variance; then the interval reaches
    as far as the Wilson bound on the share of problems that could still differ unseen. Raises
    ValueError for values outside [0, 1] and for lists of different lengths.
    """
    if len(a) != len(b):
        raise ValueError(f"pairs need equal lengths, not {len(a)} and {len(b)}")
    differences = _unit_interval(a) - _unit_interval(b)
    n, mean = len(differences), float(differences.mean())
    spread = float(differences.var(ddof=1)) if n > 1 else 0.0
    if spread <= _ROUNDING:
        reach = _wilson(0.0, n, _normal_quantile(confidence))[1]
        low, high = mean - reach, mean + reach
    else:
        widen = math.sqrt(n / (n - 1)) * _t_quantile(confidence, n - 1)
        widen /= _normal_quantile(confidence)
        means = _bootstrap_means(differences, resamples, seed)
        tail = (1 - confidence) / 2
        ends = np.quantile(means, [tail, 1 - tail])
        low, high = (mean + widen * (float(end) - mean) for end in ends)
    return Estimate(mean, math.sqrt(spread / n), max(-1.0, low), min(1.0, high), n)


def _bootstrap_means(values: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """Means of resamples with replacement: multinomial counts of the distinct values."""
    distinct, counts = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(values), counts / len(values), size=resamples)
    means: NDArray[np.float64] = draws @ distinct / len(values)
    return means


def ratio_of_means(
    a: Sequence[float],
    b: Sequence[float],
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Estimate:
    """Mean of a over mean of b, for costs of two systems on the same problems, in one order.

    The interval is a seeded percentile bootstrap over problems, both values of a problem
    resampled together. Raises ValueError for lists of different lengths, for none, and where
    the mean of b is not positive.
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1 or not len(first):
        raise ValueError("a ratio needs two lists of one length, with at least one value")
    if second.mean() <= 0:
        raise ValueError("a ratio needs a positive mean below it")
    rng, ratios = np.random.default_rng(seed), []
    for size in _blocks(resamples, len(first)):
        drawn = rng.integers(0, len(first), (size, len(first)))
        below = second[drawn].mean(axis=1)
        ratios.append(first[drawn].mean(axis=1)[below > 0] / below[below > 0])
    sample, tail = np.concatenate(ratios), (1 - confidence) / 2
    low, high = np.quantile(sample, [tail, 1 - tail])
    value = float(first.mean() / second.mean())
    return Estimate(value, float(sample.std()), float(low), float(high), len(first))


def _blocks(total: int, width: int, cells: int = 2_000_000) -> list[int]:
    """Sizes that sum to `total`, each with at most `cells` values of `width` columns."""
    size = max(1, cells // width)
    return [min(size, total - start) for start in range(0, total, size)]
