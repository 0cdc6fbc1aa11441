"""Rows of the result table: strategies first, then the coverage that bounds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts_bench.report.points.content import Report
from tts_bench.report.points.cost import Cost
from tts_bench.report.points.coverage import Curve
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import distinguishing, settings, varying
from tts_bench.stats.estimators import Estimate


@dataclass(frozen=True, slots=True)
class TableRow:
    """One line of the table; coverage rows choose nothing, so what belongs to choosing is None."""

    kind: str
    """`strategy` or `coverage`."""
    name: str
    params: Mapping[str, Any]
    sampling: Mapping[str, Any]
    varying: Mapping[str, Any]
    """The settings that tell this row from others of the same name."""
    n: int | None
    problems: int
    seeds: int
    accuracy: Estimate
    policy: Cost
    point: Point | None = None
    frontier: bool | None = None
    """Whether the point is on the run's Pareto frontier."""

    @property
    def dollars(self) -> float | None:
        """Dollars per problem, policy and verifier together; an oracle costs nothing."""
        return self.policy.dollars if self.point is None else self.point.dollars

    @property
    def unpriced(self) -> bool:
        """Whether no part of its cost is known in dollars."""
        verifier = self.point.verifier.dollars if self.point else None
        return self.policy.dollars is None and verifier is None


def make_rows(report: Report) -> list[TableRow]:
    """Every row, in the order of the table."""
    varying_of = distinguishing(report.scope.cells)
    rows = [
        replace(_strategy_row(point, varying_of[point.cell.id]), frontier=report.on_frontier(point))
        for point in report.points
    ]
    for curve, varies in zip(report.curves, _varying_samplings(report.curves), strict=True):
        rows += _coverage_rows(curve, varies)
    return rows


def curve_names(curves: Sequence[Curve], name: str) -> list[str]:
    """`name` for each curve, with the sampling settings in which it differs from the others."""
    return [f"{name} {settings(part)}".rstrip() for part in _varying_samplings(curves)]


def _varying_samplings(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    samplings = [curve.sampling for curve in curves]
    return [varying(sampling, samplings) for sampling in samplings]


def _strategy_row(point: Point, varies: Mapping[str, Any]) -> TableRow:
    return TableRow(
        kind="strategy",
        name=point.cell.strategy,
        params=point.cell.variant,
        sampling=point.cell.sampling,
        varying=varies,
        n=point.n,
        problems=point.problems,
        seeds=point.seeds,
        accuracy=point.accuracy,
        policy=point.policy,
        point=point,
    )


def _coverage_rows(curve: Curve, varies: Mapping[str, Any]) -> Iterator[TableRow]:
    """pass@1, which is the model's own accuracy, and pass@k at every n that was swept."""
    for at in curve.points:
        if at.k == 1 or at.k in curve.sweep:
            yield TableRow(
                kind="coverage",
                name=f"pass@{at.k}",
                params={},
                sampling=curve.sampling,
                varying=varies,
                n=at.k,
                problems=curve.problems,
                seeds=curve.seeds,
                accuracy=at.coverage,
                policy=at.cost,
            )
