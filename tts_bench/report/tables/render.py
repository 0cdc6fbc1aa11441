"""The result table: one set of columns as text for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts_bench.report.format import clip, count, interval, money, percent, si, signed_interval
from tts_bench.report.points.content import Report
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import canonical, settings
from tts_bench.report.tables.rows import TableRow, make_rows

WIDTH = 120
"""Columns of a terminal that the text form fits."""
_FORMULA = ("=", "+", "-", "@", "\t", "\n")
"""What a text begins with that spreadsheets compute."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A column for people: its header in the terminal (None: not there) and in Markdown."""

    short: str | None
    long: str
    show: Callable[[TableRow], str]


_VS_MEAN = "vs mean draw"


def _of_point(show: Callable[[Point], str]) -> Callable[[TableRow], str]:
    return lambda row: "-" if row.point is None else show(row.point)


_NUMBERS = (
    _Column("n", "n", lambda row: "-" if row.n is None else str(row.n)),
    _Column("probs", "problems", lambda row: str(row.problems)),
    _Column("accuracy [95% CI]", "accuracy % [95 % CI]", lambda row: interval(row.accuracy)),
    _Column(
        "vs greedy [95% CI]",
        "vs greedy, points [95 % CI]",
        _of_point(lambda point: signed_interval(point.difference)),
    ),
    _Column(
        "vs mean [95% CI]",
        "vs mean draw, points [95 % CI]",
        _of_point(lambda point: signed_interval(point.over_mean)),
    ),
    _Column("tokens", "tokens/problem", lambda row: count(row.policy.completion_tokens)),
    _Column("FLOPs", "policy FLOPs/problem, ideal", lambda row: si(row.policy.flops_ideal)),
    _Column(None, "policy, logical", lambda row: si(row.policy.flops_logical)),
    _Column(None, "policy, measured", lambda row: si(row.policy.flops_measured)),
    _Column(
        "verif.",
        "verifier FLOPs/problem, ideal",
        _of_point(lambda point: si(point.verifier.flops_ideal)),
    ),
    _Column(None, "verifier, logical", _of_point(lambda point: si(point.verifier.flops_logical))),
    _Column(None, "verifier, measured", _of_point(lambda point: si(point.verifier.flops_measured))),
    _Column("$", "$/problem", lambda row: money(row.dollars)),
    _Column(None, "policy, $", lambda row: money(row.policy.dollars)),
    _Column(None, "verifier, $", _of_point(lambda point: money(point.verifier.dollars))),
    _Column("trunc%", "truncated %", _of_point(lambda point: percent(point.truncated))),
    _Column("no-ans%", "no answer %", _of_point(lambda point: percent(point.unanswered))),
    _Column("err", "errors", _of_point(lambda point: str(point.errors))),
    _Column(None, "estimated from", _of_point(lambda point: point.estimator)),
)


def _columns(rows: Sequence[TableRow]) -> list[_Column]:
    """The columns that have something to say: without a price there are none of dollars."""
    unpriced = all(row.unpriced for row in rows)
    found = [one for one in _NUMBERS if not (unpriced and "$" in one.long)]
    points = [row.point for row in rows if row.point]
    if not any(point.over_mean for point in points):
        found = [one for one in found if not one.long.startswith(_VS_MEAN)]
    elif any(point.difference for point in points):
        # A terminal has room for one of the two.
        found = [replace(o, short=None) if o.long.startswith(_VS_MEAN) else o for o in found]
    else:
        found = [one for one in found if not one.long.startswith("vs greedy")]
    return found


def terminal_table(report: Report, width: int = WIDTH) -> str:
    """The table for a terminal of `width` columns, with a heading and the notes."""
    rows = make_rows(report)
    columns = [column for column in _columns(rows) if column.short is not None]
    cells = [[column.show(row) for column in columns] for row in rows]
    heads = [column.short or "" for column in columns]
    widths = [max(len(line[i]) for line in [heads, *cells]) for i in range(len(columns))]
    room = max(8, width - sum(widths) - len(widths))
    names = ["strategy", *(_full_name(row, room) for row in rows)]
    first = min(room, max(map(len, names)))
    lines = [
        " ".join([clip(name, first).ljust(first), *map(str.rjust, line, widths)])
        for name, line in zip(names, [heads, *cells], strict=True)
    ]
    notes = [
        textwrap.fill(f"note: {note}", width, subsequent_indent="      ") for note in report.notes
    ]
    return "\n".join([clip(heading(report), width), *lines, *notes]) + "\n"


def markdown_table(report: Report) -> str:
    """The table as a Markdown page, with a heading and the notes."""
    rows = make_rows(report)
    columns = _columns(rows)
    heads = ["strategy", "params", *(column.long for column in columns)]
    lines = [
        [_name(row), settings({**row.params, **row.varying}) or "-"]
        + [column.show(row) for column in columns]
        for row in rows
    ]
    table = markdown_rows(heads, lines, words=2)
    notes = ["", *(f"- {note}" for note in report.notes)] if report.notes else []
    return "\n".join([f"# {heading(report)}", "", *table, *notes]) + "\n"


def csv_table(report: Report) -> str:
    """The table as CSV in full precision; what is unknown is empty. Units: docs/results.md."""
    rows = make_rows(report)
    return as_csv(records(rows))


def records(rows: Sequence[TableRow]) -> list[dict[str, Any]]:
    """Rows with machine names; the columns of dollars only where one of them has any."""
    found = [_record(row) for row in rows]
    if all(row.unpriced for row in rows):
        return found
    return [{**one, **_dollars(row)} for one, row in zip(found, rows, strict=True)]


def _dollars(row: TableRow) -> dict[str, Any]:
    return {
        "policy_dollars": row.policy.dollars,
        "verifier_dollars": row.point.verifier.dollars if row.point else None,
        "dollars": row.dollars,
    }


def as_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records of the same fields as CSV, with a header.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _inert(cell) for name, cell in row.items()} for row in records)
    return text.getvalue()


def _inert(cell: Any) -> Any:
    """A cell as no program computes it; numbers are not text."""
    if not isinstance(cell, str):
        return cell
    text = cell.replace("\r", "\n")  # `csv` leaves it unquoted, and readers end the line there
    return f"'{text}" if text.startswith(_FORMULA) else text


def heading(report: Report) -> str:
    """What was run: suite, model, problems and seeds, and whether that is all."""
    scope = report.scope
    partial = " (partial)" if scope.partial else ""
    return f"{scope.suite}, {scope.extent}{partial}"


def _name(row: TableRow) -> str:
    return f"{row.name} (oracle upper bound)" if row.kind == "coverage" else row.name


def _full_name(row: TableRow, room: int) -> str:
    """The name with what tells it from others; the remark on coverage as long as fits."""
    name = f"{row.name} {settings(row.varying)}".rstrip()
    if row.kind != "coverage":
        return name
    long = f"{name} (oracle upper bound)"
    return long if len(long) <= room else f"{name} (oracle)"


def markdown_rows(heads: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """A Markdown table; columns after the first `words` are numbers."""
    rule = [*["---"] * words, *["---:"] * (len(heads) - words)]
    return [f"| {' | '.join(map(_escape, line))} |" for line in [heads, rule, *rows]]


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _record(row: TableRow) -> dict[str, Any]:
    """A row with machine names; shares are of 1, FLOPs and tokens are means per problem."""
    point, gain = row.point, row.point.difference if row.point else None
    mean = point.over_mean if point else None
    verifier = point.verifier if point else None
    values: dict[str, Any] = {
        "kind": row.kind,
        "strategy": row.name,
        "params": canonical(row.params),
        "sampling": canonical(row.sampling),
        "n": row.n,
        "problems": row.problems,
        "seeds": row.seeds,
        "accuracy": row.accuracy.value,
        "accuracy_stderr": row.accuracy.stderr,
        "accuracy_low": row.accuracy.low,
        "accuracy_high": row.accuracy.high,
        "monte_carlo_stderr": point.monte_carlo_stderr if point else 0.0,
        "estimated_from": point.estimator if point else "all subsets",
        "vs_greedy": gain.value if gain else None,
        "vs_greedy_low": gain.low if gain else None,
        "vs_greedy_high": gain.high if gain else None,
        "tokens": row.policy.completion_tokens,
        "prompt_tokens_ideal": row.policy.prompt_tokens_ideal,
        "prompt_tokens_logical": row.policy.prompt_tokens_logical,
        "policy_flops_ideal": row.policy.flops_ideal,
        "policy_flops_logical": row.policy.flops_logical,
        "policy_flops_measured": row.policy.flops_measured,
        "verifier_tokens_ideal": verifier.tokens if verifier else None,
        "verifier_flops_ideal": verifier.flops_ideal if verifier else None,
        "verifier_flops_logical": verifier.flops_logical if verifier else None,
        "verifier_flops_measured": verifier.flops_measured if verifier else None,
        "seconds": point.seconds if point else None,
        "truncated": point.truncated if point else None,
        "no_answer": point.unanswered if point else None,
        "errors": point.errors if point else None,
        "grading_timeouts": point.ungraded if point else None,
        "cell": point.cell.id if point else None,
        "frontier": row.frontier,
        "vs_mean_draw": mean.value if mean else None,
        "vs_mean_draw_low": mean.low if mean else None,
        "vs_mean_draw_high": mean.high if mean else None,
    }
    return {name: _finite(value) for name, value in values.items()}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
