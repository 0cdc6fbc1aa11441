"""The values of a point on each problem: what two runs are compared by, problem by problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tts_bench.report.points.cost import added
from tts_bench.report.points.outcomes import Outcome, Outcomes, read_outcomes
from tts_bench.report.points.point import group_by_problem
from tts_bench.report.points.scope import CellRecord, Scope, canonical, read_scope, settings
from tts_bench.store.runs import RunStore

QUANTITIES = ("accuracy", "tokens", "flops", "seconds")
"""What is compared: shares of 1, tokens written and read, ideal FLOPs, wall time of an attempt."""


@dataclass(frozen=True)
class Series:
    """One strategy at one size, problem by problem; values are means over seeds."""

    cell: CellRecord
    n: int | None
    values: Mapping[str, Mapping[str, float]]
    """Quantity -> problem -> value; a problem is absent where the quantity is not known."""

    @cached_property
    def name(self) -> str:
        """The point in words: `best_of_n@16 (aggregate=last)`."""
        size = "" if self.n is None else f"@{self.n}"
        variant = settings(self.cell.variant)
        return f"{self.cell.strategy}{size}{f' ({variant})' if variant else ''}"

    @property
    def place(self) -> tuple[str, str, int | None]:
        """What makes two points of different runs the same point."""
        return self.cell.strategy, canonical(self.cell.variant), self.n


@dataclass(frozen=True)
class RunSeries:
    """A run as series, with what its manifest says of it."""

    run: RunStore
    scope: Scope
    outcomes: Outcomes
    series: tuple[Series, ...]


def read_series(run: RunStore) -> RunSeries:
    """Every point of a run. Raises StoreError where the run has no attempt or cannot be read."""
    scope = read_scope(run)
    outcomes = read_outcomes(run, scope)
    found = [one for cell in scope.cells for one in _series_of(cell, scope, outcomes)]
    return RunSeries(run, scope, outcomes, tuple(found))


def _series_of(cell: CellRecord, scope: Scope, outcomes: Outcomes) -> Iterator[Series]:
    groups = dict(group_by_problem(cell, scope, outcomes))
    if not any(groups.values()):
        return
    for place, n in enumerate(cell.sizes):
        values = {
            quantity: _known(
                {problem: _mean(quantity, place, found, scope) for problem, found in groups.items()}
            )
            for quantity in QUANTITIES
        }
        yield Series(cell, n, values)


def _mean(quantity: str, place: int, found: Sequence[Outcome], scope: Scope) -> float | None:
    if quantity == "accuracy":
        # What is missing from a finished run counts as wrong.
        weight = len(scope.seeds) if scope.finished else len(found)
        return round(sum(one.sizes[place].accuracy for one in found) / weight, 12)
    values = [_value(quantity, place, one) for one in found if one.priced]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _value(quantity: str, place: int, outcome: Outcome) -> float | None:
    size = outcome.sizes[place]
    if quantity == "tokens":
        return size.policy.tokens + size.verifier.tokens
    if quantity == "flops":
        return added(size.policy.flops_ideal, size.verifier.flops_ideal)
    return outcome.seconds if place == len(outcome.sizes) - 1 else None


def _known(values: Mapping[str, Any]) -> dict[str, float]:
    return {problem: value for problem, value in values.items() if value is not None}
