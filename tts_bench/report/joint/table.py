"""The table of several runs, on the problems that all of them attempted."""

from __future__ import annotations

from collections.abc import Iterator

from tts_bench.report.format import count, interval, money, si
from tts_bench.report.joint.lines import CostAxis, Joint, Line
from tts_bench.report.points.point import Point, frontier
from tts_bench.report.tables.render import as_csv, markdown_rows, records
from tts_bench.report.tables.rows import TableRow
from tts_bench.stats.crossings import pareto

_HEADS = (
    "run",
    "strategy",
    "frontier",
    "n",
    "accuracy % [95 % CI]",
    "tokens/problem",
    "FLOPs/problem, policy + verifier",
    "seconds",
)
_MARKS = {(True, True): "all", (True, False): "run", (False, False): "-"}


def joint_markdown(joint: Joint, cost: CostAxis) -> str:
    """The table as a Markdown page, with the frontier over all runs and the notes."""
    entries = list(_entries(joint, cost))
    priced = any(point.dollars is not None for _, point, _, _ in entries)
    rows = [
        [
            line.run,
            _setting(line, point),
            _MARKS[mine, overall],
            "-" if point.n is None else str(point.n),
            interval(point.accuracy),
            count(point.policy.completion_tokens),
            si(point.flops),
            "\N{EN DASH}" if point.seconds is None else f"{point.seconds:.2f}",
            *([money(point.dollars)] if priced else []),
        ]
        for line, point, mine, overall in entries
    ]
    heads = (*_HEADS, "$/problem") if priced else _HEADS
    title = f"# {' and '.join(joint.labels)}, {len(joint.problems)} problems that all attempted"
    notes = [
        f"- on the Pareto frontier over all runs (accuracy against {cost.name}): "
        f"{', '.join(frontier_names(joint, cost))}",
        "- frontier: nothing of its own run (`run`), of any run (`all`) is cheaper and better",
        *(f"- {note}" for note in joint.notes),
    ]
    return "\n".join([title, "", *markdown_rows(heads, rows, words=3), "", *notes]) + "\n"


def joint_csv(joint: Joint, cost: CostAxis) -> str:
    """As `table.csv` of a run, with the run, its model, and whether a point is on the frontiers."""
    entries = list(_entries(joint, cost))
    found = records([_row(line, point, mine) for line, point, mine, _ in entries])
    return as_csv(
        [
            {
                "run": line.run,
                "model": joint.scopes[line.place].engine.model,
                **one,
                "frontier_all": overall,
            }
            for (line, _, _, overall), one in zip(entries, found, strict=True)
        ]
    )


def frontier_names(joint: Joint, cost: CostAxis) -> list[str]:
    """The points that nothing of any run is cheaper and better than, cheapest first."""
    found = [
        (cost.of_point(point) or 0.0, f"{line.run}:{_setting(line, point)}", point.n)
        for line, point, _, overall in _entries(joint, cost)
        if overall
    ]
    return [f"{name}{'' if n is None else f'@{n}'}" for _, name, n in sorted(found, key=_cost)]


def _cost(entry: tuple[float, str, int | None]) -> float:
    return entry[0]


def _entries(joint: Joint, cost: CostAxis) -> Iterator[tuple[Line, Point, bool, bool]]:
    """Every point of every run, and whether it is on its run's frontier and on that of all."""
    known = [
        (point, spent)
        for line in joint.lines
        for point in line.points
        if (spent := cost.of_point(point))
    ]
    best = pareto([spent for _, spent in known], [point.accuracy.value for point, _ in known])
    overall = {id(point) for (point, _), chosen in zip(known, best, strict=True) if chosen}
    for line in joint.lines:
        rivals = [point for one in joint.lines if one.place == line.place for point in one.points]
        mine = {id(point) for point in frontier(rivals, cost.of_point)}
        for point in line.points:
            yield line, point, id(point) in mine, id(point) in overall


def _setting(line: Line, point: Point) -> str:
    """The line's name, with the point's own value of what the line runs along."""
    cell = point.cell
    if cell.swept is None:
        return line.setting
    kept = [part for part in line.setting.split(" ") if not part.startswith(f"{cell.swept}=")]
    return " ".join([*kept, f"{cell.swept}={cell.params[cell.swept]}"])


def _row(line: Line, point: Point, mine: bool) -> TableRow:
    return TableRow(
        kind="strategy",
        name=line.strategy,
        params=point.cell.variant,
        sampling=point.cell.sampling,
        varying={},
        n=point.n,
        problems=point.problems,
        seeds=point.seeds,
        accuracy=point.accuracy,
        policy=point.policy,
        point=point,
        frontier=mine,
    )
