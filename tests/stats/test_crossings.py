"""Curves that meet where algebra says, and intervals that hold the truth as often as they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tts_bench.stats.crossings import CostCurve, gap_at, pareto, reach, shared_costs
from tts_bench.stats.estimators import paired_difference


def curve(costs, accuracies, problems=4):
    """The same cost and accuracy on every problem."""
    return CostCurve(
        np.repeat(np.array(accuracies, float)[:, None], problems, axis=1),
        np.repeat(np.array(costs, float)[:, None], problems, axis=1),
    )


def test_two_lines_cross_where_their_equations_say():
    # A: 0.2 + 0.3 log10(c), B: 0.5 + 0.1 log10(c); equal at log10(c) = 1.5.
    a = curve([1, 10, 100], [0.2, 0.5, 0.8])
    b = curve([1, 100], [0.5, 0.7])
    found = reach(a, b)
    assert found.cost == pytest.approx(10**1.5)
    # Four problems say nothing of others, alike as they are.
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert (found.ahead, found.behind, found.problems) == (0.0, 0.0, 4)


def test_the_crossing_does_not_depend_on_where_the_curves_were_measured():
    a = curve([1, 3, 7, 100], [0.2 + 0.3 * math.log10(c) for c in (1, 3, 7, 100)])
    b = curve([2, 40], [0.5 + 0.1 * math.log10(c) for c in (2, 40)])
    assert reach(a, b).cost == pytest.approx(10**1.5)


def test_a_single_point_is_a_level_that_the_curve_reaches_at_its_own_cost():
    a = curve([1, 10, 100], [0.2, 0.5, 0.8])
    dear, cheap = curve([1e6], [0.6]), curve([0.01], [0.6])
    assert reach(a, dear).cost == reach(a, cheap).cost == pytest.approx(10 ** (4 / 3))


def test_without_a_crossing_the_result_says_on_which_side():
    a, b = curve([1, 100], [0.6, 0.9]), curve([1, 100], [0.1, 0.2])
    ahead, behind = reach(a, b), reach(b, a)
    assert (ahead.cost, ahead.ahead, ahead.missing) == (-math.inf, 1.0, 1.0)
    assert (behind.cost, behind.low, behind.high) == (math.inf, math.inf, math.inf)
    assert (behind.behind, behind.missing) == (1.0, 1.0)


def test_only_measured_costs_count():
    a, b = curve([1, 10], [0.0, 0.4]), curve([20, 40], [0.5, 0.5])
    assert shared_costs(a, b) is None
    with pytest.raises(ValueError, match="share no cost"):
        reach(a, b)
    # They would cross at 100, which is beyond what A has measured.
    assert reach(curve([1, 50], [0.0, 0.85]), curve([1, 1000], [0.9, 0.9])).cost == math.inf


def test_curves_that_begin_alike_cross_only_after_one_fell_behind():
    a, b = curve([1, 10, 100], [0.5, 0.5, 0.9]), curve([1, 10, 100], [0.5, 0.7, 0.7])
    # From 10 on A gains 0.4 per decade and lacks 0.2.
    assert reach(a, b).cost == pytest.approx(10**1.5)
    assert reach(b, a).cost == math.inf  # ahead in between, and behind at the end
    assert reach(a, a).cost == -math.inf


def test_of_several_crossings_the_last_one_counts():
    # Ahead by chance at the beginning, behind in the middle, ahead at the end.
    a, b = curve([1, 10, 100], [0.52, 0.5, 0.9]), curve([1, 10, 100], [0.5, 0.7, 0.7])
    assert reach(a, b).cost == pytest.approx(10**1.5)
    # A curve that rises above a level and falls below it again does not keep it.
    hill, level = curve([1, 10, 100], [0.1, 0.8, 0.1]), curve([1, 100], [0.6, 0.6])
    assert reach(hill, level).cost == math.inf


def test_touching_is_reaching():
    a, b = curve([1, 10, 100], [0.1, 0.6, 0.8]), curve([1, 100], [0.6, 0.6])
    assert reach(a, b).cost == pytest.approx(10)


def test_the_gap_at_a_cost_lies_on_both_lines():
    a, b = curve([1, 10, 100], [0.2, 0.5, 0.8]), curve([1, 100], [0.5, 0.7])
    assert gap_at(a, b, 10).value == pytest.approx(0.5 - 0.6)
    assert gap_at(a, b, 100).value == pytest.approx(0.1)
    assert gap_at(a, curve([10], [0.4]), 10).value == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"outside the measured range \[1, 100\]"):
        gap_at(a, b, 200)


def test_at_a_measured_cost_the_gap_is_the_paired_difference():
    rng = np.random.default_rng(1)
    ours, theirs = rng.random((2, 80)), rng.random((2, 80))
    cost = np.repeat([[1.0], [8.0]], 80, axis=1)
    found = gap_at(CostCurve(ours, cost), CostCurve(theirs, cost), 8.0)
    plain = paired_difference(ours[1].tolist(), theirs[1].tolist())
    assert found.value == pytest.approx(plain.value)
    assert found.stderr == pytest.approx(plain.stderr, rel=0.05)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=0.01)


def test_where_nothing_varies_the_gap_keeps_the_bound_of_a_few_problems():
    a, b = curve([1, 10], [1.0, 1.0], 20), curve([1, 10], [1.0, 1.0], 20)
    found = gap_at(a, b, 5)
    assert found.value == 0.0
    assert found.low < -0.1 < 0.1 < found.high


def test_a_problem_of_unknown_cost_counts_in_accuracy_alone():
    known = curve([1, 100], [0.0, 1.0], 4)
    cost = known.cost.copy()
    cost[:, 0] = np.nan
    assert reach(CostCurve(known.accuracy, cost), curve([5], [0.5], 4)).cost == pytest.approx(10)
    with pytest.raises(ValueError, match="known cost"):
        CostCurve(known.accuracy, np.full_like(cost, np.nan))


def test_what_no_curve_is_made_of():
    with pytest.raises(ValueError, match="one shape"):
        CostCurve(np.zeros((2, 3)), np.ones((2, 4)))
    with pytest.raises(ValueError, match="same problems"):
        reach(curve([1, 2], [0, 1], 3), curve([1], [0.5], 4))
    with pytest.raises(ValueError, match="single point"):
        reach(curve([1], [0.5]), curve([1, 2], [0, 1]))


def test_the_frontier_is_what_nothing_dominates():
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs, values = rng.integers(1, 6, 12), rng.integers(0, 5, 12) / 4
        points = list(zip(costs.tolist(), values.tolist(), strict=True))
        wanted = [
            all(c > cost or v < value or (c, v) == (cost, value) for c, v in points)
            for cost, value in points
        ]
        assert pareto(costs.tolist(), values.tolist()) == wanted
    assert pareto([], []) == []


def suites(level, seed, problems=120, pool=8):
    """Curves of one simulated suite: coverage at k = 1, 2, 4, 8, beside one larger model.

    Each problem is solved by a draw with a skill from Beta(1, 2); the larger model solves it with
    1 - (1 - skill)^level, so that its mean accuracy is the coverage at k = level.
    """
    rng = np.random.default_rng(seed)
    skill = rng.beta(1, 2, problems)
    draws = rng.random((pool, problems)) < skill
    ks = [1, 2, 4, 8]
    solved = np.array([draws[:k].any(axis=0) for k in ks], float)
    tokens = rng.lognormal(5, 0.3, (pool, problems))
    cost = np.array([tokens[:k].sum(axis=0) for k in ks])
    large = (rng.random(problems) < 1 - (1 - skill) ** level).astype(float)
    return CostCurve(solved, cost), CostCurve(large[None], np.full((1, problems), 300.0))


def test_intervals_of_crossings_and_gaps_cover():
    # At k = 4 the small model's coverage is the larger one's accuracy, at four draws' cost.
    crossing, cheapest = 4 * math.exp(5 + 0.3**2 / 2), math.exp(5 + 0.3**2 / 2)
    runs, covered, gaps = 200, 0, 0
    for seed in range(runs):
        small, large = suites(4, seed)
        found = reach(small, large, resamples=300, seed=seed)
        covered += found.low <= crossing <= found.high
        # At 300 FLOPs, log2(300 / cheapest) of the way from k = 1 to k = 2.
        # Mean coverage at k is 1 - 2 / (k + 2) for skills from Beta(1, 2).
        gap = gap_at(small, large, 300.0, resamples=300, seed=seed)
        share = math.log2(300.0 / cheapest)
        between = (1 - share) * (1 - 2 / 3) + share * (1 - 2 / 4)
        gaps += gap.low <= between - (1 - 2 / 6) <= gap.high
    # Three binomial standard errors around 95 %.
    assert 0.9 <= covered / runs <= 0.995
    assert 0.9 <= gaps / runs <= 0.995


def test_a_crossing_at_which_nothing_varies_keeps_room_for_problems_that_were_not_seen():
    """Every problem is alike, so that all resamples agree on one cost."""
    a, b = curve([10, 1000], [0.0, 0.8], 30), curve([10, 1000], [0.4, 0.4], 30)
    found = reach(a, b)
    assert found.cost == pytest.approx(100)
    # Wilson's bound for 30 problems is u = 0.1135; accuracy rises by 0.8 in two decades.
    unseen = 1.959964**2 / (30 + 1.959964**2)
    assert found.low == pytest.approx(10 ** (2 * (0.4 - unseen) / 0.8 + 1), rel=1e-4)
    assert found.high == pytest.approx(10 ** (2 * (0.4 + unseen) / 0.8 + 1), rel=1e-4)
    # At the end of the range a little less would not reach at all.
    assert reach(curve([10, 1000], [0.0, 1.0], 30), curve([5], [1.0], 30)).high == math.inf


def test_where_crossings_vary_the_interval_is_that_of_the_resamples():
    small, large = suites(4, 1)
    found = reach(small, large, resamples=300)
    shares = [found.ahead, found.behind]
    assert all(0 <= share < 0.5 for share in shares)
    assert found.low < found.cost < found.high
