"""Control, scaling, performance and elasticity, on numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from tts_bench.stats.control import Run, control, elasticities, performance, scaling

RUNS = [
    Run(1000, 0.50, 0, 1000),
    Run(2000, 0.54, 0, 1500),  # beyond its bound
    Run(4000, 0.60, 3000, 5000),
    Run(2000, 0.52, 2500, 5000),  # short of its bound
]


def test_control_is_the_share_within_the_bounds():
    assert control(RUNS) == 0.5


def test_scaling_is_the_mean_slope_of_all_pairs():
    slopes = [0.04e-3, 0.10 / 3000, 0.02e-3, 0.06 / 2000, 0.08 / 2000]
    assert scaling(RUNS) == pytest.approx(sum(slopes) / 5)
    assert scaling(RUNS) == pytest.approx(scaling(RUNS[::-1]))


def test_scaling_may_be_negative_and_needs_two_different_runs():
    assert scaling([Run(100, 0.4), Run(200, 0.3)]) == pytest.approx(-1e-3)
    assert scaling(RUNS[:1]) is None
    assert scaling([RUNS[1], RUNS[3]]) is None


def test_performance_is_the_best():
    assert performance(RUNS) == 0.60


def test_no_runs_have_no_figures():
    for figure in (control, performance):
        with pytest.raises(ValueError, match="at least one"):
            figure([])


def test_elasticity_is_one_where_the_budget_is_followed_and_negative_where_it_backfires():
    assert elasticities([10, 20, 40], [5, 10, 10]) == [pytest.approx(1.0), 0.0]
    [backfires] = elasticities([10, 20], [80, 40])
    assert backfires == pytest.approx(-1.0)
    [half] = elasticities([10, 40], [10, 20])
    assert half == pytest.approx(math.log(2) / math.log(4))
    assert elasticities([10, 10, 20], [1, 2, 0]) == [None, None]
    assert elasticities([10], [3]) == []
    with pytest.raises(ValueError, match="2 budgets for 1"):
        elasticities([1, 2], [1])
