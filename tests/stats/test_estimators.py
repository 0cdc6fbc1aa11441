from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.stats.estimators import (
    clustered_stderr,
    g_pass_at_k,
    mean_interval,
    paired_difference,
    pass_at_k,
    ratio_of_means,
)
from tts_bench.stats.quantiles import wilson

# --- pass@k --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_subsets_that_hold_a_correct_draw(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        subsets = list(itertools.combinations(range(n), k))
        share = sum(min(subset) < c for subset in subsets) / len(subsets)
        assert float(pass_at_k(n, c, k)) == pytest.approx(share, abs=1e-14)


def test_pass_at_k_takes_arrays_of_problems_and_of_k() -> None:
    c, k = np.array([0, 3, 10]), np.array([[1], [4], [10]])
    table = pass_at_k(10, c, k)
    assert table.shape == (3, 3)
    assert table[1, 1] == pytest.approx(1 - math.comb(7, 4) / math.comb(10, 4))
    assert table[:, 0].tolist() == [0, 0, 0]
    assert table[:, 2].tolist() == [1, 1, 1]


def test_pass_at_k_keeps_its_digits_where_it_is_small_or_the_pool_is_large() -> None:
    assert float(pass_at_k(10_000, 1, 1)) == pytest.approx(1e-4, rel=1e-14)
    exact = 1 - math.comb(9_000, 500) / math.comb(10_000, 500)
    assert float(pass_at_k(10_000, 1_000, 500)) == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(4, 5, 1), (4, -1, 1), (4, 2, 5), (4, 2, 0)])
def test_pass_at_k_refuses_what_cannot_be(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match=r"pass@k needs"):
        pass_at_k(n, c, k)
    with pytest.raises(ValueError, match=r"G-Pass@k needs"):
        g_pass_at_k(n, c, k, Fraction(1, 2))


@pytest.mark.parametrize("share", [Fraction(1, 100), Fraction(1, 2), Fraction(3, 4), Fraction(1)])
def test_g_pass_at_k_is_the_share_of_subsets_with_enough_correct_draws(share: Fraction) -> None:
    for c, k in itertools.product(range(7), range(1, 7)):
        subsets = list(itertools.combinations(range(6), k))
        right = [sum(one < c for one in subset) for subset in subsets]
        expected = sum(number >= share * k for number in right) / len(subsets)
        assert g_pass_at_k(6, c, k, share) == pytest.approx(expected, abs=1e-14)
    assert g_pass_at_k(64, 40, 8, Fraction(1, 100)) == pytest.approx(float(pass_at_k(64, 40, 8)))


# --- intervals of a mean -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [(15, 30, 0.332, 0.668), (17, 30, 0.392, 0.726), (50, 100, 0.404, 0.596)],
)
def test_interval_of_zeros_and_ones_is_wilsons(right: int, n: int, low: float, high: float) -> None:
    estimate = mean_interval([1.0] * right + [0.0] * (n - right))
    assert (estimate.low, estimate.high) == (
        pytest.approx(low, abs=5e-4),
        pytest.approx(high, abs=5e-4),
    )
    assert estimate.value == pytest.approx(right / n)
    assert estimate.n == n


def test_interval_of_zeros_and_ones_agrees_with_scipy() -> None:
    from scipy.stats import binomtest

    reference = binomtest(3, 40).proportion_ci(0.9, method="wilson")
    estimate = mean_interval([1.0] * 3 + [0.0] * 37, confidence=0.9)
    assert (estimate.low, estimate.high) == pytest.approx((reference.low, reference.high))


@pytest.mark.parametrize("value", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("n", [1, 30])
def test_interval_of_equal_values_does_not_collapse(value: float, n: int) -> None:
    estimate = mean_interval([value] * n)
    assert 0 <= estimate.low <= value <= estimate.high <= 1
    assert estimate.high - estimate.low > 1 / (n + 4)


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0, 1 / 3]), min_size=1, max_size=20))
def test_interval_holds_its_mean_and_stays_within_bounds(values: list[float]) -> None:
    estimate = mean_interval(values)
    assert 0 <= estimate.low <= estimate.value + 1e-12
    assert estimate.value - 1e-12 <= estimate.high <= 1


def test_several_draws_a_problem_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    rates = rng.beta(2, 2, size=200)
    one, many = rng.binomial(1, rates), rng.binomial(16, rates) / 16
    assert mean_interval(many).stderr < 0.7 * mean_interval(one).stderr


@pytest.mark.parametrize("values", [[], [1.5], [-0.1], [math.nan]])
def test_interval_refuses_what_is_no_accuracy(values: list[float]) -> None:
    with pytest.raises(ValueError, match=r"at least one value|\[0, 1\]"):
        mean_interval(values)


def covered(
    alpha: float, beta: float, problems: int, draws: int, suites: int, seed: int = 0
) -> float:
    """Share of simulated suites whose 95 % interval holds the mean pass rate."""
    rng = np.random.default_rng(seed)
    rates = rng.beta(alpha, beta, size=(suites, problems))
    results = rng.binomial(draws, rates) / draws
    estimates = [mean_interval(suite) for suite in results]
    truth = alpha / (alpha + beta)
    return float(np.mean([estimate.low <= truth <= estimate.high for estimate in estimates]))


@pytest.mark.parametrize("problems", [30, 100, 500])
@pytest.mark.parametrize("draws", [1, 4, 64])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 0.5)])
def test_intervals_cover_as_often_as_they_claim(
    alpha: float, beta: float, draws: int, problems: int
) -> None:
    assert 0.93 <= covered(alpha, beta, problems, draws, suites=1000) <= 0.97


NEARLY_ONE = 1 - 1 / 1820
"""Coverage at 4 of 16 draws, 12 of them right."""


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40))
def test_no_interval_is_shorter_than_that_of_as_many_ones(values: list[float]) -> None:
    found, ones = mean_interval(values), mean_interval([1.0] * len(values))
    assert found.high - found.low >= ones.high - ones.low - 1e-12
    assert found.low <= ones.low + 1e-12


@pytest.mark.parametrize(("n", "others"), [(5, 1), (30, 1), (30, 3), (200, 1), (200, 5)])
def test_better_problems_of_a_nearly_solved_suite_raise_both_ends(n: int, others: int) -> None:
    raised = [*np.linspace(0, 1, 41), NEARLY_ONE, 1.0]
    found = [mean_interval([1.0] * (n - others) + [x] * others) for x in sorted(raised)]
    assert np.all(np.diff([one.low for one in found]) > -1e-12)
    assert np.all(np.diff([one.high for one in found]) > -1e-12)


@pytest.mark.parametrize("x", [0.0, 0.5, NEARLY_ONE])
def test_more_ones_raise_the_low_end(x: float) -> None:
    lows = [mean_interval([x] + [1.0] * ones).low for ones in range(1, 200)]
    assert np.all(np.diff(lows) > 0)


def test_zeros_mirror_ones() -> None:
    values = [1.0] * 12 + [NEARLY_ONE] * 5 + [0.3]
    found, mirrored = mean_interval(values), mean_interval([1 - x for x in values])
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - found.high, 1 - found.low))


# --- clusters and pairs --------------------------------------------------------------------------


def test_clustered_error_is_the_plain_one_where_each_value_is_its_own_cluster() -> None:
    values = [0.1, 0.9, 0.4, 0.4, 1.0]
    plain = float(np.std(values, ddof=1)) / math.sqrt(5)
    assert clustered_stderr(values, range(5)) == pytest.approx(plain)


def test_clustered_error_of_copies_is_that_of_the_originals() -> None:
    values, copies = [0.0, 1.0, 1.0, 0.0, 1.0], 4
    repeated = [value for value in values for _ in range(copies)]
    clusters = [f"source {i}" for i in range(5) for _ in range(copies)]
    assert clustered_stderr(repeated, clusters) == pytest.approx(clustered_stderr(values, range(5)))


def test_clustered_error_needs_two_clusters() -> None:
    with pytest.raises(ValueError, match="at least two clusters"):
        clustered_stderr([0.0, 1.0], ["a", "a"])


def test_paired_difference_knows_direction_and_repeats_itself() -> None:
    rng = np.random.default_rng(1)
    weak = rng.random(200)
    strong = np.minimum(weak + 0.1 * rng.random(200), 1.0)
    estimate = paired_difference(strong, weak)
    assert estimate.value == pytest.approx(float(np.mean(strong - weak)))
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate == paired_difference(strong, weak)
    mirrored = paired_difference(weak, strong)
    assert mirrored.low == pytest.approx(-estimate.high, abs=2e-4)


def test_paired_bootstrap_agrees_with_scipy_in_a_large_suite() -> None:
    from scipy.stats import bootstrap

    rng = np.random.default_rng(2)
    a, b = rng.integers(0, 2, 400).astype(float), rng.integers(0, 2, 400).astype(float)
    reference = bootstrap((a - b,), np.mean, method="percentile", rng=0).confidence_interval
    estimate = paired_difference(a, b)
    assert (estimate.low, estimate.high) == pytest.approx(
        (reference.low, reference.high), abs=0.006
    )


def test_pairs_that_never_differ_still_leave_room_for_a_difference() -> None:
    estimate = paired_difference([1.0, 0.0] * 15, [1.0, 0.0] * 15)
    assert estimate.value == 0
    assert estimate.high == -estimate.low == pytest.approx(1.96**2 / (30 + 1.96**2), abs=1e-3)


def test_pairs_that_hardly_differ_leave_as_much_room() -> None:
    alike = paired_difference([1.0] * 30, [1.0] * 30)
    hardly = paired_difference([1.0] * 29 + [NEARLY_ONE], [1.0] * 30)
    assert hardly.high - hardly.low >= alike.high - alike.low - 1e-12
    assert hardly.low < alike.low
    assert hardly.high < alike.high


def test_one_pair_tells_nothing_of_others() -> None:
    estimate = paired_difference([1.0], [0.0])
    assert (estimate.value, estimate.high) == (1.0, 1.0)
    assert estimate.low == pytest.approx(1 - wilson(0.0, 1)[1])


def test_pairs_need_the_same_problems() -> None:
    with pytest.raises(ValueError, match="equal lengths"):
        paired_difference([1.0], [1.0, 0.0])


@pytest.mark.parametrize("draws", [1, 4])
@pytest.mark.parametrize("problems", [30, 100, 500])
def test_paired_intervals_cover_as_often_as_they_claim(draws: int, problems: int) -> None:
    rng = np.random.default_rng(3)
    hits = []
    for _ in range(1000):
        weak = rng.beta(0.5, 0.5, size=problems)
        strong = weak + 0.3 * rng.random(problems) * (1 - weak)
        estimate = paired_difference(
            rng.binomial(draws, strong) / draws,
            rng.binomial(draws, weak) / draws,
            resamples=1000,
        )
        hits.append(estimate.low <= 0.075 <= estimate.high)
    assert 0.93 <= np.mean(hits) <= 0.97


def test_a_ratio_of_means_brackets_the_truth_as_often_as_it_says():
    rng, hits = np.random.default_rng(5), 0
    for _ in range(400):
        size = rng.lognormal(0.0, 0.5, 60)  # problems differ; both systems pay for it
        a, b = 2.0 * size * rng.lognormal(0, 0.2, 60), size * rng.lognormal(0, 0.2, 60)
        ratio = ratio_of_means(a, b)
        hits += ratio.low <= 2.0 <= ratio.high
    assert 0.91 <= hits / 400 <= 0.98


def test_a_ratio_is_open_where_its_costs_tell_too_little():
    for a, b in (([3.0], [2.0]), ([1.0, 9.0], [9.0, 1.0])):
        ratio = ratio_of_means(a, b)
        assert (ratio.low, ratio.high) == (0.0, math.inf)
        assert ratio.value == sum(a) / sum(b)
    assert ratio_of_means([0.0, 0.0], [1.0, 2.0]).value == 0.0


def test_a_ratio_is_fiellers():
    """All r for which Student's test does not tell the mean of a - r·b from 0."""
    from scipy.stats import ttest_1samp

    rng = np.random.default_rng(6)
    a, b = rng.lognormal(1, 1, 40), rng.lognormal(0, 1, 40)
    ratio = ratio_of_means(a, b)
    assert 0 < ratio.low < ratio.value < ratio.high
    for end in (ratio.low, ratio.high):
        assert ttest_1samp(a - end * b, 0.0).pvalue == pytest.approx(0.05)


def test_a_ratio_of_equal_costs_is_one_and_has_no_width():
    ratio = ratio_of_means([3.0, 5.0], [3.0, 5.0])
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="positive"):
        ratio_of_means([1.0], [0.0])
    with pytest.raises(ValueError, match="one length"):
        ratio_of_means([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="at least 0"):
        ratio_of_means([-1.0, 3.0], [1.0, 2.0])
