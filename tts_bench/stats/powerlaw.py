"""The power law that coverage follows under repeated sampling: its fit, its errors, its reach."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_bench.stats.quantiles import student

Floats = NDArray[np.float64]

MIN_POINTS = 4
"""Two points always fit a law of two constants, and three nearly always do."""
REACH = 4
"""How many times the pool the law is extrapolated."""
TOLERANCE = 0.05
"""By how much the law may miss where its extrapolation can be tried, in units of coverage."""


@dataclass(frozen=True, slots=True)
class CoverageFit:
    """Coverage as exp(a·k^b), a < 0 and b < 0, with the errors of both constants.

    Standard errors are over problems, and infinite for a single one.
    """

    a: float
    b: float
    stderr_a: float
    stderr_b: float
    rmse: float
    """Root mean square of the residuals, in units of coverage: what the law misses."""
    points: int
    problems: int
    influence: Floats = field(repr=False, compare=False)
    """What each problem (row) moves log(-a) and b, in which the law is a line: log(-log c) =
    log(-a) + b·log k. Its mean is 0; its covariance over the number of problems is theirs."""

    def predict(self, k: ArrayLike) -> Floats:
        """Coverage at k draws; beyond the fitted k it is an extrapolation."""
        return np.asarray(np.exp(self.a * np.asarray(k, np.float64) ** self.b))

    def interval(self, k: float, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of the fitted curve at k, for other problems of the same kind.

        By the delta method on log(-log c), with Student's quantile: it stays within [0, 1]. It
        knows what another draw of problems would change, not whether the law holds; see `rmse`
        and `Extrapolation`. (0, 1) for a single problem.
        """
        if self.problems < 2 or not np.all(np.isfinite(self.influence)):
            return 0.0, 1.0
        error = _stderr(self.influence @ [1.0, math.log(k)])
        reach = student(confidence, self.problems - 1) * error
        height = math.log(-self.a) + self.b * math.log(k) if self.a else -math.inf
        # Beyond exp(700) coverage is 0 to the last digit, and floats end.
        low, high = (math.exp(-math.exp(min(700.0, height + side))) for side in (reach, -reach))
        return low, high


@dataclass(frozen=True, slots=True)
class LogLinear:
    """The range of k over which coverage is a line in log k."""

    low: float
    high: float
    per_doubling: float
    """Gain of each doubling of the draws there, in units of coverage."""


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """Coverage by the law of a pool `REACH` times as large, and whether the pool supports it.

    The rule: the same extrapolation is made where its outcome is known. The law is fitted to the
    draws up to a `REACH`-th of the pool alone; what it then predicts for the whole pool, less
    what was found, must lie within ±`TOLERANCE` with its whole 95 % interval. The reason:
    coverage beyond the pool is that of problems which the pool hardly ever solves and of whose
    pass rates it says little, so it is the form of the law that predicts. An interval over
    problems cannot show that the form is wrong; a trial can. And a trial so noisy that it could
    not show it supports nothing: that pool has too few problems or too few draws. Fewer than
    8·`REACH` draws leave the trial less than `MIN_POINTS` doublings. Nor is a law supported
    that predicts less for more draws than the pool has reached.
    """

    k: float
    coverage: float
    low: float
    high: float
    """95 % interval of the fitted curve at k."""
    supported: bool
    warning: str
    """Why it is not supported, in words; empty if it is."""
    miss: tuple[float, float] | None
    """95 % interval of what the trial predicted, less what was found; None without a trial."""


def fit_coverage(k: Sequence[float], coverage: ArrayLike) -> CoverageFit:
    """Fit c(k) = exp(a·k^b), a < 0 and b < 0, by least squares on c.

    `coverage` holds pass@k of each problem (rows) at each k (columns), or one row of means.
    Source: Brown et al., arXiv:2407.21787, section 3.1. All points of a curve come from the same
    draws, so the residuals' scatter says nothing of their errors: the standard errors are the
    sandwich estimate for least squares on a mean over problems (White 1982, eq. 3.2), right
    also if the law is only approximate. Raises ValueError for fewer than `MIN_POINTS`
    distinct k, where coverage is 0 or 1 throughout, and where the fit does not converge.
    """
    draws, values = _checked(k, coverage)
    shares = values.mean(axis=0)
    a, b = _least_squares(draws, shares)
    influence = _influence(draws, values, a, b)
    residuals = np.exp(a * draws**b) - shares
    return CoverageFit(
        a=a,
        b=b,
        stderr_a=abs(a) * _stderr(influence[:, 0]),
        stderr_b=_stderr(influence[:, 1]),
        rmse=math.sqrt(float(np.mean(residuals**2))),
        points=len(draws),
        problems=len(values),
        influence=influence,
    )


def _stderr(influence: Floats) -> float:
    """Standard error of a mean with these influences of single problems."""
    if len(influence) < 2 or not np.all(np.isfinite(influence)):
        return math.inf
    return float(influence.std(ddof=1)) / math.sqrt(len(influence))


def _checked(k: Sequence[float], coverage: ArrayLike) -> tuple[Floats, Floats]:
    draws, values = np.asarray(k, np.float64), np.atleast_2d(np.asarray(coverage, np.float64))
    outside = np.any((values < -1e-9) | (values > 1 + 1e-9))
    if values.shape[-1:] != draws.shape or not len(values) or np.any(draws < 1) or outside:
        raise ValueError("a fit needs pairs of k >= 1 and coverage in [0, 1]")
    if len(np.unique(draws)) < MIN_POINTS:
        raise ValueError("a fit of two constants needs at least four distinct values of k")
    return draws, values.clip(0.0, 1.0)


def _least_squares(draws: Floats, shares: Floats) -> tuple[float, float]:
    from scipy.optimize import OptimizeWarning, curve_fit

    inside = (shares > 0) & (shares < 1)
    if not inside.any():
        raise ValueError("coverage that is 0 or 1 throughout has no power law to fit")
    try:
        with warnings.catch_warnings():
            # About a covariance that is not used: it takes the points for independent.
            warnings.simplefilter("ignore", OptimizeWarning)
            (a, b), _ = curve_fit(
                lambda x, a, b: np.exp(a * x**b),
                draws,
                shares,
                p0=_first_guess(draws[inside], shares[inside]),
                bounds=([-np.inf, -np.inf], [0.0, 0.0]),
            )
    except RuntimeError as failure:
        raise ValueError(f"the power law does not fit: {failure}") from failure
    return float(a), float(b)


def _first_guess(k: Floats, shares: Floats) -> tuple[float, float]:
    """The law as a line, log(-log c) = log(-a) + b·log k, by ordinary least squares."""
    height, position = np.log(-np.log(shares)), np.log(k)
    moment = float(np.sum((position - position.mean()) ** 2))
    slope = float(np.sum((position - position.mean()) * height)) / moment if moment else -0.5
    slope = min(slope, -1e-3)
    return -math.exp(float(height.mean()) - slope * float(position.mean())), slope


def _influence(draws: Floats, values: Floats, a: float, b: float) -> Floats:
    """H⁻¹ · Jᵀ (c - mean c) for each problem; infinite if the curve fixes no law."""
    power = -a * draws**b  # -log c
    curve = np.exp(-power)
    slope, bend = -power * curve, power * (power - 1) * curve
    design = np.stack([np.ones_like(draws), np.log(draws)])
    # The second derivatives count too: where the law misses, its residuals are not 0.
    curvature = slope**2 - (values.mean(axis=0) - curve) * bend
    hessian = (design * curvature) @ design.T
    if np.linalg.cond(hessian) > 1e12:
        return np.full((len(values), 2), np.inf)
    scores = (values - values.mean(axis=0)) @ (design * slope).T
    return np.asarray(scores @ np.linalg.inv(hessian).T)


def log_linear_range(k: Sequence[float], coverage: Sequence[float]) -> LogLinear | None:
    """The longest range (in log k) of at least `MIN_POINTS` points that lie on a rising line.

    On a line means: least squares in log k leaves no point further off than a twentieth of
    what the line rises over the range. None if there is no such range.
    """
    position, shares = np.log2(np.asarray(k, np.float64)), np.asarray(coverage, np.float64)
    found: list[LogLinear] = []
    for start in range(len(position)):
        for end in range(start + MIN_POINTS, len(position) + 1):
            x, y = position[start:end], shares[start:end]
            slope, height = np.polyfit(x, y, 1)
            off = float(np.abs(height + slope * x - y).max())
            if slope > 1e-9 and off <= slope * float(x[-1] - x[0]) / 20:
                found.append(LogLinear(2.0 ** x[0], 2.0 ** x[-1], float(slope)))
    # Of ranges equally long the one that rises most.
    return max(found, key=lambda one: (one.high / one.low, one.per_doubling), default=None)


def extrapolate(fit: CoverageFit, k: Sequence[float], coverage: ArrayLike) -> Extrapolation:
    """The law at `REACH` times the largest k; takes what `fit_coverage` took."""
    draws, values = _checked(k, coverage)
    most = float(draws.max())
    low, high = fit.interval(REACH * most)
    miss, warning = _trial(draws, values)
    found = float(values[:, draws.argmax()].mean())
    if not warning and high < found:
        # More draws never solve less: the law has bent off below what is known already.
        warning = f"the law stays below the {100 * found:.1f} % that {most:g} draws have reached"
    value = float(fit.predict(REACH * most))
    return Extrapolation(REACH * most, value, low, high, not warning, warning, miss)


def _trial(draws: Floats, values: Floats) -> tuple[tuple[float, float] | None, str]:
    """Error of the law over the last factor of `REACH`, and why that is no support."""
    most, before = draws.max(), draws <= draws.max() / REACH
    try:
        fit = fit_coverage(draws[before].tolist(), values[:, before])
    except ValueError:
        need = f", and a trial takes {8 * REACH}" if most < 8 * REACH else ""
        return None, f"{most:g} draws are too few to try the law on{need}"
    found, predicted = values[:, draws.argmax()], float(fit.predict(most))
    # The same problems on both sides: what they have in common cancels.
    steepness = predicted * fit.a * most**fit.b
    effect = steepness * (fit.influence @ [1.0, math.log(most)]) - (found - found.mean())
    error = _stderr(effect)
    if not math.isfinite(error):
        return None, "one problem shows nothing of others"
    reach = student(0.95, len(values) - 1) * error
    middle = predicted - float(found.mean())
    miss = middle - reach, middle + reach
    if max(-miss[0], miss[1]) <= TOLERANCE:
        return miss, ""
    said = f"misses the coverage of all {most:g} by {100 * miss[0]:+.1f} to {100 * miss[1]:+.1f}"
    return miss, f"a fit to the first {most / REACH:g} draws {said} points"
