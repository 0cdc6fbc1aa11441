"""The power law of coverage: its constants, their errors, and the reach of its extrapolation.

The reference is a world whose coverage is known in closed form: pass rates of Beta(α, β), of
which 1 - B(α, β + k) / B(α, β) are solved within k draws.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import curve_fit
from scipy.special import betaln

from tts_bench.stats.estimators import pass_at_k
from tts_bench.stats.powerlaw import (
    REACH,
    TOLERANCE,
    CoverageFit,
    extrapolate,
    fit_coverage,
    log_linear_range,
)

DRAWS = [1, 2, 4, 8, 16, 64, 256]


@pytest.mark.parametrize(("a", "b"), [(-2.237, -0.538), (-5.915, -0.2555), (-8.5, -0.127)])
def test_fit_finds_the_constants_of_a_power_law(a: float, b: float) -> None:
    fit = fit_coverage(DRAWS, [math.exp(a * k**b) for k in DRAWS])
    assert (fit.a, fit.b) == (pytest.approx(a, rel=1e-4), pytest.approx(b, rel=1e-4))
    assert fit.rmse < 1e-6
    assert fit.points == len(DRAWS)
    assert fit.predict(1000) == pytest.approx(math.exp(a * 1000**b), rel=1e-4)


def test_fit_tells_its_misfit() -> None:
    rng = np.random.default_rng(4)
    law = [math.exp(-2 * k**-0.4) for k in DRAWS]
    noisy = [min(1.0, share + rng.normal(0, 0.02)) for share in law]
    fit = fit_coverage(DRAWS, noisy)
    assert 0.002 < fit.rmse < 0.05
    assert np.all(np.diff(fit.predict(DRAWS)) > 0)


def test_fit_bears_coverage_of_zero_and_one_at_the_ends() -> None:
    fit = fit_coverage([1, 4, 16, 64, 256], [0.0, 0.1, 0.5, 0.9, 1.0])
    assert fit.a < 0
    assert fit.b < 0


@pytest.mark.parametrize(
    ("k", "coverage", "says"),
    [
        ([1, 2, 4], [0.1, 0.2, 0.3], "at least four"),
        ([1, 1, 2, 2], [0.1, 0.1, 0.2, 0.2], "at least four"),
        ([1, 2, 4, 8], [0.0] * 4, "0 or 1 throughout"),
        ([1, 2, 4, 8], [1.0] * 4, "0 or 1 throughout"),
        ([0, 2, 4, 8], [0.1, 0.2, 0.3, 0.4], "pairs"),
        ([1, 2, 4, 8], [0.1, 0.2, 0.3, 1.4], "pairs"),
        ([1, 2, 4, 8], [0.1, 0.2, 0.3], "pairs"),
    ],
)
def test_fit_refuses_what_has_no_power_law(k: list[int], coverage: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fit_coverage(k, coverage)


def test_fit_bears_a_flat_curve() -> None:
    fit = fit_coverage([1, 2, 4, 8], [0.5] * 4)
    assert fit.rmse < 1e-3


# --- against worlds whose coverage is known ------------------------------------------------------


def exact(alpha: float, beta: float, k) -> np.ndarray:
    """Coverage at k draws of a world of Beta(alpha, beta) pass rates."""
    return -np.expm1(betaln(alpha, beta + np.asarray(k, float)) - betaln(alpha, beta))


def powers(draws: int) -> list[int]:
    return [2**i for i in range(draws.bit_length())]


def simulate(rng, alpha: float, beta: float, problems: int, draws: int) -> np.ndarray:
    """pass@k (columns: powers of two) of each problem (rows), from a simulated pool."""
    solved = rng.binomial(draws, rng.beta(alpha, beta, problems))
    return pass_at_k(draws, solved[:, None], np.array(powers(draws))[None, :])


def test_a_fit_to_the_exact_curve_is_scipys() -> None:
    ks = powers(64)
    shares = exact(0.3, 0.5, ks)
    expected, _ = curve_fit(lambda k, a, b: np.exp(a * k**b), ks, shares, p0=(-1, -0.3))
    fit = fit_coverage(ks, shares)
    assert (fit.a, fit.b) == pytest.approx(tuple(expected), rel=1e-4)


def test_the_errors_are_those_of_a_bootstrap_over_problems() -> None:
    rng, ks = np.random.default_rng(0), powers(64)
    pools = simulate(rng, 0.3, 0.5, 150, 64)
    fit = fit_coverage(ks, pools)
    again = [fit_coverage(ks, pools[rng.integers(0, 150, 150)]) for _ in range(200)]
    assert fit.stderr_a == pytest.approx(np.std([one.a for one in again]), rel=0.15)
    assert fit.stderr_b == pytest.approx(np.std([one.b for one in again]), rel=0.15)
    low, high = fit.interval(256)
    ends = np.quantile([float(one.predict(256)) for one in again], [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(ends), abs=0.015)


def test_the_points_of_one_pool_are_not_independent() -> None:
    """What the scatter of the residuals gives for an error is many times too small."""
    ks = powers(64)
    pools = simulate(np.random.default_rng(1), 0.3, 0.5, 100, 64)
    _, scatter = curve_fit(lambda k, a, b: np.exp(a * k**b), ks, pools.mean(axis=0), p0=(-1, -0.3))
    assert fit_coverage(ks, pools).stderr_a > 3 * math.sqrt(scatter[0, 0])


def test_one_problem_has_no_errors() -> None:
    fit = fit_coverage(DRAWS, [math.exp(-2 * k**-0.4) for k in DRAWS])
    assert fit.stderr_a == fit.stderr_b == math.inf
    assert fit.interval(1000) == (0.0, 1.0)
    beyond = extrapolate(fit, DRAWS, [math.exp(-2 * k**-0.4) for k in DRAWS])
    assert not beyond.supported
    assert "one problem" in beyond.warning


def test_problems_that_are_all_alike_leave_no_error() -> None:
    law = [math.exp(-2 * k**-0.4) for k in DRAWS]
    fit = fit_coverage(DRAWS, [law] * 20)
    assert fit.stderr_a == pytest.approx(0.0, abs=1e-12)
    assert fit.interval(64) == pytest.approx((float(fit.predict(64)),) * 2)
    beyond = extrapolate(fit, DRAWS, [law] * 20)
    assert beyond.supported
    assert beyond.k == REACH * 256
    assert beyond.coverage == pytest.approx(math.exp(-2 * beyond.k**-0.4), rel=1e-4)


@pytest.mark.parametrize(("a", "b"), [(-800.0, -0.9), (-1e-4, -3.0)])
def test_intervals_stay_within_0_and_1(a: float, b: float) -> None:
    influence = np.array([[3.0, 1.0], [-3.0, -1.0], [0.5, 0.0], [-0.5, 0.0]])
    low, high = CoverageFit(a, b, 1, 1, 0, 7, 4, influence).interval(1e6)
    assert 0.0 <= low <= high <= 1.0


def test_the_log_linear_range_is_where_a_line_in_log_k_runs() -> None:
    ks = powers(256)
    # Flat, then 0.1 a doubling from k = 4 to 64, then flat again.
    shares = [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    found = log_linear_range(ks, shares)
    assert (found.low, found.high, found.per_doubling) == pytest.approx((4, 64, 0.1))
    assert log_linear_range(ks, [0.3] * 9) is None
    assert log_linear_range(ks[:3], [0.1, 0.2, 0.3]) is None
    assert log_linear_range(ks, [0, 0, 0, 1, 1, 1, 0, 0, 0]) is None


def test_the_log_linear_range_of_a_power_law_lies_around_1_over_e() -> None:
    """exp(a k^b) bends away from its tangent at coverage 1/e, where it is steepest."""
    ks = powers(1024)
    found = log_linear_range(ks, [math.exp(-3 * k**-0.5) for k in ks])
    steepest = 9.0  # 3 k^-0.5 = 1
    assert found.low < steepest < found.high
    assert found.high / found.low >= 16
    tangent = 0.5 / math.e * math.log(2)  # a doubling along it
    assert 0.75 * tangent < found.per_doubling < tangent


def test_pools_too_small_for_a_trial_support_nothing() -> None:
    pools = simulate(np.random.default_rng(2), 1, 1, 500, 16)
    beyond = extrapolate(fit_coverage(powers(16), pools), powers(16), pools)
    assert not beyond.supported
    assert beyond.miss is None
    assert beyond.warning == "16 draws are too few to try the law on, and a trial takes 32"
    assert beyond.k == 64


def supported(alpha: float, beta: float, problems: int, draws: int, suites: int = 30):
    """How often the extrapolation is supported, and what it then misses in the mean square."""
    rng, ks = np.random.default_rng(3), powers(draws)
    truth, found = float(exact(alpha, beta, REACH * draws)), []
    for _ in range(suites):
        pools = simulate(rng, alpha, beta, problems, draws)
        found.append(extrapolate(fit_coverage(ks, pools), ks, pools))
    kept = [one.coverage - truth for one in found if one.supported]
    return len(kept) / suites, math.sqrt(np.mean(np.square(kept))) if kept else None


def test_many_problems_support_what_is_right_and_few_do_not() -> None:
    """Beta(0.3, 0.5): the law misses by a point at four times the pool, whatever its size."""
    often, miss = supported(0.3, 0.5, 500, 64)
    assert often > 0.9
    assert miss < TOLERANCE / 2
    assert supported(0.3, 0.5, 60, 64)[0] < 0.15


def test_a_law_of_the_wrong_form_is_never_supported_however_many_the_problems() -> None:
    """Beta(0.5, 30): a fit to 16 of 64 draws is 7 points too low; an interval would not tell."""
    assert supported(0.5, 30, 1000, 64, suites=20)[0] == 0.0
    pools = simulate(np.random.default_rng(4), 0.5, 30, 2000, 64)
    beyond = extrapolate(fit_coverage(powers(64), pools), powers(64), pools)
    assert beyond.high < exact(0.5, 30, 256)
    assert beyond.miss[0] < -0.069 < beyond.miss[1]
    assert "a fit to the first 16 draws misses the coverage of all 64 by" in beyond.warning


def test_a_law_below_what_was_reached_is_not_supported():
    # All problems are solved at 64 draws, where a power law never gets: it ends a little below.
    ks = [1, 2, 4, 8, 16, 32, 64]
    rng = np.random.default_rng(3)
    rates = rng.uniform(0.3, 0.6, 200)[:, None]
    coverage = 1 - (1 - rates) ** np.array(ks)
    coverage[:, -1] = 1.0
    beyond = extrapolate(fit_coverage(ks, coverage), ks, coverage)
    assert beyond.high < 1.0
    assert not beyond.supported
    assert "the law stays below the 100.0 % that 64 draws have reached" in beyond.warning
