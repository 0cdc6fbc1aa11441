"""Crossings of the curves of several runs, and their distance at one cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from tts_bench.errors import UsageError
from tts_bench.report.joint.lines import CostAxis, Joint, Line
from tts_bench.stats.crossings import CostCurve, Reach, cost_range, gap_at, reach, shared_costs
from tts_bench.stats.estimators import Estimate


@dataclass(frozen=True, slots=True)
class Gap:
    """Accuracy of the first curve minus that of the second, both at one cost."""

    cost: float
    difference: Estimate


@dataclass(frozen=True, slots=True)
class Crossing:
    """Two curves beside each other. `a` is the one that is behind before they cross."""

    a: Line
    b: Line
    problems: int
    range: tuple[float, float] | None
    """Costs at which a crossing was looked for; None if the curves share none."""
    reach: Reach | None
    level: float | None
    """CostAxis of `b`, if it is one point alone: then `a` reaches its accuracy, not its cost."""
    gaps: tuple[Gap, ...]

    @property
    def found(self) -> bool:
        """Whether the curves cross in the measured range."""
        return self.reach is not None and math.isfinite(self.reach.cost)


def find_crossings(
    joint: Joint, cost: CostAxis, pairs: Sequence[tuple[str, str]] = (), resamples: int = 2000
) -> list[Crossing]:
    """Every pair of curves of different runs, or those named as in `small:best_of_n`.

    Of two curves, the one that ends ahead, having been behind, reaches the other at the crossing
    (`curves.reach` has the rule); a single point is reached. Gaps are taken at the ends
    and in the (geometric) middle of the shared costs, or at the cost of the single point. Pairs
    of points, and curves without this cost, are left out; named ones raise UsageError.
    """
    named = [(joint.find(a), joint.find(b)) for a, b in pairs]
    every = [(a, b) for a, b in combinations(joint.lines, 2) if a.place != b.place]
    found = []
    for a, b in named or every:
        crossing = _cross(a, b, joint, cost, resamples)
        if crossing is not None:
            found.append(crossing)
        elif named:
            raise UsageError(
                f"{a.name} and {b.name}: both are single points or have no {cost.name}; "
                "tts-bench compare sets points beside each other"
            )
    return found


def _cross(a: Line, b: Line, joint: Joint, cost: CostAxis, resamples: int) -> Crossing | None:
    problems = _paired_problems(a, b, joint.problems)
    ours, theirs = (line.curve(cost, problems) if problems else None for line in (a, b))
    if ours is None or theirs is None or (ours.is_point and theirs.is_point):
        return None
    if ours.is_point:
        a, b, ours, theirs = b, a, theirs, ours
    level = cost_range(theirs)[0] if theirs.is_point else None
    range_ = shared_costs(ours, theirs)
    met = reach(ours, theirs, resamples=resamples) if range_ else None
    if met is not None and not math.isfinite(met.cost) and level is None:
        # It may be the other one that does the reaching.
        turned = reach(theirs, ours, resamples=resamples)
        if math.isfinite(turned.cost):
            a, b, ours, theirs, met = b, a, theirs, ours, turned
    gaps = tuple(
        Gap(at, gap_at(ours, theirs, at, resamples=resamples))
        for at in _places(ours, range_, level)
    )
    return Crossing(a, b, len(problems), range_, met, level, gaps)


def _paired_problems(a: Line, b: Line, problems: Sequence[str]) -> list[str]:
    """The problems that every point of both has attempted."""
    points = [*a.points, *b.points]
    return [one for one in problems if all(one in point.by_problem for point in points)]


def _places(
    curve: CostCurve, shared: tuple[float, float] | None, level: float | None
) -> Iterator[float]:
    if level is not None:
        low, high = cost_range(curve)
        if low <= level <= high:
            yield level
    elif shared is not None:
        low, high = shared
        yield from dict.fromkeys((low, math.sqrt(low * high), high))
