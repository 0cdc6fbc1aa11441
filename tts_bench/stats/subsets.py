"""The expectation of a choice among n of N candidates, over all n-subsets of the pool.

Not "the first n": every subset counts, so a curve over n uses every draw at each of its points.
The draws are exchangeable, no order of the pool is special; so "first drawn wins a tie" is,
averaged over orders, a uniform choice among the tied candidates (of tied classes, each in
proportion to its members), and that is what is computed here. Best-of-n and majority are exact;
the weighted vote has no closed form and is averaged over seeded subsets. A candidate without an
answer (class -1) never votes, and a subset in which none has an answer is wrong. Formulas and
sources: docs/estimators.md.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_ANSWER = -1

TIE = 1e-12
"""Two answers tie whose sums differ by at most this share of their own scores' magnitude.

Other answers' scores have no part in it: a huge score elsewhere makes no tie of a clear order."""

Flags = Sequence[bool | None] | NDArray[np.bool_]
"""One truth value for each candidate; None (grading timed out) counts as false."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Probability that a choice among n candidates is correct; `stderr` is 0 if exact."""

    value: float
    stderr: float = 0.0
    """Monte Carlo error only: it says nothing of the variance between problems or pools."""


def expected_best(
    scores: Sequence[float], correct: Flags, n: int, eligible: Sequence[bool] | None = None
) -> float:
    """Probability that the best-scored of n random candidates is correct; exact.

    A subset without an eligible candidate is wrong. With the scores sorted upwards, the
    candidates that share ranks l+1 ... u win with probability [C(u,n) - C(l,n)] / C(N,n).
    """
    values, right = ordered(scores), _flags(correct, len(scores))
    size = _checked(len(values), n)
    if eligible is not None:
        allowed = np.asarray(eligible, bool)
        right, rank = right & allowed, np.zeros(size, np.int64)
        rank[allowed] = 1 + np.unique(values[allowed], return_inverse=True)[1]
        rank = np.unique(rank, return_inverse=True)[1]
    else:
        rank = np.unique(values, return_inverse=True)[1]
    tied = np.bincount(rank)
    share_right = np.bincount(rank, weights=right) / tied
    upper = np.cumsum(tied)
    inside = _all_inside(size, n)
    return float(np.sum(share_right * (inside[upper] - inside[upper - tied])))


def _all_inside(size: int, n: int) -> NDArray[np.float64]:
    """C(u,n) / C(size,n) for u = 0 ... size, by its recurrence: no factor leaves [0, 1]."""
    u = np.arange(size, 0, -1)
    falling = np.cumprod(np.maximum(u - n, 0) / u)
    return np.concatenate((falling[::-1], [1.0]))


def expected_majority(classes: Sequence[int], correct: Flags, n: int) -> float:
    """Probability that the majority class of n random candidates is correct; exact.

    Exact but for rounding (about 1e-13). A class is correct if its first member is; a subset
    without any answer is wrong.
    """
    sizes, right, mute = _tally(classes, correct)
    pool = _checked(int(sizes.sum()) + mute, n)
    if not right.any():
        return 0.0
    if n == pool:
        return float(right[sizes == sizes.max()].mean())
    return float(np.clip(_majority_by_inversion(sizes, right, mute, n), 0.0, 1.0))


def majority_bounds(classes: Sequence[int], correct: Flags) -> tuple[bool, bool]:
    """Whether the majority of the whole pool is right: if ties go against it, and if for it.

    As in `expected_majority`, a class is correct if its first member is.
    """
    sizes, right, _ = _tally(classes, correct)
    leading = right[sizes == sizes.max(initial=0)]
    return bool(len(leading) and leading.all()), bool(leading.any())


def _tally(
    classes: Sequence[int], correct: Flags
) -> tuple[NDArray[np.int64], NDArray[np.bool_], int]:
    """Size and correctness of each answer class, and how many candidates have no answer."""
    labels, right = np.asarray(classes, np.int64), _flags(correct, len(classes))
    answered = labels != NO_ANSWER
    _, first, sizes = np.unique(labels[answered], return_index=True, return_counts=True)
    return sizes, right[answered][first], int(len(labels) - answered.sum())


def _majority_by_inversion(
    sizes: NDArray[np.int64], right: NDArray[np.bool_], mute: int, n: int
) -> float:
    """The chance that a correct class wins, from independent draws conditioned on their number.

    Draw each of the N candidates with probability p = n/N: the classes' counts are independent
    binomials, and given that n were drawn every n-subset is equally likely. "A class has m
    draws and wins" has a generating function that is a product over classes; roots of unity
    give its coefficient at n, and dividing by P(n drawn) conditions. Of classes with m draws
    each, that with the largest tie-break y in [0, 1] wins: a polynomial in y, which enough
    Gauss-Legendre nodes integrate exactly.
    """
    pool = int(sizes.sum()) + mute
    p, roots = n / pool, _roots(pool)
    widths, of_class, alike = np.unique(sizes, return_inverse=True, return_counts=True)
    winners = np.bincount(of_class, weights=right)
    total = np.zeros(len(roots), complex)
    below = np.zeros((len(widths), len(roots)), complex)
    below += _binomial(widths, np.zeros(1, np.int64), p)[0][:, None]
    start, last = 1, min(n, int(widths[winners > 0].max()))
    while start <= last:
        # A tie of t + 1 classes needs as many of that size, and (t + 1)·m draws.
        ties = min(int(np.sum(sizes >= start)) - 1, (n - start) // start)
        nodes, weights = np.polynomial.legendre.leggauss(ties // 2 + 1)
        room = max(1, _BLOCK // (len(nodes) * below.size))
        m = np.arange(start, min(2 * start, start + room, last + 1))
        exactly = _binomial(widths, m, p)[:, :, None] * roots ** m[:, None, None]
        fewer = below + np.cumsum(exactly, axis=0) - exactly
        rivals = fewer + ((nodes + 1) / 2)[:, None, None, None] * exactly
        for winner in np.flatnonzero(winners):
            others = alike - (np.arange(len(alike)) == winner)
            wins = np.prod(rivals ** others[:, None], axis=2) * exactly[:, winner]
            total += winners[winner] * np.einsum("q,qmk->k", weights / 2, wins)
        below, start = fewer[-1] + exactly[-1], int(m[-1]) + 1
    total *= (1.0 - p + p * roots) ** mute
    return _coefficient(total, roots, n) / float(
        _binomial(np.array([pool]), np.array([n]), p)[0, 0]
    )


_BLOCK = 200_000
"""Complex numbers worked on at once: bounds memory for pools of many thousand draws."""


def _roots(pool: int) -> NDArray[np.complex128]:
    """K-th roots of unity in the upper half plane, K odd.

    A coefficient read off K roots holds those K, 2K, ... away too. The number drawn is
    binomial, so by Hoeffding's inequality their sum is below 2·exp(-2·K²/pool): with K² = 20
    pools, 1e-17.
    """
    number = 2 * (min(pool, math.isqrt(20 * pool) + 1) // 2) + 1
    roots: NDArray[np.complex128] = np.exp(2j * np.pi * np.arange(number // 2 + 1) / number)
    return roots


def _coefficient(values: NDArray[Any], roots: NDArray[Any], n: int) -> float:
    """Coefficient at n of a real polynomial given at `_roots`; the other half is conjugate."""
    terms = (values * roots**-n).real
    return float((2 * terms.sum() - terms[0]) / (2 * len(roots) - 1))


def _binomial(
    trials: NDArray[np.int64], successes: NDArray[np.int64], p: float
) -> NDArray[np.float64]:
    """Binomial probabilities, a row for each number of successes; 0 < p < 1."""
    logs = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, trials.max() + 1)))))
    possible = successes[:, None] <= trials
    hits = np.minimum(successes[:, None], trials)
    ways = logs[trials] - logs[hits] - logs[trials - hits]
    chance = np.exp(ways + hits * math.log(p) + (trials - hits) * math.log1p(-p))
    return np.where(possible, chance, 0.0)


def expected_weighted(
    classes: Sequence[int],
    scores: Sequence[float],
    correct: Flags,
    n: int,
    subsets: int = 400,
    seed: int = 0,
) -> Expectation:
    """Probability that the weighted vote of n random candidates is correct.

    Averaged over `subsets` seeded subsets drawn without replacement, with the standard error of
    that average; exact if there are no more n-subsets than that (n = N among them), and for
    n = 1. A class is correct if its first member is. Raises ValueError for a score that is not
    finite and for fewer than two subsets.
    """
    if subsets < 2:
        raise ValueError(f"an error needs at least two subsets, not {subsets}")
    values, labels = finite(scores), np.asarray(classes, np.int64)
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} scores for {len(labels)} candidates")
    _, right, _ = _tally(classes, correct)
    pool = _checked(len(values), n)
    if not right.any():
        return Expectation(0.0)
    exact = math.comb(pool, n) <= max(subsets, pool)
    members = _every_subset(pool, n) if exact else _some_subsets(pool, n, subsets, seed)
    share = _weighted_wins(members, labels, values, right)
    error = 0.0 if exact else float(share.std(ddof=1) / math.sqrt(len(share)))
    return Expectation(float(share.mean()), error)


def expected_by_rule(
    is_right: Callable[[Sequence[int]], bool],
    pool: int,
    n: int,
    subsets: int = 200,
    seed: int = 0,
) -> Expectation:
    """Probability that a rule of which nothing is known chooses right among n of `pool` candidates.

    `is_right` tells it of the candidates with these indices. They come in a seeded order, so that a
    rule that takes the first of equals favours no draw. Averaged over `subsets` seeded subsets with
    the standard error of that average; over all, without one, if there are no more than that, and
    for n = 1. Raises ValueError for fewer than two subsets.
    """
    if subsets < 2:
        raise ValueError(f"an error needs at least two subsets, not {subsets}")
    exact = math.comb(_checked(pool, n), n) <= max(subsets, pool)
    members = _every_subset(pool, n) if exact else _some_subsets(pool, n, subsets, seed)
    order = np.random.default_rng([seed, n])
    share = np.array(
        [is_right(order.permutation(np.flatnonzero(row)).tolist()) for row in members], np.float64
    )
    error = 0.0 if exact else float(share.std(ddof=1) / math.sqrt(len(share)))
    return Expectation(float(share.mean()), error)


def _weighted_wins(
    members: NDArray[np.bool_],
    labels: NDArray[np.int64],
    values: NDArray[np.float64],
    right: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """For each subset (a row of `members`), the chance that a correct class wins its vote."""
    order = np.argsort(labels, kind="stable")
    order = order[labels[order] != NO_ANSWER]
    starts = np.flatnonzero(np.diff(labels[order], prepend=NO_ANSWER))
    taken = members[:, order]
    sums, size = (
        np.add.reduceat(taken * weight[order], starts, axis=1)
        for weight in (values, np.abs(values))
    )
    votes = np.add.reduceat(taken, starts, axis=1, dtype=np.int64)
    sums[votes == 0] = -np.inf
    empty = ~votes.any(axis=1)
    sums[empty] = 0.0  # nobody votes: nothing to order, and no share below
    top = sums.argmax(axis=1)[:, None]
    room = TIE * (size + np.take_along_axis(size, top, axis=1))
    # The first drawn of the tied classes' members is in each class as often as it has members.
    tied = np.where(np.take_along_axis(sums, top, axis=1) - sums <= room, votes, 0)
    shares: NDArray[np.float64] = tied[:, right].sum(axis=1) / np.maximum(tied.sum(axis=1), 1)
    return shares


def _every_subset(pool: int, n: int) -> NDArray[np.bool_]:
    chosen = np.array(list(itertools.combinations(range(pool), n)), np.int64)
    return _members(chosen, pool)


def _some_subsets(pool: int, n: int, subsets: int, seed: int) -> NDArray[np.bool_]:
    keys = np.random.default_rng(seed).random((subsets, pool), dtype=np.float32)
    return _members(np.argpartition(keys, n - 1, axis=1)[:, :n], pool)


def _members(chosen: NDArray[np.int64], pool: int) -> NDArray[np.bool_]:
    """Rows of indices as rows of membership."""
    members = np.zeros((len(chosen), pool), bool)
    np.put_along_axis(members, chosen, True, axis=1)
    return members


def ordered(scores: Sequence[float]) -> NDArray[np.float64]:
    """Scores as an array. Raises ValueError for a NaN, which has no place in an order."""
    values = np.asarray(scores, np.float64)
    if np.isnan(values).any():
        raise ValueError("a score is NaN")
    return values


def finite(scores: Sequence[float]) -> NDArray[np.float64]:
    """Scores as an array. Raises ValueError for one that cannot be summed."""
    values = np.asarray(scores, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a score that is to be summed is not finite")
    return values


def _flags(correct: Flags, size: int) -> NDArray[np.bool_]:
    if len(correct) != size:
        raise ValueError(f"{len(correct)} verdicts for {size} candidates")
    return np.array([bool(verdict) for verdict in correct], bool)


def _checked(pool: int, n: int) -> int:
    if not 1 <= n <= pool:
        raise ValueError(f"n={n} does not lie between 1 and the pool's {pool} candidates")
    return pool
