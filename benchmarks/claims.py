"""What a run of suites/ladder.yaml says of published claims, as Markdown.

    python benchmarks/claims.py results/ladder/latest > claims.md

Every figure is a difference (points of accuracy) or a ratio on the same problems, with a 95 %
interval of a paired bootstrap over problems. Where strategies are compared at equal cost, the
flat one's curve is read at the other's measured cost, linear in log cost between its sizes.
Where a table has a verdict, it is mechanical: "yes" where the interval lies above
zero, "no" where it lies below, else "undecided".
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tts_bench.report.build import build_report
from tts_bench.report.compare.paired import compare_points, find_point
from tts_bench.report.format import si, signed_interval
from tts_bench.report.joint.lines import COSTS, Joint, Line, join
from tts_bench.report.points.coverage import Curve
from tts_bench.report.points.point import RunPoints, read_points
from tts_bench.stats.crossings import CostCurve, cost_range, gap_at
from tts_bench.stats.estimators import Estimate
from tts_bench.store.runs import resolve_run

SEARCHES = ("beam_search", "dvts", "rebase", "particle_filter", "mcts")
WITHOUT_VERIFIER = ("logprob_beam_search", "mcts value=confidence")
ADAPTIVE = (
    *((f"adaptive_best_of_n (n_medium=8, n_hard={n})", f"best_of_n@{n}") for n in (8, 16, 32)),
    *((f"adaptive_consistency (max_n={n})", f"self_consistency@{n}") for n in (8, 16, 32)),
    ("early_stopping_consistency (max_n=10)", "self_consistency@8"),
    ("early_stopping_consistency (max_n=20)", "self_consistency@16"),
    ("early_stopping_consistency (max_n=40)", "self_consistency@32"),
    *((f"compute_optimal@{n} (selector=best)", f"best_of_n@{n}") for n in (4, 16)),
    *((f"compute_optimal@{n} (selector=majority)", f"self_consistency@{n}") for n in (4, 16)),
)
"""Each beside the flat strategy that chooses alike and draws as many as it may at most, or the
next size below; as many as its mean where one budget is shared out."""


def verdict(estimate: Estimate) -> str:
    """Whether a difference is above zero."""
    return "yes" if estimate.low > 0 else "no" if estimate.high < 0 else "undecided"


def pairs(run: RunPoints, chosen: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Rows of the table "A is better than B", point by point."""
    for a, b in chosen:
        found = compare_points(find_point(run, a), find_point(run, b))
        gap = found.difference
        yield f"| {a} | {b} | {signed_interval(gap)} | {found.p_value:.2g} | {verdict(gap)} |"


def line_of(joint: Joint, name: str) -> Line:
    """The line of a strategy; a second word tells its setting."""
    strategy, _, setting = name.partition(" ")
    lines = [one for one in joint.lines if one.strategy == strategy and setting in one.setting]
    return min(lines, key=lambda one: len(one.setting))


def points_of(line: Line) -> Iterator[Line]:
    """Every point of a line as a line of its own."""
    for point, outcomes in zip(line.points, line.outcomes, strict=True):
        yield replace(line, points=(point,), outcomes=(outcomes,))


def at_equal_cost(
    joint: Joint, name: str, flat: str, costs: Sequence[str] = ("flops", "policy_flops")
) -> Iterator[str]:
    """Each point of a strategy beside a flat one at the same FLOPs."""
    curves = {cost: curve(line_of(joint, flat), cost, joint) for cost in costs}
    for point in points_of(line_of(joint, name)):
        gaps = []
        for cost in costs:
            mine, [(spent, _)] = curve(point, cost, joint), [cost_range(curve(point, cost, joint))]
            low, high = cost_range(curves[cost])
            inside = low <= spent <= high
            gap = gap_at(mine, curves[cost], spent) if inside else None
            gaps.append(f"{signed_interval(gap)} {verdict(gap)}" if gap else "outside its range")
        spent = cost_range(curve(point, "flops", joint))[0]
        yield f"| {label(point)} | {flat} | {si(spent)} | {' | '.join(gaps)} |"


def saved(run: RunPoints) -> Iterator[str]:
    """Adaptive strategies beside the uniform one with the same most draws: points and tokens."""
    for adaptive, flat in ADAPTIVE:
        found = compare_points(find_point(run, flat), find_point(run, adaptive))
        gap, times = found.difference, found.ratios["tokens"]
        factor = f"{times.value:.2f} [{times.low:.2f}, {times.high:.2f}]"
        yield f"| {adaptive} | {flat} | {signed_interval(gap)} | {verdict(gap)} | {factor} |"


def curve(line: Line, cost: str, joint: Joint) -> CostCurve:
    """A line's accuracy and cost on every problem."""
    found = line.curve(COSTS[cost], joint.problems)
    assert found is not None, f"{line.name} has no {cost}"
    return found


def label(point: Line) -> str:
    """A point's strategy, setting and size."""
    [one] = point.points
    size = "" if one.n is None else f"@{one.n}"
    variant = ", ".join(f"{key}={value}" for key, value in one.cell.variant.items())
    return f"{one.cell.strategy}{size}{f' ({variant})' if variant else ''}"


def coverage(curve: Curve) -> Iterator[str]:
    """Coverage at each size, and what the last doubling added."""
    before: float | None = None
    for point in curve.points:
        value = 100 * point.coverage.value
        added = "" if before is None else f"{value - before:+.1f}"
        yield f"| {point.k} | {value:.1f} | {added} |"
        before = value


def line_in_words(curve: Curve) -> str:
    """Where the tool itself finds a line in log n, if anywhere."""
    line = curve.log_linear
    if line is None:
        return "By the tool's rule no stretch of it is a line in log n: each doubling adds less."
    return f"A line in log n from n = {line.low:g} to {line.high:g}, by the tool's rule."


def table(heads: Sequence[str], rows: Callable[[], Iterator[str]]) -> None:
    """Print a table."""
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    print("\n".join(rows()))


def main(folder: Path) -> None:
    """Print every claim with its figures."""
    found = resolve_run(folder)
    run, joint = read_points(found), join([found])
    print(f"# What {run.scope.suite} says of published claims\n\n{__doc__.split(chr(10) * 2)[2]}")
    print("\n## Coverage grows about log-linearly")
    largest = max(build_report(found).curves, key=lambda one: one.draws)
    table(("n", "coverage, %", "added by the doubling"), lambda: coverage(largest))
    print(f"\n{line_in_words(largest)}")
    print("\n## PRM selection beats majority, majority beats log-prob ranking")
    ranks = [
        (f"{a}@{n}", f"{b}@{n}")
        for n in (8, 32)
        for a, b in (
            ("best_of_n", "self_consistency"),
            ("weighted_vote", "self_consistency"),
            ("self_consistency", "logprob_ranking"),
        )
    ]
    table(("A", "B", "A - B, points", "p", "A better"), lambda: pairs(run, ranks))
    heads = ("A", "B", "FLOPs", "A - B at equal FLOPs", "... at equal FLOPs of the policy")
    print("\n## Search with a PRM beats best-of-N at equal FLOPs")
    for flat in ("best_of_n", "weighted_vote"):
        rows = [row for name in SEARCHES for row in at_equal_cost(joint, name, flat)]
        table(heads, lambda rows=rows: iter(rows))  # type: ignore[misc]
    print("\n## Search guided by the policy itself does not pay")
    rows = [r for n in WITHOUT_VERIFIER for r in at_equal_cost(joint, n, "self_consistency")]
    table(heads, lambda: iter(rows))
    print("\n## Adaptive allocation keeps accuracy with several times fewer tokens (claim: 4)")
    columns = ("A", "B: uniform", "B - A, points", "B better", "tokens of B, in those of A")
    table(columns, lambda: saved(run))
    print("\n## Budget forcing raises accuracy and flattens")
    forcing = [one.full_name for one in run.points if one.cell.strategy == "budget_forcing"]
    steps = list(zip(forcing[1:], forcing, strict=False))
    table(("A", "B", "A - B, points", "p", "A better"), lambda: pairs(run, steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
