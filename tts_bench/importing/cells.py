"""A row's cells as one value for each of its completions, by role, and checked."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from tts_bench.dataset.finish import finish_reason
from tts_bench.dataset.row import Row
from tts_bench.dataset.written import Shortened, listed
from tts_bench.errors import BadRow, quoted
from tts_bench.steps import Aggregate, aggregate
from tts_bench.types import FinishReason

_MOST_TOKENS = 2**31
_TEXTS = ("text", "answer")
"""Roles whose values are texts, so that a text which looks like a list may be none."""
_COUNTING = ("text", "answer", "verdict")
"""Roles that say how many completions a row holds: the first that a table has."""


class Unusable(ValueError):
    """A value that its role cannot have: the kind of fault, and the value."""


def read_cells(row: Row, found: Mapping[str, str], how: Aggregate) -> dict[str, list[Any]]:
    """One value for each completion of a row, by role; a score is a number and its steps.

    `found` has the columns by role. Raises BadRow.
    """
    try:
        cells = _listed(row, found)
    except Shortened:
        raise BadRow(row.where, "a list is cut short by '...', so its middle is lost") from None
    sizes = {role: len(values) for role, values in cells.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{size} in {quoted(found[role])}" for role, size in sizes.items())
        raise BadRow(row.where, "columns of different lengths", f": {shown}")
    columns: dict[str, list[Any]] = {}
    for role, values in cells.items():
        try:
            is_optional = role == "text" and "answer" in cells
            columns[role] = [
                "" if is_optional and value is None else CHECKS[role](_written(value, role))
                for value in values
            ]
            if role == "score":
                columns[role] = [_folded(value, how) for value in columns[role]]
        except Unusable as error:
            kind, value = error.args
            detail = f" (column {quoted(found[role])}): {quoted(value)}"
            raise BadRow(row.where, kind, detail) from None
    return columns


def _listed(row: Row, found: Mapping[str, str]) -> dict[str, list[Any]]:
    """The cells as lists: of all completions where the row holds all of its problem's."""
    cells = {role: row.cells.get(found[role]) for role in CHECKS if role in found}
    counting = next(role for role in _COUNTING if role in cells)
    several = _several(cells, counting)
    if several is None:
        return {role: [value] for role, value in cells.items()}
    lists = {}
    for role, value in cells.items():
        values = several if role == counting else _list(value)
        if value is None:
            values = [None] * len(several)
        lists[role] = [value] if values is None else values
    return lists


def _several(cells: Mapping[str, Any], counting: str) -> list[Any] | None:
    """The list of the role that counts; None if the row holds one completion."""
    value = cells[counting]
    if isinstance(value, list) or not isinstance(value, str):
        return value if isinstance(value, list) else None
    values = listed(value)
    if values is None or counting not in _TEXTS:
        return values
    if all(isinstance(one, str | None) for one in values) and values:
        return values
    # `[1, 2]` is an interval, unless the verdicts beside it are two.
    verdicts = _list(cells.get("verdict"))
    is_list = counting == "answer" and verdicts is not None and len(verdicts) == len(values)
    return values if is_list else None


def _list(value: Any) -> list[Any] | None:
    return listed(value) if isinstance(value, str) else value if isinstance(value, list) else None


def _written(value: Any, role: str) -> Any:
    """The number, truth value or list that a text says: the cells of a .csv file are all text."""
    if role in ("text", "answer", "finish_reason") or not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() or "null")
    except (ValueError, RecursionError):
        values = listed(value) if role == "score" else None
        return value if values is None else values


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unusable("a completion is no text", value)
    return value


def _answer(value: Any) -> str | None:
    if value is None or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise Unusable("an answer is no text", value)
    return str(value).strip() or None


def _score(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise Unusable("a list of step scores is empty", value)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise Unusable("a score is no number", one)
        if not _is_finite(one):
            raise Unusable("a score is not finite", one)
    return [float(one) for one in values] if isinstance(value, list) else float(value)


def _folded(score: Any, how: Aggregate) -> tuple[float, tuple[float, ...]]:
    """A score and its steps."""
    if not isinstance(score, list):
        return score, ()
    try:
        return aggregate(score, how), tuple(score)
    except ValueError:
        raise Unusable("a geometric mean of a score below 0", min(score)) from None


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _tokens(value: Any) -> int | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < _MOST_TOKENS:
        raise Unusable("tokens are no count", value)
    return number


def _finished(value: Any) -> FinishReason | None:
    try:
        return finish_reason(value)
    except ValueError:
        raise Unusable("a finish reason is not known", value) from None


def _verdict(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value != value:  # NaN: an empty cell of a table of numbers
        return None
    if value in (0, 1):
        return bool(value)
    raise Unusable("a verdict is not true or false", value)


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "answer": _answer,
    "score": _score,
    "tokens": _tokens,
    "verdict": _verdict,
    "finish_reason": _finished,
}
"""What each completion's value is read by. Raises Unusable."""
