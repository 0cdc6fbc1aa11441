"""Another tool's rows for a terminal, and below them what is not as this project has it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from tts_bench.report.conventions.rows import ToolRow, ToolRows
from tts_bench.report.conventions.tools import DIFFERENCE, differing

_WIDTH = 120


def tool_text(found: ToolRows) -> str:
    """The rows in per cent under the tool's names, then every difference with both figures."""
    tool = found.tool
    lines = [f"{found.run}, as {tool.name} counts ({tool.source})"]
    names = [_name(row) for row in found.rows]
    width = max(map(len, [*names, *found.counts, "options"]))
    for name, row in zip(names, found.rows, strict=True):
        spread = "" if row.spread is None else f" ± {100 * row.spread:.4f}"
        lines.append(f"  {name:<{width}}  {100 * row.value:8.4f}{spread}")
    lines += [f"  {name:<{width}}  {_count(name, value)}" for name, value in found.counts.items()]
    return "\n".join([*lines, *_differences(found, names, width), *_remarks(found)])


def _name(row: ToolRow) -> str:
    return f"{row.name} ({row.settings})" if row.settings else row.name


def _count(name: str, value: float) -> str:
    return f"{int(value):8d}" if name == "avg_tokens" else f"{100 * value:8.4f}"


def _differences(found: ToolRows, names: list[str], width: int) -> Iterator[str]:
    convention = found.tool.convention
    if options := differing(convention):
        said = ", ".join(f"{name}={getattr(convention, name)}" for name in options)
        yield f"its options beside this project's: {said}"
    rows = [(name, row) for name, row in zip(names, found.rows, strict=True) if row.differs]
    if not rows:
        yield "every figure is this project's, too"
        return
    yield f"{len(rows)} of {len(names)} figures are not this project's:"
    for name, row in rows:
        why = "; ".join(DIFFERENCE[option] for option in row.options)
        yield f"  {name:<{width}}  {100 * row.value:8.4f} there, {100 * row.ours:8.4f} here: {why}"


def _remarks(found: ToolRows) -> Iterator[str]:
    for note in found.notes:
        yield f"note: {note}"
    for note in found.tool.unlike:
        yield textwrap.fill(f"not imitated: {note}", _WIDTH, subsequent_indent="      ")
