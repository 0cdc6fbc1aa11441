"""The points of a run's curves: one strategy at one size, with its accuracy and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tts_bench.cost.price import Price
from tts_bench.report.points.cost import Cost, added, mean_cost, mean_of_means
from tts_bench.report.points.outcomes import Outcome, Outcomes, read_outcomes
from tts_bench.report.points.scope import CellRecord, Scope, canonical, read_scope, settings
from tts_bench.stats.crossings import pareto
from tts_bench.stats.estimators import Estimate, mean_interval, paired_difference
from tts_bench.store.runs import RunStore

BASELINE = "greedy"
"""The strategy against which every other one is compared, where a run has it."""


QUANTITIES = ("accuracy", "tokens", "flops", "seconds", "dollars")
"""Values known by problem: shares of 1, tokens written and read, ideal FLOPs, wall time of an
attempt, dollars."""


@dataclass(frozen=True)
class Point:
    """One strategy at one size: its values on each problem, and their summary.

    Costs are means per problem; shares are of candidates. A point that comes from a baseline file
    has the values alone.
    """

    cell: CellRecord
    n: int | None
    values: Mapping[str, Mapping[str, float]] = field(repr=False)
    """Quantity -> problem -> mean over seeds; a problem is absent if the quantity is not known."""
    seeds: int = 1
    monte_carlo_stderr: float = 0.0
    """Error of `accuracy` from averaging over random subsets; 0 if all were counted."""
    policy: Cost = field(default_factory=Cost)
    verifier: Cost = field(default_factory=Cost)
    seconds: float | None = None
    """Mean wall time of an attempt; None if no attempt of this size was made."""
    truncated: float | None = None
    unanswered: float | None = None
    ungraded: int = 0
    """Candidates, of all that the cell drew, whose grading timed out."""
    errors: int = 0
    """Attempts that failed or are missing from a finished run; they count as wrong."""
    difference: Estimate | None = None
    """Accuracy minus that of the baseline on the same problems, paired."""
    over_mean: Estimate | None = None
    """Accuracy minus that of one draw by chance, of the largest pool with the same sampling."""

    @property
    def by_problem(self) -> Mapping[str, float]:
        """Accuracy on each problem, averaged over seeds."""
        return self.values["accuracy"]

    @property
    def problems(self) -> int:
        """Number of problems."""
        return len(self.by_problem)

    @cached_property
    def accuracy(self) -> Estimate:
        """Mean over problems, with its interval."""
        return mean_interval(list(self.by_problem.values()))

    @property
    def estimator(self) -> str:
        """From what the accuracy is estimated: `all subsets` or `sampled subsets` of one pool.

        `one run` if each problem (and seed) was attempted once at this very size.
        """
        at_the_pool = self.n is None or self.n == max(self.cell.at, default=None)
        if not self.cell.pooled or (self.cell.selector is None and at_the_pool):
            return "one run"
        return "sampled subsets" if self.monte_carlo_stderr else "all subsets"

    @property
    def name(self) -> str:
        """The point in short: `best_of_n@16`."""
        return self.cell.strategy if self.n is None else f"{self.cell.strategy}@{self.n}"

    @cached_property
    def full_name(self) -> str:
        """The point with its parameters: `best_of_n@16 (aggregate=last)`."""
        variant = settings(self.cell.variant)
        return f"{self.name} ({variant})" if variant else self.name

    @property
    def place(self) -> tuple[str, str, int | None]:
        """What makes two points of different runs the same point."""
        return self.cell.strategy, canonical(self.cell.variant), self.n

    @property
    def flops(self) -> float | None:
        """Ideal FLOPs per problem of policy and verifier together."""
        return added(self.policy.flops_ideal, self.verifier.flops_ideal)

    @property
    def dollars(self) -> float | None:
        """Dollars per problem for policy and verifier together."""
        return added(self.policy.dollars, self.verifier.dollars)


@dataclass(frozen=True)
class RunPoints:
    """A run as points, with what they were computed from."""

    run: RunStore
    scope: Scope
    outcomes: Outcomes
    points: tuple[Point, ...]


def read_points(run: RunStore, prices: Mapping[str, Price] | None = None) -> RunPoints:
    """Every point of a run; `prices` of `policy` and `verifier` replace what its suite states.

    Raises StoreError if the run has no attempt or cannot be read.
    """
    scope = read_scope(run, prices)
    outcomes = read_outcomes(run, scope)
    missing = len(outcomes.by_key) < scope.expected_attempts
    if missing and any(fault.path == run.attempts_path for fault in outcomes.faults):
        # What a damaged line said was no failure: it must not count as wrong.
        scope = replace(scope, finished=False, status=f"{scope.status}, with damaged lines")
    return RunPoints(run, scope, outcomes, make_points(scope, outcomes))


def make_points(scope: Scope, outcomes: Outcomes) -> tuple[Point, ...]:
    """Every point, line by line in the order of the manifest, and by size within a line.

    A cell of which an unfinished run has no attempt gives no point.
    """
    points = [point for cell in scope.cells for point in _points_of(cell, scope, outcomes)]
    lines = list(dict.fromkeys(cell.line for cell in scope.cells))
    points.sort(key=lambda one: (lines.index(one.cell.line), one.n or 0, one.cell.rank))
    means = {
        sampling: _mean_draw(cells, scope, outcomes)
        for sampling, cells in _pooled(scope.cells).items()
    }
    points = [_over_mean(point, means.get(canonical(point.cell.sampling))) for point in points]
    return _compared(points)


def _pooled(cells: Sequence[CellRecord]) -> dict[str, list[CellRecord]]:
    """Cells that draw pools, by their sampling."""
    found: dict[str, list[CellRecord]] = {}
    for cell in cells:
        if cell.pooled:
            found.setdefault(canonical(cell.sampling), []).append(cell)
    return found


def _mean_draw(
    cells: Sequence[CellRecord], scope: Scope, outcomes: Outcomes
) -> dict[str, float] | None:
    """The share of right draws for each problem, of the cell that drew most; None of few draws."""
    largest = max(cells, key=lambda cell: max(cell.at, default=0))
    groups = dict(group_by_problem(largest, scope, outcomes))
    if max((one.distinct for found in groups.values() for one in found), default=0) < 2:
        return None
    return {
        problem: math.fsum(one.distinct_correct / one.distinct for one in found if one.distinct)
        / (len(scope.seeds) if scope.finished else len(found))
        for problem, found in groups.items()
    }


def _over_mean(point: Point, means: Mapping[str, float] | None) -> Point:
    shared = [problem for problem in point.by_problem if problem in (means or {})]
    if means is None or not shared:
        return point
    values = [point.by_problem[problem] for problem in shared]
    difference = paired_difference(values, [means[problem] for problem in shared])
    return replace(point, over_mean=difference)


def group_by_problem(
    cell: CellRecord, scope: Scope, outcomes: Outcomes
) -> Iterator[tuple[str, list[Outcome]]]:
    """The outcomes of each problem, one for each seed that is there.

    Problems without any are left out of an unfinished run, and empty in a finished one.
    """
    for problem in scope.problems:
        keys = [(cell.id, problem, seed) for seed in scope.seeds]
        present = [outcomes.by_key[key] for key in keys if key in outcomes.by_key]
        if present or scope.finished:
            yield problem, present


def frontier(
    points: Sequence[Point], cost: Callable[[Point], float | None] | None = None
) -> tuple[Point, ...]:
    """The Pareto frontier in cost and accuracy, cheapest first; by the values, not the intervals.

    Cost is FLOPs (if no point's are known, completion tokens) unless another one is given.
    Points of unknown cost are left out.
    """
    if cost is None:
        known_flops = any(point.flops for point in points)
        cost = _flops if known_flops else _tokens
    priced = [(point, spent) for point in points if (spent := cost(point))]
    known = sorted(priced, key=lambda pair: pair[1])
    best = pareto([spent for _, spent in known], [point.accuracy.value for point, _ in known])
    return tuple(point for (point, _), chosen in zip(known, best, strict=True) if chosen)


def _flops(point: Point) -> float | None:
    return point.flops


def _tokens(point: Point) -> float | None:
    return point.policy.completion_tokens


def _points_of(cell: CellRecord, scope: Scope, outcomes: Outcomes) -> Iterator[Point]:
    groups = dict(group_by_problem(cell, scope, outcomes))
    if not groups:
        return
    for place, n in enumerate(cell.sizes):
        yield _point(cell, n, place, scope, groups)


def _point(
    cell: CellRecord,
    n: int | None,
    place: int,
    scope: Scope,
    groups: Mapping[str, Sequence[Outcome]],
) -> Point:
    weights = {
        problem: len(scope.seeds) if scope.finished else len(found)
        for problem, found in groups.items()
    }
    variance = sum(
        sum(one.sizes[place].monte_carlo_stderr ** 2 for one in found) / weights[problem] ** 2
        for problem, found in groups.items()
    )
    every = [one for found in groups.values() for one in found]
    made = [priced for found in groups.values() if (priced := [o for o in found if o.priced])]
    missing = sum(weights.values()) - len(every)
    candidates = sum(one.candidates for one in every)
    largest = place == len(cell.sizes) - 1
    return Point(
        cell=cell,
        n=n,
        values=_values(place, groups, weights),
        seeds=len(scope.seeds),
        monte_carlo_stderr=math.sqrt(variance) / len(groups),
        policy=mean_cost([[one.sizes[place].policy for one in found] for found in made]),
        verifier=mean_cost([[one.sizes[place].verifier for one in found] for found in made]),
        seconds=mean_of_means([[one.seconds for one in g] for g in made]) if largest else None,
        truncated=_share([one.truncated for one in every], candidates),
        unanswered=_share([one.unanswered for one in every], candidates),
        ungraded=sum(one.ungraded for one in every),
        errors=missing + sum(one.failed for one in every),
    )


def _values(
    place: int, groups: Mapping[str, Sequence[Outcome]], weights: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """Quantity -> problem -> mean over seeds; what is missing of a finished run counts as wrong."""
    values: dict[str, dict[str, float]] = {quantity: {} for quantity in QUANTITIES}
    for problem, found in groups.items():
        # Rounded, so that what is equal stays equal whichever way it was computed.
        right = sum(one.sizes[place].accuracy for one in found) / weights[problem]
        values["accuracy"][problem] = round(right, 12)
        priced = [one for one in found if one.priced]
        for quantity in QUANTITIES[1:]:
            known = [_value(quantity, place, one) for one in priced]
            if known and None not in known:
                values[quantity][problem] = sum(v for v in known if v is not None) / len(known)
    return values


def _value(quantity: str, place: int, outcome: Outcome) -> float | None:
    size = outcome.sizes[place]
    if quantity == "tokens":
        return added(size.policy.tokens, size.verifier.tokens)
    if quantity == "flops":
        return added(size.policy.flops_ideal, size.verifier.flops_ideal)
    if quantity == "dollars":
        return added(size.policy.dollars, size.verifier.dollars)
    return outcome.seconds if place == len(outcome.sizes) - 1 else None


def _share(counts: Sequence[int | None], total: int) -> float | None:
    """What share of candidates the counts are; None if one is not known."""
    known = [count for count in counts if count is not None]
    return sum(known) / total if total and len(known) == len(counts) else None


def _compared(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points with their differences to the first baseline point."""
    baseline = next((point for point in points if point.cell.strategy == BASELINE), None)
    if baseline is None:
        return tuple(points)
    return tuple(
        point if point is baseline else replace(point, difference=_difference(point, baseline))
        for point in points
    )


def _difference(point: Point, baseline: Point) -> Estimate | None:
    shared = [problem for problem in point.by_problem if problem in baseline.by_problem]
    if not shared:
        return None
    return paired_difference(
        [point.by_problem[problem] for problem in shared],
        [baseline.by_problem[problem] for problem in shared],
    )
