from __future__ import annotations

import itertools
import math
import random
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from tts_bench.stats.estimators import mean_interval
from tts_bench.stats.ranking import (
    Passing,
    auc,
    auc_of,
    auc_within,
    brier_of,
    calibration_of,
    estimate,
    harmonic_mean,
    mean_of,
    reliability,
)


def over_rows(of, scores, right, weights=None, **options):
    """A figure of rows that each are a problem of their own."""
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    return of(scores, right, np.arange(len(scores)), **options)(weights)


weighted_auc, brier = partial(over_rows, auc_of), partial(over_rows, brier_of)
calibration_error = partial(over_rows, calibration_of)

coarse = st.integers(0, 5).map(lambda i: i / 5)
scored = st.lists(st.tuples(coarse, st.booleans()), min_size=2, max_size=30)


@settings(deadline=None)
@given(scored)
def test_auc_is_mann_and_whitneys_u_over_the_pairs(rows):
    scores, right = (list(column) for column in zip(*rows, strict=True))
    above = [score for score, one in rows if one]
    below = [score for score, one in rows if not one]
    if not above or not below:
        assert math.isnan(auc(scores, right))
        return
    expected = mannwhitneyu(above, below).statistic / (len(above) * len(below))
    assert auc(scores, right) == pytest.approx(expected)


@settings(deadline=None)
@given(scored, st.randoms(use_true_random=False))
def test_a_weight_counts_as_so_many_copies(rows, rng):
    counts = [rng.randrange(3) for _ in rows]
    copies = [row for row, count in zip(rows, counts, strict=True) for _ in range(count)]
    scores, right = (list(column) for column in zip(*rows, strict=True))
    for metric in (weighted_auc, brier, calibration_error):
        weighted = metric(scores, right, counts)
        if not copies:
            assert math.isnan(weighted)
            continue
        plain = metric(*(list(column) for column in zip(*copies, strict=True)))
        assert weighted == pytest.approx(plain, nan_ok=True)


def test_auc_within_groups_leaves_out_those_without_both_kinds():
    scores, right = [0.9, 0.1, 0.5, 0.6, 0.2, 0.2], [True, False, True, True, False, True]
    assert auc_within(scores, right, [0, 0, 1, 1, 2, 2]) == {0: 1.0, 2: 0.5}


def test_a_verifier_that_knows_only_the_problem_has_an_auc_but_none_within():
    """Three of four solutions of an easy problem are right, one of four of a hard one."""
    scores = [0.9] * 4 + [0.1] * 4
    right = [True, True, True, False, True, False, False, False]
    assert auc(scores, right) == pytest.approx(12 / 16)
    assert auc_within(scores, right, [0] * 4 + [1] * 4) == {0: 0.5, 1: 0.5}


def test_calibration_error_by_hand():
    """Bins of width 1/4: two scores of mean 0.1, one right; two of mean 0.85, both right."""
    scores, right = [0.0, 0.2, 0.8, 0.9], [False, True, True, True]
    assert calibration_error(scores, right, bins=4) == pytest.approx(0.5 * 0.4 + 0.5 * 0.15)
    [low, high] = reliability(scores, right, bins=4)
    assert (low.low, low.high, low.count, low.share_right) == (0.0, 0.25, 2, 0.5)
    assert (high.low, high.high, high.mean_score) == (0.75, 1.0, pytest.approx(0.85))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_error_agrees_with_a_loop_over_bins(rows):
    """Guo et al.'s bins: I_m = ((m-1)/M, m/M], and 0 in the first."""
    bins, total = 10, 0.0
    for m in range(1, bins + 1):
        edges = np.linspace(0, 1, bins + 1)
        inside = [
            (score, right)
            for score, right in rows
            if edges[m - 1] < score <= edges[m] or (m == 1 and score == 0)
        ]
        if inside:
            accuracy = sum(right for _, right in inside) / len(inside)
            confidence = sum(score for score, _ in inside) / len(inside)
            total += len(inside) / len(rows) * abs(accuracy - confidence)
    found = calibration_error(*(list(column) for column in zip(*rows, strict=True)), bins=bins)
    assert found == pytest.approx(total)


def test_brier_by_hand():
    assert brier([0.5, 1.0, 0.0], [True, True, True]) == pytest.approx((0.25 + 0 + 1) / 3)


def predicted(scores, threshold):
    """As ProcessBench says it: the first step whose score is below the threshold."""
    return next((i for i, score in enumerate(scores) if score < threshold), -1)


def slow_f1(solutions, labels, threshold):
    found = [predicted(one, threshold) == k for one, k in zip(solutions, labels, strict=True)]
    wrong = [right for right, k in zip(found, labels, strict=True) if k >= 0]
    clean = [right for right, k in zip(found, labels, strict=True) if k < 0]
    return harmonic_mean(sum(wrong) / len(wrong), sum(clean) / len(clean))


solutions = st.lists(
    st.lists(coarse, min_size=1, max_size=5).flatmap(
        lambda steps: st.tuples(st.just(steps), st.integers(-1, len(steps) - 1))
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(solutions, st.sampled_from([-0.1, 0.0, 0.1, 0.2, 0.5, 0.6, 1.0, 1.1]))
def test_the_first_error_is_found_exactly_where_the_definition_finds_it(found, threshold):
    steps, labels = (list(column) for column in zip(*found, strict=True))
    expected = [predicted(one, threshold) == k for one, k in found]
    assert Passing.of(steps, labels).found(threshold).tolist() == expected


@settings(deadline=None)
@given(solutions)
def test_no_threshold_is_better_than_the_one_that_is_fitted(found):
    steps, labels = (list(column) for column in zip(*found, strict=True))
    passing = Passing.of(steps, labels)
    best, every = passing.best_threshold(), np.ones(len(steps))
    if not {True, False} <= {k >= 0 for k in labels}:
        assert math.isnan(best)
        assert math.isnan(passing.f1(0.5)(every))
        return
    tried = [i / 10 - 0.05 for i in range(14)]
    assert slow_f1(steps, labels, best) == pytest.approx(
        max(slow_f1(steps, labels, threshold) for threshold in tried)
    )
    assert passing.f1(best)(every) == pytest.approx(slow_f1(steps, labels, best))


def test_f1_by_hand():
    """One of two errors is found at its very step, three of four clean solutions stay clean."""
    steps = [[0.9, 0.2], [0.1, 0.2], [0.9], [0.8, 0.8], [0.7], [0.3, 0.9]]
    f1 = Passing.of(steps, [1, 1, -1, -1, -1, -1]).f1(0.5)
    assert f1(np.ones(6)) == pytest.approx(2 * 0.5 * 0.75 / 1.25)
    # Without the solution that is found, no error is: nothing is left of the mean.
    assert f1(np.array([0, 1, 1, 1, 1, 1.0])) == 0.0


def test_weights_of_problems_are_those_of_all_their_rows():
    owners = np.array([0, 0, 1, 2, 2, 2])
    scores, right = [0.9, 0.2, 0.6, 0.3, 0.3, 0.8], [True, False, True, False, True, False]
    weights = np.array([2.0, 0.0, 3.0])
    spread = weights[owners]
    for of, plain in (
        (auc_of, weighted_auc),
        (calibration_of, calibration_error),
        (brier_of, brier),
    ):
        assert of(scores, right, owners)(weights) == pytest.approx(plain(scores, right, spread))


def test_harmonic_mean_of_nothing_is_nothing():
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert math.isnan(harmonic_mean(math.nan, 0.5))


def test_the_interval_of_a_mean_is_that_of_the_bootstrap():
    values = np.array([random.Random(i).random() for i in range(60)])
    found = estimate(mean_of(values, np.arange(60)), 60, resamples=4000)
    assert found is not None
    error = values.std(ddof=1) / math.sqrt(60)
    assert found.value == pytest.approx(values.mean())
    assert found.stderr == pytest.approx(error, rel=0.05)
    # Student's quantile for 59 degrees of freedom.
    assert found.low == pytest.approx(found.value - 2.0 * error, abs=0.15 * error)
    assert found.high == pytest.approx(found.value + 2.0 * error, abs=0.15 * error)
    assert found.n == 60


@pytest.mark.parametrize("low", [1 - 1 / 1820, 0.999, 0.9])
def test_no_interval_is_shorter_than_that_of_as_many_ones(low):
    """Values that are nearly alike say nothing of problems that the sample happens not to hold."""
    ones = mean_interval([1.0] * 30)
    for values in ([1.0] * 29 + [low], [0.0] * 29 + [1 - low]):
        found = estimate(mean_of(values, np.arange(30)), 30, 200)
        assert found is not None
        assert found.high - found.low >= ones.high - ones.low - 1e-12
        assert 0 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(("a", "b"), [(3.0, 0.3), (0.3, 3.0), (1.0, 1.0)])
def test_intervals_hold_the_truth_near_the_ends_and_between(a, b):
    """Means of fractions over 30 problems; percentiles alone hold it in 89 % near the ends."""
    rng, held, runs = np.random.default_rng(7), 0, 400
    for seed in range(runs):
        draws = rng.binomial(8, rng.beta(a, b, 30)) / 8
        found = estimate(mean_of(draws, np.arange(30)), 30, 300, seed)
        assert found is not None
        held += found.low <= a / (a + b) <= found.high
    # Three binomial standard errors below 95 %.
    assert held / runs >= 0.917


def test_an_auc_of_nearly_all_pairs_keeps_room_for_what_was_not_seen():
    rng, held, runs = np.random.default_rng(3), 0, 200
    # Scores N(2.5, 1) against N(0, 1): the true AUC is Phi(2.5 / sqrt 2) = 0.96145.
    owners = np.repeat(np.arange(30), 2)
    right = np.tile([True, False], 30)
    for seed in range(runs):
        scores = rng.normal(np.where(right, 2.5, 0.0))
        found = estimate(auc_of(scores, right, owners), 30, 300, seed)
        assert found is not None
        held += found.low <= 0.96145 <= found.high
    assert held / runs >= 0.904


def test_an_estimate_is_a_function_of_its_seed():
    values = np.arange(20) / 20

    def at(seed):
        return estimate(mean_of(values, np.arange(20)), 20, 100, seed)

    assert at(0) == at(0)
    assert at(0) != at(1)


def test_resamples_without_a_value_are_left_out_and_no_value_is_none():
    scores, right = np.array([0.9, 0.1]), np.array([True, False])
    found = estimate(lambda weights: weighted_auc(scores, right, weights), 2)
    assert found is not None
    # Both draws of two problems can hit the same one: only half of the resamples have an AUC.
    # They agree on 1; the interval is then that of two successes out of two (Wilson, 1927).
    assert (found.value, found.low) == (1.0, pytest.approx(2 / (2 + 1.959964**2)))
    assert estimate(lambda weights: math.nan, 2) is None


def test_every_order_of_the_problems_has_the_same_figure():
    scores, right = np.array([0.2, 0.4, 0.4, 0.9]), np.array([False, True, False, True])
    values = {
        round(auc(scores[list(order)], right[list(order)]), 12)
        for order in itertools.permutations(range(4))
    }
    assert values == {0.875}
