"""Problems and their reference answers from the rows of a table."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from tts_bench.dataset.base import Item, text_id
from tts_bench.dataset.columns import PROBLEMS, Columns, Names
from tts_bench.dataset.row import Row, column_names
from tts_bench.errors import BadRow, DatasetError, quoted
from tts_bench.types import Problem

_LEVEL = re.compile(r"(?:level\s*)?(\d{1,18}|\?)", re.IGNORECASE)

ToReference = Callable[[str], str]
"""Turns the text of a reference cell into the answer alone; ValueError says why it cannot."""


def problem_columns(given: Mapping[str, str], names: Mapping[str, Names] = PROBLEMS) -> Columns:
    """The columns of a table of problems, of which every row has a text and a reference.

    Raises DatasetError for a role in `given` that does not exist.
    """
    return Columns(names, given, required=("problem", "reference"))


def items_of(
    rows: Sequence[Row], columns: Columns, source: str, reference: ToReference
) -> tuple[Item, ...]:
    """Turn rows into items. Raises DatasetError if a row or the whole table is unusable.

    Ids are those of the id column and must be unique. Without such a column an id is the first
    12 hex digits of the SHA-256 of the problem's text, so that it survives reordering; the 2nd,
    3rd, ... row with one text gets `-2`, `-3`, ... appended, because public sets hold repeats
    that a user cannot remove.
    """
    if not rows:
        raise DatasetError(f"{source} is empty")
    names = column_names(rows)
    found = columns.find(names, source)
    items = tuple(_item(row, found, reference) for row in rows)
    if "id" not in found:
        return _with_content_ids(items)
    first: dict[str, Row] = {}
    for row, item in zip(rows, items, strict=True):
        other = first.setdefault(item.problem.id, row)
        if other is not row:
            raise DatasetError(
                f"{row.where}: id {quoted(item.problem.id)} is that of {other.where} too"
            )
    return items


_INTEGER = re.compile(r"-?\d{1,1000}(\.0+)?")


def integer(text: str) -> str:
    """Plain spelling of an integer written as 27.0 or 025; any other text unchanged.

    >>> [integer(t) for t in ("27.0", "025", "-1", "1/2")]
    ['27', '25', '-1', '1/2']
    """
    return str(int(text.partition(".")[0])) if _INTEGER.fullmatch(text) else text


def after_hashes(text: str) -> str:
    r"""GSM8K's final answer: what follows `####`, without thousands separators.

    >>> after_hashes("He pays 2 * 600 = <<2*600=1200>>1200.\n#### 1,200")
    '1200'
    """
    _, hashes, answer = text.rpartition("####")
    if not hashes or not answer.strip():
        raise ValueError("has no final answer after '####'")
    return answer.strip().replace(",", "")


def _item(row: Row, found: Mapping[str, str], to_reference: ToReference) -> Item:
    text = {role: cell_text(row, role, column) for role, column in found.items()}
    for role in found:
        if role in ("problem", "reference", "id") and not text[role]:
            raise BadRow(row.where, f"no {role}", f" (column {quoted(found[role])} is empty)")
    try:
        reference = to_reference(text["reference"])
    except ValueError as error:
        raise BadRow(row.where, f"column {quoted(found['reference'])} {error}") from error
    level = text.get("level", "")
    if not is_level(level):
        raise BadRow(row.where, f"level {quoted(level)}", " is neither a number nor like 'Level 3'")
    problem = Problem(
        id=text.get("id", ""),
        text=text["problem"],
        level=level_of(level),
        subject=text.get("subject") or None,
    )
    return Item(problem, reference)


def cell_text(row: Row, role: str, column: str) -> str:
    """A cell as text, "" where it is empty. Raises BadRow if it is neither text nor a number."""
    cell = row.cells.get(column)
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        kind = type(cell).__name__
        detail = f" (column {quoted(column)}) is a {kind}, not text or a number"
        raise BadRow(row.where, f"the {role}", detail)
    if isinstance(cell, float) and math.isinf(cell):
        raise BadRow(row.where, f"the {role}", f" (column {quoted(column)}) is not finite")
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()


def level_of(text: str) -> int | None:
    """The level that a cell says: MATH writes "Level 3", and "Level ?" if it does not know."""
    match = _LEVEL.fullmatch(text)
    return int(match[1]) if match and match[1] != "?" else None


def is_level(text: str) -> bool:
    """Whether a cell is empty, or says a level or that it is unknown."""
    return not text or _LEVEL.fullmatch(text) is not None


def _with_content_ids(items: Iterable[Item]) -> tuple[Item, ...]:
    seen: Counter[str] = Counter()
    named = []
    for item in items:
        digest = text_id(item.problem.text)
        seen[digest] += 1
        suffix = f"-{seen[digest]}" if seen[digest] > 1 else ""
        named.append(replace(item, problem=replace(item.problem, id=digest + suffix)))
    return tuple(named)
