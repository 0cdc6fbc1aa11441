"""How often the reported intervals hold the truth: hundreds of simulated suites each, truth known.

A 95 % interval must hold it in 93 to 97 % (the simulation's own error is 0.5 to 1.2). What
docs/estimators.md says of coverage is measured here and in test_estimators.py. Truths are closed
forms or scipy's distributions, never the code that is tested.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pytest
from scipy.special import betaln
from scipy.stats import betabinom

from tts_bench.errors import UsageError
from tts_bench.report.gate import verdict
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import CellRecord
from tts_bench.report.policy import optimal
from tts_bench.report.policy.saving import saving_at
from tts_bench.stats.estimators import (
    Estimate,
    mean_interval,
    paired_difference,
    pass_at_k,
    ratio_of_means,
)
from tts_bench.stats.powerlaw import fit_coverage
from tts_bench.stats.significance import detectable_difference, mcnemar_exact
from tts_bench.strategy.select import SELECTORS

SUITES = 1000


def share_that_holds(
    truth: float, suites: Sequence[np.ndarray], interval: Callable[..., Estimate] = mean_interval
) -> float:
    found = [interval(suite) for suite in suites]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


# --- pass@1, coverage, majority ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "problems"), [(0.5, 30), (0.7, 100), (0.9, 100), (0.9, 500), (0.98, 500)]
)
def test_accuracy_of_single_attempts(rate: float, problems: int) -> None:
    suites = np.random.default_rng(0).binomial(1, rate, (SUITES, problems)).astype(float)
    assert 0.93 <= share_that_holds(rate, suites) <= 0.97


@pytest.mark.parametrize(("rate", "problems"), [(0.95, 100), (0.05, 200)])
def test_accuracies_near_0_and_1_cover_a_little_more(rate: float, problems: int) -> None:
    """Few outcomes are likely there, and no interval of a count covers evenly: see the docs."""
    suites = np.random.default_rng(0).binomial(1, rate, (SUITES, problems)).astype(float)
    assert 0.95 <= share_that_holds(rate, suites) <= 0.985


@pytest.mark.parametrize("problems", [50, 200])
@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 0.5)])
def test_coverage_of_a_pool_of_sixteen(alpha: float, beta: float, k: int, problems: int) -> None:
    rng = np.random.default_rng(1)
    solved = rng.binomial(16, rng.beta(alpha, beta, (SUITES, problems)))
    truth = -np.expm1(betaln(alpha, beta + k) - betaln(alpha, beta))
    suites = pass_at_k(16, np.arange(17), k)[solved]
    # pass@16 of 16 draws is 0 or 1: a count, with the unevenness of counts.
    assert 0.93 <= share_that_holds(truth, suites) <= (0.98 if k == 16 else 0.97)


@pytest.mark.parametrize("problems", [30, 60, 200])
@pytest.mark.parametrize("k", [1, 4, 8])
def test_coverage_of_suites_that_are_nearly_solved(k: int, problems: int) -> None:
    """Most values are 1 or nearly 1, and what is missing hangs on few problems."""
    rng = np.random.default_rng(13)
    truth = -np.expm1(betaln(3, 0.3 + k) - betaln(3, 0.3))
    suites = pass_at_k(16, np.arange(17), k)[draws_of_16(rng, 3, 0.3, (2 * SUITES, problems))]
    # Room for problems unseen: all misses are above where the sample holds too many hard ones.
    assert 0.93 <= share_that_holds(truth, suites) <= 0.985


@pytest.mark.parametrize("problems", [30, 60, 100, 200])
@pytest.mark.parametrize("share", [0.01, 0.02, 0.05])
def test_coverage_of_suites_with_few_unsolvable_problems(share: float, problems: int) -> None:
    rng, k = np.random.default_rng(14), 4
    solved = draws_of_16(rng, 8, 0.5, (2 * SUITES, problems))
    solved[rng.random(solved.shape) < share] = 0
    truth = -(1 - share) * np.expm1(betaln(8, 0.5 + k) - betaln(8, 0.5))
    suites = pass_at_k(16, np.arange(17), k)[solved]
    assert 0.93 <= share_that_holds(truth, suites) <= 0.985


@pytest.mark.parametrize("problems", [30, 100])
def test_hard_suites_cover_a_little_more(problems: int) -> None:
    rng = np.random.default_rng(15)
    suites = rng.binomial(64, rng.beta(0.3, 3, (SUITES, problems))) / 64
    assert 0.94 <= share_that_holds(1 / 11, suites) <= 0.99


def draws_of_16(
    rng: np.random.Generator, alpha: float, beta: float, shape: tuple[int, int]
) -> np.ndarray:
    """How many of 16 draws are right, with pass rates of a Beta distribution."""
    return rng.binomial(16, rng.beta(alpha, beta, shape))


@pytest.mark.parametrize("n", [5, 15])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (2.0, 1.0)])
def test_majority_of_a_pool_of_fifteen(alpha: float, beta: float, n: int) -> None:
    """One wrong answer beside the right one: the vote is right with more than half of n."""
    rng = np.random.default_rng(2)
    right = rng.binomial(15, rng.beta(alpha, beta, (4 * SUITES, 100)))
    expected = np.array([_majority(int(c), n) for c in range(16)])
    truth = float(betabinom.sf(n // 2, n, alpha, beta))
    assert 0.93 <= share_that_holds(truth, expected[right]) <= 0.97


def _majority(right: int, n: int) -> float:
    classes = [0] * right + [1] * (15 - right)
    correct = [True] * right + [False] * (15 - right)
    found = SELECTORS["majority"].expected(classes, (), correct, n)
    return found.value


# --- the power law -------------------------------------------------------------------------------


@pytest.mark.slow
def test_constants_and_curve_of_a_coverage_fit() -> None:
    """The truth is the law that fits the exact curve best: what ever more problems lead to."""
    ks, rng = [2**i for i in range(7)], np.random.default_rng(3)
    exact = -np.expm1(betaln(0.3, 0.5 + np.array(ks, float)) - betaln(0.3, 0.5))
    truth = fit_coverage(ks, exact)
    table = pass_at_k(64, np.arange(65)[:, None], np.array(ks)[None, :])
    hits = []
    for _ in range(SUITES // 2):
        fit = fit_coverage(ks, table[rng.binomial(64, rng.beta(0.3, 0.5, 150))])
        curve, beyond = fit.interval(64), fit.interval(256)
        hits.append(
            (
                abs(fit.a - truth.a) <= 1.976 * fit.stderr_a,  # Student's, 149 degrees
                abs(fit.b - truth.b) <= 1.976 * fit.stderr_b,
                curve[0] <= truth.predict(64) <= curve[1],
                beyond[0] <= truth.predict(256) <= beyond[1],
            )
        )
    assert np.all((np.mean(hits, axis=0) >= 0.93) & (np.mean(hits, axis=0) <= 0.97))


# --- pairs: compare ------------------------------------------------------------------------------


@pytest.mark.parametrize(("only_a", "only_b"), [(0.15, 0.10), (0.2, 0.2), (0.30, 0.05)])
def test_difference_of_two_systems_on_the_same_problems(only_a: float, only_b: float) -> None:
    rng, suites = np.random.default_rng(4), []
    for split in rng.multinomial(100, [only_a, only_b, 1 - only_a - only_b], SUITES):
        suites.append(np.repeat([1.0, -1.0, 0.0], split))

    def interval(gaps: np.ndarray) -> Estimate:
        return paired_difference(gaps.clip(0, 1), (-gaps).clip(0, 1), resamples=1000)

    assert 0.93 <= share_that_holds(only_a - only_b, suites, interval) <= 0.97


@pytest.mark.parametrize(("problems", "most"), [(30, 1.0), (60, 1.0), (100, 1.0), (200, 0.99)])
def test_a_difference_on_one_problem_in_fifty(problems: int, most: float) -> None:
    """One system fails there; elsewhere both are nearly solved, with noise of their draws.

    With fewer than about four such problems to be expected, coverage is above 97 %: the sample
    says no more of problems on which the other system may fail.
    """
    rng, table = np.random.default_rng(16), pass_at_k(16, np.arange(17), 4)
    shape = (SUITES // 2, problems)
    a, b = (table[draws_of_16(rng, 8, 0.5, shape)] for _ in "ab")
    b[rng.random(shape) < 0.02] = 0.0
    truth = -0.02 * np.expm1(betaln(8, 4.5) - betaln(8, 0.5))
    assert 0.94 <= share_of_pairs(truth, a, b) <= most


@pytest.mark.parametrize(("only_a", "only_b"), [(0.05, 0.01), (0.03, 0.03)])
def test_few_differences_of_both_signs(only_a: float, only_b: float) -> None:
    drawn = np.random.default_rng(17).random((SUITES // 2, 200))
    a, b = (drawn < only_a).astype(float), (drawn > 1 - only_b).astype(float)
    assert 0.93 <= share_of_pairs(only_a - only_b, a, b) <= 0.985


def share_of_pairs(truth: float, a: np.ndarray, b: np.ndarray) -> float:
    found = [paired_difference(x, y, resamples=400) for x, y in zip(a, b, strict=True)]
    return float(np.mean([one.low <= truth <= one.high for one in found]))


@pytest.mark.parametrize("problems", [30, 60, 200])
@pytest.mark.parametrize(("between", "within"), [(0.5, 0.2), (1.0, 0.5), (1.5, 1.0), (0.2, 1.5)])
def test_ratios_of_costs_with_heavy_tails(between: float, within: float, problems: int) -> None:
    """Lognormal costs: what problems differ by, for both systems, and what each run adds."""
    rng, shape = np.random.default_rng(18), (SUITES, problems)
    size = rng.lognormal(0, between, shape)
    a, b = (mean * size * rng.lognormal(0, within, shape) for mean in (2.0, 1.0))
    found = [ratio_of_means(x, y) for x, y in zip(a, b, strict=True)]
    assert 0.93 <= np.mean([one.low <= 2.0 <= one.high for one in found]) <= 0.99


@pytest.mark.parametrize(("discordant", "problems"), [(0.1, 100), (0.3, 100), (0.3, 500)])
def test_size_and_power_of_mcnemar(discordant: float, problems: int) -> None:
    """The exact test never exceeds its level; on few discordant problems it stays well below."""
    p_value = cache(mcnemar_exact)
    rng = np.random.default_rng(5)

    def rejected(share_of_a: float) -> float:
        split = [discordant * share_of_a, discordant * (1 - share_of_a), 1 - discordant]
        tables = rng.multinomial(problems, split, 2 * SUITES)
        return float(np.mean([p_value(int(a), int(b)) < 0.05 for a, b, _ in tables]))

    assert rejected(0.5) <= 0.05 + 3 * 0.0049
    assert rejected(0.9) > 0.5


# --- the compute-optimal policy ------------------------------------------------------------------

RATES = np.array([[0.80, 0.84, 0.86], [0.10, 0.25, 0.45]])
"""Accuracy by bin (rows) of three strategies that cost ..."""
COSTS = np.array([1.0, 4.0, 16.0])


def a_grid(rng: np.random.Generator, problems: int, draws: int) -> optimal._Grid:
    """A run of the three strategies on problems of two bins; seeds stand for expectations."""
    bins = np.sort(rng.integers(0, 2, problems))
    rates = RATES[bins].T
    wiggle = (rng.random(problems) - 0.5) * np.minimum(rates, 1 - rates)
    accuracy = rng.binomial(draws, rates + wiggle) / draws
    flops = np.tile(COSTS[:, None], problems)
    folds = optimal._folds(bins, int(rng.integers(2**31)))
    return optimal._Grid(
        (None,) * 3, accuracy, flops, bins, folds, np.zeros(problems), np.arange(3)
    )


@pytest.mark.parametrize("draws", [1, 16])
@pytest.mark.parametrize("problems", [60, 200])
def test_value_of_the_cross_fitted_policy(problems: int, draws: int) -> None:
    """The truth is the mean value, over all problems there are, of what both folds chose."""
    rng, hits, optimism = np.random.default_rng(6), [], []
    for _ in range(SUITES // 2):
        grid = a_grid(rng, problems, draws)
        accuracy, _ = optimal._cross_fit(grid, 17.0)
        found, truth = mean_interval(accuracy.tolist()), _true_value(grid)
        hits.append(found.low <= truth <= found.high)
        optimism.append(found.value - truth)
    assert 0.93 <= np.mean(hits) <= 0.97
    assert abs(np.mean(optimism)) < 0.005  # chosen on other problems: no winner's curse


def _true_value(grid: optimal._Grid) -> float:
    value = 0.0
    for b in (0, 1):
        for fold in (0, 1):
            chosen_on = np.flatnonzero((grid.bins == b) & (grid.folds != fold))
            value += RATES[b, optimal._best(grid, chosen_on, 17.0)] / 4  # bins and folds are halves
    return value


def test_resampled_policies_are_those_of_the_problems_themselves() -> None:
    """With every problem once, the resampled policy is the policy; with some twice, theirs."""
    rng = np.random.default_rng(7)
    for budget in (0.5, 2.0, 5.0, 17.0):
        grid = a_grid(rng, 60, 4)
        weights = np.stack([np.ones(60), rng.integers(1, 3, 60)])
        accuracy, flops = optimal._cross_fit_means(grid, budget, weights)
        found = [one.mean() for one in optimal._cross_fit(grid, budget)]
        assert (accuracy[0], flops[0]) == pytest.approx(tuple(found))
        columns = np.repeat(np.arange(60), weights[1].astype(int))
        twice = optimal._Grid(
            grid.points,
            grid.accuracy[:, columns],
            grid.flops[:, columns],
            grid.bins[columns],
            grid.folds[columns],
            grid.prediction[columns],
            grid.uniform,
        )
        expected = optimal._cross_fit(twice, budget)[0].mean() * len(columns) / 60
        assert accuracy[1] == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize(("draws", "budget"), [(1, 5.0), (16, 5.0), (1, 16.0)])
def test_the_saving(draws: int, budget: float) -> None:
    """The truth is the saving of what both folds chose, over all problems there are.

    A budget of 16 binds nothing: what resamples reach lies beyond the baseline as often as not.
    """
    rng, hits = np.random.default_rng(8), []
    for suite in range(SUITES // 2):
        grid = a_grid(rng, 100, draws)
        [found] = optimal._bootstrap_savings(grid, np.array([budget]), 100, suite)
        truth = _true_saving(grid, budget)
        hits.append(found[0] - 1e-9 <= truth <= found[1] + 1e-9)
    assert 0.93 <= np.mean(hits) <= 0.99  # the percentile bootstrap is a little wide here


def _true_saving(grid: optimal._Grid, budget: float) -> float:
    value = cost = 0.0
    for b in (0, 1):
        for fold in (0, 1):
            chosen_on = np.flatnonzero((grid.bins == b) & (grid.folds != fold))
            row = optimal._best(grid, chosen_on, budget)
            value, cost = value + RATES[b, row] / 4, cost + COSTS[row] / 4
    return saving_at(COSTS, RATES.mean(axis=0).round(12), round(value, 12), cost)


# --- the gate ------------------------------------------------------------------------------------

PROBLEMS = 200


def systems(rng: np.random.Generator, drop: float) -> tuple[Point, Point]:
    """A run whose true accuracy has dropped by `drop`, and its baseline, drawn independently."""
    skills = drop + rng.beta(2, 2, PROBLEMS) * (1 - drop)
    drawn = (rng.random(PROBLEMS) < rates for rates in (skills - drop, skills))
    run, base = ({f"p{i}": float(one) for i, one in enumerate(right)} for right in drawn)
    cell = CellRecord("s", "s", {}, {})
    return Point(cell, None, {"accuracy": run}), Point(cell, None, {"accuracy": base})


def failed(drop: float, margin: float, seed: int) -> float:
    """How often the gate fails a run that is worse by `drop`, of the times that it decides."""
    rng, problems = np.random.default_rng(seed), [f"p{i}" for i in range(PROBLEMS)]
    found = []
    for _ in range(SUITES // 3):
        with contextlib.suppress(UsageError):  # a margin too fine for these very problems
            check = verdict._check_accuracy(*systems(rng, drop), problems, margin)
            found.append(check.status == "failed")
    assert len(found) > SUITES / 6
    return float(np.mean(found))


def spread(drop: float) -> float:
    """Standard error of the difference: two independent 0/1 draws on each problem."""
    base = drop + np.random.default_rng(8).beta(2, 2, 100_000) * (1 - drop)
    variance = base * (1 - base) + (base - drop) * (1 - base + drop)
    return float(np.sqrt(variance.mean() / PROBLEMS))


@pytest.mark.slow
def test_a_true_drop_of_the_margin_is_failed_95_times_in_100() -> None:
    assert 0.93 <= failed(drop=0.16, margin=0.16, seed=9) <= 0.97


@pytest.mark.slow
def test_an_unchanged_system_is_failed_as_often_as_the_docs_say() -> None:
    """At most one in five at the finest margin to be seen, 2 % at one and a half times that."""
    finest = detectable_difference(spread(0.0))
    assert 0.12 <= failed(drop=0.0, margin=1.03 * finest, seed=10) <= 0.20
    assert failed(drop=0.0, margin=1.5 * finest, seed=11) == pytest.approx(0.02, abs=0.015)


@pytest.mark.slow
def test_the_stated_smallest_drop_is_seen_four_times_in_five() -> None:
    rng, seen = np.random.default_rng(12), []
    drop = detectable_difference(spread(0.11))
    for _ in range(SUITES // 2):
        run, base = (list(one.values["accuracy"].values()) for one in systems(rng, drop))
        seen.append(paired_difference(run, base, confidence=0.9, resamples=1000).high < 0)
    assert np.mean(seen) == pytest.approx(0.8, abs=0.04)
