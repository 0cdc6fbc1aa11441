"""The gate on live runs: whether a run is as good and as cheap as its baseline.

Accuracy must not be worse by more than a margin, with a one-sided bound at 95 % (non-inferiority),
tokens and FLOPs within limits of their own. On recorded generations see `exact`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from tts_bench.errors import UsageError
from tts_bench.report.compare.paired import compare_points
from tts_bench.report.gate.baseline import Baseline
from tts_bench.report.points.point import Point, RunPoints
from tts_bench.stats.estimators import Estimate, paired_difference
from tts_bench.stats.quantiles import normal_below
from tts_bench.stats.significance import detectable_difference

CONFIDENCE = 0.95
"""Of the one-sided bound on the difference."""
_ONE_SIDED = 2 * CONFIDENCE - 1
"""The two-sided interval whose ends are one-sided bounds at `CONFIDENCE`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Losses that a run may have against its baseline."""

    margin: float
    """Largest drop of accuracy that is accepted, as a share of 1."""
    tokens: float = 0.05
    """Largest rise of tokens per problem, as a share of the baseline's."""
    flops: float = 0.05

    def __post_init__(self) -> None:
        for name, value in (("margin", self.margin), ("tokens", self.tokens)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be more than 0, not {value}")
        if not 0 < self.flops < math.inf:
            raise ValueError(f"flops must be more than 0, not {self.flops}")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was held against the baseline."""

    name: str
    """The point, or the attempt."""
    quantity: str
    status: Literal["passed", "failed"]
    detail: str
    """The finding, in one sentence."""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """All checks of a gate."""

    run: str
    baseline: str
    mode: Literal["exact", "statistical"]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    """What the baseline could not tell."""

    @property
    def passed(self) -> bool:
        """Whether every check has passed."""
        return all(check.status == "passed" for check in self.checks)

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status == "failed")


def gate_statistically(
    run: RunPoints, baseline: Baseline, limits: Limits, points: Sequence[str] = ()
) -> GateVerdict:
    """Hold every point of a live run (or those named) against the baseline's.

    Raises UsageError for a margin that the problems are too few to see, for a run on other
    data, and for a point that the baseline does not have.
    """
    check_same_data(run, baseline)
    wanted = _chosen(baseline.points, points)
    ours = {one.place: one for one in run.points}
    checks: list[Check] = []
    for base in wanted:
        mine = ours.get(base.place)
        if mine is None:
            checks.append(Check(base.full_name, "accuracy", "failed", "missing from the run"))
        else:
            checks += _check_point(mine, base, limits)
    return GateVerdict(run.scope.run, str(baseline.about["run"]), "statistical", tuple(checks))


def _chosen(known: Sequence[Point], names: Sequence[str]) -> list[Point]:
    if not names:
        return list(known)
    found = {one.full_name: one for one in known}
    for name in names:
        if name not in found:
            raise UsageError(f"--point {name}: not in the baseline, which has {', '.join(found)}")
    return [found[name] for name in names]


def check_same_data(run: RunPoints, baseline: Baseline) -> None:
    """Raise UsageError for a run on another data set, or on another state of it."""
    base = baseline.about["dataset"]
    for key in ("name", "content_hash"):
        ours = getattr(run.scope.dataset, key)
        if ours != base.get(key):
            raise UsageError(
                f"the run's data set has {key} {ours}, the baseline's {base.get(key)}: "
                "they cannot be compared"
            )


def _check_point(mine: Point, base: Point, limits: Limits) -> Iterator[Check]:
    pair = compare_points(mine, base)
    missing = len(base.values["accuracy"]) - len(pair.problems)
    if missing:
        detail = f"{missing} of the baseline's problems are missing from the run"
        yield Check(base.full_name, "accuracy", "failed", detail)
        return
    yield _check_accuracy(mine, base, pair.problems, limits.margin)
    for quantity, limit in (("tokens", limits.tokens), ("flops", limits.flops)):
        ratio = pair.ratios.get(quantity)
        if ratio is not None:
            yield _check_cost(base.full_name, quantity, ratio, limit)


def _check_accuracy(mine: Point, base: Point, problems: Sequence[str], margin: float) -> Check:
    ours, theirs = (
        [one.values["accuracy"][problem] for problem in problems] for one in (mine, base)
    )
    gap = paired_difference(ours, theirs, confidence=_ONE_SIDED)
    # The bound's own distance, so that the verdict and what it can see agree also if the
    # problems seen are too alike or too few to know a variance.
    stderr = (gap.value - gap.low) / normal_below(CONFIDENCE)
    visible = detectable_difference(stderr, CONFIDENCE)
    detail = (
        f"{_points(gap.value)} points against the baseline, at worst {_points(gap.low)} "
        f"(one-sided 95 %), allowed {_points(-margin)}; "
        f"a drop of {100 * visible:.1f} points would be seen 4 times in 5"
    )
    if gap.high < -margin:
        return Check(base.full_name, "accuracy", "failed", detail)
    if margin < visible:
        # At the finest margin only runs that happen to look alike are decided; see the docs.
        enough = math.ceil(1000 * 1.2 * visible) / 1000
        other = f", or --margin {enough:g} (1.2 times the finest)" if enough < 1 else ""
        raise UsageError(
            f"{base.full_name}: {len(problems)} problems cannot see a margin of {100 * margin:.1f} "
            f"points, only drops of {100 * visible:.1f} and more: give more problems or seeds"
            f"{other}"
        )
    return Check(base.full_name, "accuracy", "failed" if gap.low < -margin else "passed", detail)


def _check_cost(name: str, quantity: str, ratio: Estimate, limit: float) -> Check:
    rise = ratio.value - 1
    detail = f"{100 * rise:+.1f} % per problem, allowed {100 * limit:+.1f} %"
    shown = "FLOPs" if quantity == "flops" else quantity
    return Check(name, shown, "failed" if rise > limit + 1e-9 else "passed", detail)


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
