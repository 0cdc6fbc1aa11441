"""Several runs on the problems that all of them attempted, as lines that meet on one axis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np

from tts_bench.errors import UnknownName, UsageError
from tts_bench.report.compare.paired import check_comparable
from tts_bench.report.figures.line_styles import line_name
from tts_bench.report.points.cost import added
from tts_bench.report.points.given_prices import GivenPrices
from tts_bench.report.points.outcomes import Outcome, read_outcomes
from tts_bench.report.points.point import Point, group_by_problem, make_points
from tts_bench.report.points.scope import Scope, read_scope
from tts_bench.stats.crossings import CostCurve
from tts_bench.store.runs import RunStore

_SHORT = 24
"""Characters of a name that a label beside a line has room for."""


@dataclass(frozen=True, slots=True)
class CostAxis:
    """A kind of cost as an axis: its name, and its value for a point and for an attempt."""

    name: str
    axis: str
    of_point: Callable[[Point], float | None]
    of_outcome: Callable[[Outcome, int], float | None]


COSTS: Mapping[str, CostAxis] = {
    "flops": CostAxis(
        "FLOPs",
        "FLOPs per problem, policy + verifier, shared prefixes once",
        lambda point: point.flops,
        lambda outcome, place: added(
            outcome.sizes[place].policy.flops_ideal, outcome.sizes[place].verifier.flops_ideal
        ),
    ),
    "policy_flops": CostAxis(
        "policy FLOPs",
        "policy FLOPs per problem, shared prefixes once",
        lambda point: point.policy.flops_ideal,
        lambda outcome, place: outcome.sizes[place].policy.flops_ideal,
    ),
    "tokens": CostAxis(
        "tokens",
        "completion tokens per problem, policy",
        lambda point: point.policy.completion_tokens,
        lambda outcome, place: outcome.sizes[place].policy.completion_tokens,
    ),
    "seconds": CostAxis(
        "seconds",
        "seconds per attempt, waiting included",
        lambda point: point.seconds,
        lambda outcome, place: outcome.seconds if place == len(outcome.sizes) - 1 else None,
    ),
    "dollars": CostAxis(
        "dollars",
        "dollars per problem, policy + verifier",
        lambda point: point.dollars,
        lambda outcome, place: added(
            outcome.sizes[place].policy.dollars, outcome.sizes[place].verifier.dollars
        ),
    ),
}
"""Costs by the name that the command line has for them. Seconds are known at the largest n only."""


@dataclass(frozen=True)
class Line:
    """A strategy of a run at all of its sizes."""

    run: str
    """The run's label; empty if there is one run alone."""
    place: int
    """The run's place among the runs."""
    strategy: str
    setting: str
    """The strategy with what tells it from others of its run."""
    points: tuple[Point, ...]
    outcomes: tuple[Mapping[str, Sequence[Outcome]], ...]
    """For each point, the outcomes of its cell by problem."""

    def at(self, size: str) -> Line | None:
        """Its point at this n as a line of its own."""
        for point, found in zip(self.points, self.outcomes, strict=True):
            if str(point.n) == size:
                setting = f"{self.setting}@{size}"
                return replace(self, setting=setting, points=(point,), outcomes=(found,))
        return None

    @property
    def name(self) -> str:
        """The line among those of all runs: `small:best_of_n`; of one run alone, `best_of_n`."""
        return f"{self.run}:{self.setting}" if self.run else self.setting

    def known(self, cost: CostAxis) -> list[Point]:
        """The points that have a cost of this kind, cheapest first."""
        priced = [(point, cost.of_point(point)) for point in self.points]
        return [point for point, _ in sorted(((p, c) for p, c in priced if c), key=lambda x: x[1])]

    def curve(self, cost: CostAxis, problems: Sequence[str]) -> CostCurve | None:
        """Accuracy and cost on each of these problems; None if no point has such a cost."""
        points = self.known(cost)
        if not points:
            return None
        rows = [self.outcomes[self.points.index(point)] for point in points]
        spent = [
            [_spent(cost, point, row.get(problem, ())) for problem in problems]
            for point, row in zip(points, rows, strict=True)
        ]
        accuracy = [[point.by_problem[problem] for problem in problems] for point in points]
        return CostCurve(np.array(accuracy), np.array(spent))


@dataclass(frozen=True)
class Joint:
    """Runs that may stand in one figure, cut down to the problems that all attempted."""

    scopes: tuple[Scope, ...]
    labels: tuple[str, ...]
    lines: tuple[Line, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @cached_property
    def strategies(self) -> tuple[str, ...]:
        """Every strategy, in the order of the first run that has it."""
        return tuple(dict.fromkeys(cell.strategy for scope in self.scopes for cell in scope.cells))

    def find(self, name: str) -> Line:
        """The line of this name, or its point at one n, as in `best_of_n@4`. Raises UnknownName."""
        curve, at, size = name.rpartition("@")
        for line in self.lines:
            if line.name == name:
                return line
            if at and line.name == curve and (alone := line.at(size)):
                return alone
        names = [line.name for line in self.lines]
        sizes = [f"{line.name}@{one.n}" for line in self.lines for one in line.points if one.n]
        raise UnknownName("curve", name, [*names, *sizes] if at else names)


def join(
    runs: Sequence[RunStore],
    strategies: Sequence[str] = (),
    labels: Sequence[str] = (),
    force: bool = False,
    prices: GivenPrices | None = None,
) -> Joint:
    """Read runs and bring them onto their shared problems; with only these strategies, if any.

    Labels are what the runs are called; without them, what tells the runs apart. `prices`
    replace what the suites state.

    Raises UsageError, with the reason, for what cannot stand in one figure: one run twice, no
    problem that all have, data sets that differ (as in `compare`; unless `force`), no strategy
    of that name. Raises StoreError if a run has no attempt or cannot be read.
    """
    folders = [run.folder.resolve() for run in runs]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise UsageError(f"{twice} is named twice: there is nothing to set beside itself")
    scopes = [read_scope(run) for run in runs]
    for a, b in combinations(scopes, 2):
        check_comparable(a, b, force)
    shared = tuple(p for p in scopes[0].problems if all(p in s.problems for s in scopes[1:]))
    if not shared:
        raise UsageError(f"no problem is in all {len(scopes)} runs, so they share no axis")
    if labels:
        _check_labels(labels, len(scopes))
    labels = tuple(labels) or _labels(scopes)
    if prices is not None:
        prices.check_runs(labels)
        priced = zip(runs, labels, strict=True)
        scopes = [read_scope(run, prices.of(label)) for run, label in priced]
    lines: list[Line] = []
    for place, (run, scope) in enumerate(zip(runs, scopes, strict=True)):
        lines += _lines(run, replace(scope, problems=shared), labels[place], place)
    known = dict.fromkeys(line.strategy for line in lines)
    for name in strategies:
        if name not in known:
            raise UnknownName("strategy", name, known, " No run has it.")
    chosen = [line for line in lines if not strategies or line.strategy in strategies]
    return Joint(
        tuple(scopes), labels, tuple(chosen), shared, tuple(_notes(scopes, labels, len(shared)))
    )


def _lines(run: RunStore, scope: Scope, label: str, place: int) -> Iterator[Line]:
    outcomes = read_outcomes(run, scope)
    points = make_points(scope, outcomes)
    groups = {cell.id: dict(group_by_problem(cell, scope, outcomes)) for cell in scope.cells}
    for line in dict.fromkeys(point.cell.line for point in points):
        mine = tuple(point for point in points if point.cell.line == line)
        first = mine[0].cell
        found = tuple(groups[point.cell.id] for point in mine)
        yield Line(label, place, first.strategy, line_name(first, scope.cells), mine, found)


def _spent(cost: CostAxis, point: Point, outcomes: Sequence[Outcome]) -> float:
    """Mean over the attempts whose cost is known; NaN without any."""
    place = point.cell.sizes.index(point.n)
    values = [cost.of_outcome(one, place) for one in outcomes if one.priced]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else float("nan")


def _labels(scopes: Sequence[Scope]) -> tuple[str, ...]:
    """What tells the runs apart: their models, suites or folders (if short), else A, B, ..."""
    models = [scope.engine.model.rstrip("/").split("/")[-1] for scope in scopes]
    suites, runs = [scope.suite for scope in scopes], [scope.run for scope in scopes]
    for names in (models, suites, runs):
        if len(set(names)) == len(names) and all(0 < len(name) <= _SHORT for name in names):
            return tuple(names)
    return tuple(chr(ord("A") + i) if i < 26 else f"run{i + 1}" for i in range(len(scopes)))


def _check_labels(labels: Sequence[str], runs: int) -> None:
    if len(labels) != runs:
        raise UsageError(f"{len(labels)} labels for {runs} runs: give each one, or none")
    if len(set(labels)) < len(labels):
        raise UsageError(f"the labels {', '.join(labels)} do not tell the runs apart")


def _notes(scopes: Sequence[Scope], labels: Sequence[str], shared: int) -> Iterator[str]:
    for scope, label in zip(scopes, labels, strict=True):
        state = "" if scope.finished else f", unfinished ({scope.status})"
        yield f"{label}: {scope.suite}/{scope.run}, {scope.extent}{state}"
        if len(scope.problems) > shared:
            yield f"{label}: {len(scope.problems) - shared} problems are not in all runs, left out"
