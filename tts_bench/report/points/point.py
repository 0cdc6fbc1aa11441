"""The points of a run's curves: one strategy at one size, with its accuracy and its cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tts_bench.report.points.cost import Cost, added, mean_cost, mean_of_means
from tts_bench.report.points.outcomes import Outcome, Outcomes
from tts_bench.report.points.scope import CellRecord, Scope
from tts_bench.stats.crossings import pareto
from tts_bench.stats.estimators import Estimate, mean_interval, paired_difference

BASELINE = "greedy"
"""The strategy against which every other one is compared, where a run has it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One strategy at one size. Costs are means per problem; shares are of candidates."""

    cell: CellRecord
    n: int | None
    problems: int
    seeds: int
    accuracy: Estimate
    monte_carlo_stderr: float
    """Error of `accuracy` from averaging over random subsets; 0 where all were counted."""
    policy: Cost
    verifier: Cost
    seconds: float | None
    """Mean wall time of an attempt; None where no attempt of this size was made."""
    truncated: float | None
    unanswered: float | None
    ungraded: int
    """Candidates, of all that the cell drew, whose grading timed out."""
    errors: int
    """Attempts that failed or are missing from a finished run; they count as wrong."""
    difference: Estimate | None = None
    """Accuracy minus that of the baseline on the same problems, paired."""
    by_problem: Mapping[str, float] = field(default_factory=dict, repr=False)
    """Accuracy on each problem, averaged over seeds."""

    @property
    def name(self) -> str:
        """The point in short: `best_of_n@16`."""
        return self.cell.strategy if self.n is None else f"{self.cell.strategy}@{self.n}"

    @property
    def flops(self) -> float | None:
        """Ideal FLOPs per problem of policy and verifier together."""
        return added(self.policy.flops_ideal, self.verifier.flops_ideal)


def make_points(scope: Scope, outcomes: Outcomes) -> tuple[Point, ...]:
    """Every point, line by line in the order of the manifest, and by size within a line.

    A cell of which an unfinished run has no attempt gives no point.
    """
    points = [point for cell in scope.cells for point in _points_of(cell, scope, outcomes)]
    lines = list(dict.fromkeys(cell.line for cell in scope.cells))
    points.sort(key=lambda one: (lines.index(one.cell.line), one.n or 0, one.cell.rank))
    return _compared(points)


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

    Cost is FLOPs (where no point's are known, completion tokens) unless another one is given.
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
    by_problem = {
        # Rounded, so that what is equal stays equal whichever way it was computed.
        problem: round(sum(one.sizes[place].accuracy for one in found) / weights[problem], 12)
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
        problems=len(groups),
        seeds=len(scope.seeds),
        accuracy=mean_interval(list(by_problem.values())),
        monte_carlo_stderr=math.sqrt(variance) / len(groups),
        policy=mean_cost([[one.sizes[place].policy for one in found] for found in made]),
        verifier=mean_cost([[one.sizes[place].verifier for one in found] for found in made]),
        seconds=mean_of_means([[one.seconds for one in g] for g in made]) if largest else None,
        truncated=_share(sum(one.truncated for one in every), candidates),
        unanswered=_share(sum(one.unanswered for one in every), candidates),
        ungraded=sum(one.ungraded for one in every),
        errors=missing + sum(one.failed for one in every),
        by_problem=by_problem,
    )


def _share(count: int, total: int) -> float | None:
    return count / total if total else None


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
