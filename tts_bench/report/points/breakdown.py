"""Accuracy within groups of problems: by difficulty level and by subject."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts_bench.report.points.coverage import Curve
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import CellRecord, Scope
from tts_bench.stats.estimators import Estimate, mean_interval

Group = int | str


@dataclass(frozen=True, slots=True)
class Slice:
    """Accuracy of a cell, or coverage of a pool, on the problems of one group."""

    group: Group
    cell: CellRecord | None
    """None if this is the coverage of a pool."""
    sampling: Mapping[str, Any]
    n: int | None
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Slices of every strategy at its largest n and of every pool's coverage, by one property."""

    by: str
    sizes: Mapping[Group, int]
    """Problems of the run in each group, in order."""
    slices: tuple[Slice, ...]


def make_breakdowns(
    scope: Scope, points: Sequence[Point], curves: Sequence[Curve]
) -> tuple[Breakdown, ...]:
    """By level and by subject, where the data set states them."""
    found = []
    properties: tuple[tuple[str, Mapping[str, Group]], ...] = (
        ("level", dict(scope.levels)),
        ("subject", dict(scope.subjects)),
    )
    for by, groups in properties:
        if groups:
            sizes = {group: list(groups.values()).count(group) for group in _ordered(groups)}
            found.append(Breakdown(by, sizes, tuple(_slices(groups, points, curves))))
    return tuple(found)


def largest(points: Sequence[Point]) -> tuple[Point, ...]:
    """The point of each strategy, variant and sampling at its largest n."""
    return tuple({(point.cell.line, point.cell.rank): point for point in points}.values())


def _ordered(groups: Mapping[str, Group]) -> list[Group]:
    return sorted(set(groups.values()), key=lambda group: (isinstance(group, str), group))


def _slices(
    groups: Mapping[str, Group], points: Sequence[Point], curves: Sequence[Curve]
) -> Iterator[Slice]:
    for point in largest(points):
        for group, values in _split(groups, point.by_problem):
            yield Slice(group, point.cell, point.cell.sampling, point.n, mean_interval(values))
    for curve in curves:
        last = curve.points[-1]
        for group, values in _split(groups, last.by_problem):
            yield Slice(group, None, curve.sampling, last.k, mean_interval(values))


def _split(
    groups: Mapping[str, Group], by_problem: Mapping[str, float]
) -> Iterator[tuple[Group, list[float]]]:
    """The values of each group that has any, in order of the groups."""
    values: dict[Group, list[float]] = defaultdict(list)
    for problem, value in by_problem.items():
        if problem in groups:
            values[groups[problem]].append(value)
    for group in _ordered(groups):
        if group in values:
            yield group, values[group]
