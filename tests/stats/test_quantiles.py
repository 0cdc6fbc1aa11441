from __future__ import annotations

import pytest
from scipy import stats
from scipy.stats import binomtest

from tts_bench.stats.quantiles import normal, normal_below, student, wilson


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_quantiles_are_scipys(confidence: float) -> None:
    assert normal(confidence) == pytest.approx(stats.norm.interval(confidence)[1])
    assert normal_below(confidence) == pytest.approx(stats.norm.ppf(confidence))
    for degrees in (1, 29, 10_000):
        assert student(confidence, degrees) == pytest.approx(
            stats.t.interval(confidence, degrees)[1]
        )


@pytest.mark.parametrize(("right", "n"), [(0, 1), (0, 30), (3, 40), (30, 30)])
def test_wilsons_interval_is_scipys(right: int, n: int) -> None:
    reference = binomtest(right, n).proportion_ci(0.9, method="wilson")
    assert wilson(right / n, n, 0.9) == pytest.approx((reference.low, reference.high))
