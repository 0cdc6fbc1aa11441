"""Use of the compute that strategies were given: forced thinking, and token budgets.

They are recognised by what their attempts note (`facts`), not by name, so that a plug-in that
notes the same is shown, too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from tts_bench.report.points.outcomes import Outcome, Outcomes
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import CellRecord, Scope, canonical, settings
from tts_bench.stats.control import Run, control, elasticities, performance, scaling

THINKING = {"waits", "min_thinking_tokens", "max_thinking_tokens"}
"""Parameters that say how long is thought; cells that differ in these alone are one method."""
BUDGET = {"budget"}


@dataclass(frozen=True, slots=True)
class Control:
    """The three figures of a method that keeps its thinking within bounds (see `scaling`)."""

    strategy: str
    params: Mapping[str, Any]
    """What all runs of the method share."""
    cells: tuple[str, ...]
    runs: tuple[Run, ...]
    """One for each cell; tokens are thinking tokens, a mean over attempts."""
    control: float
    scaling: float | None
    performance: float


@dataclass(frozen=True, slots=True)
class BudgetPoint:
    """Tokens that a cell was told to stay below and those it used, means over attempts."""

    cell: str
    allowed: float
    used: float
    within: float
    """Share of the attempts that stayed within what they were allowed."""
    accuracy: float
    elasticity: float | None = None
    """Towards the next larger budget; None at the largest."""


@dataclass(frozen=True, slots=True)
class Elasticity:
    """Tokens used against tokens allowed, by budget."""

    strategy: str
    params: Mapping[str, Any]
    points: tuple[BudgetPoint, ...]


def make_controls(scope: Scope, outcomes: Outcomes, points: Sequence[Point]) -> tuple[Control, ...]:
    """One for each method whose attempts note their `thinking_tokens`."""
    found = []
    for cells in _methods(scope, outcomes, points, "thinking_tokens", THINKING):
        runs = tuple(_run(*entry) for entry in cells)
        first = cells[0][0]
        found.append(
            Control(
                strategy=first.strategy,
                params=_shared(first, THINKING),
                cells=tuple(cell.id for cell, _, _ in cells),
                runs=runs,
                control=control(runs),
                scaling=scaling(runs),
                performance=performance(runs),
            )
        )
    return tuple(found)


def make_elasticities(
    scope: Scope, outcomes: Outcomes, points: Sequence[Point]
) -> tuple[Elasticity, ...]:
    """One for each method whose attempts note `tokens_allowed` and `tokens_used`."""
    found = []
    for cells in _methods(scope, outcomes, points, "tokens_allowed", BUDGET):
        curve = sorted((_budget_point(*entry) for entry in cells), key=lambda one: one.allowed)
        steps = elasticities([one.allowed for one in curve], [one.used for one in curve])
        joined = (
            replace(one, elasticity=step) for one, step in zip(curve, [*steps, None], strict=True)
        )
        first = cells[0][0]
        found.append(Elasticity(first.strategy, _shared(first, BUDGET), tuple(joined)))
    return tuple(found)


def control_notes(controls: Sequence[Control], curves: Sequence[Elasticity]) -> Iterator[str]:
    """The figures in a sentence each."""
    for one in controls:
        slope = "" if one.scaling is None else f"scaling {one.scaling * 1e5:+.2f}, "
        yield (
            f"{_named(one.strategy, one.params)}: control {one.control:.0%} of "
            f"{len(one.runs)} settings, {slope}performance {one.performance:.1%} "
            "(scaling in points per 1,000 thinking tokens)"
        )
    for curve in curves:
        steps = ", ".join(
            f"{one.allowed:.0f} -> {one.used:.0f} ({one.within:.0%} within)" for one in curve.points
        )
        yield f"{_named(curve.strategy, curve.params)}: tokens allowed -> used: {steps}"


_Entry = tuple[CellRecord, list[Outcome], float]
"""A cell, those of its attempts that note what is asked for, and its accuracy."""


def _methods(
    scope: Scope, outcomes: Outcomes, points: Sequence[Point], fact: str, swept: set[str]
) -> list[list[_Entry]]:
    """Cells whose attempts note this; those that differ in the swept parameters are together."""
    accuracy = {point.cell.id: point.accuracy.value for point in points}
    noted: dict[str, list[Outcome]] = defaultdict(list)
    for (cell_id, _, _), outcome in outcomes.by_key.items():
        if fact in outcome.facts:
            noted[cell_id].append(outcome)
    methods: dict[tuple[str, str, str], list[_Entry]] = defaultdict(list)
    for cell in scope.cells:
        if cell.id in noted and cell.id in accuracy:
            name = (cell.strategy, canonical(_shared(cell, swept)), canonical(cell.sampling))
            methods[name].append((cell, noted[cell.id], accuracy[cell.id]))
    return list(methods.values())


def _shared(cell: CellRecord, swept: set[str]) -> dict[str, Any]:
    return {name: value for name, value in cell.params.items() if name not in swept}


def _run(cell: CellRecord, attempts: Sequence[Outcome], accuracy: float) -> Run:
    most = cell.params.get("max_thinking_tokens") or cell.sampling["max_tokens"]
    return Run(
        tokens=fmean(one.facts["thinking_tokens"] for one in attempts),
        accuracy=accuracy,
        least=cell.params.get("min_thinking_tokens", 0),
        most=most,
    )


def _budget_point(cell: CellRecord, attempts: Sequence[Outcome], accuracy: float) -> BudgetPoint:
    pairs = [(one.facts["tokens_allowed"], one.facts["tokens_used"]) for one in attempts]
    return BudgetPoint(
        cell=cell.id,
        allowed=fmean(allowed for allowed, _ in pairs),
        used=fmean(used for _, used in pairs),
        within=fmean(used <= allowed for allowed, used in pairs),
        accuracy=accuracy,
    )


def _named(strategy: str, params: Mapping[str, Any]) -> str:
    return f"{strategy} ({settings(params)})" if params else strategy
