"""Recorded completions as pools: whatever the columns of the file are called."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tts_bench.dataset.base import Item, text_id
from tts_bench.dataset.columns import POOLS, Columns
from tts_bench.dataset.finish import finish_reason
from tts_bench.dataset.items import ToReference, cell_text, level_of
from tts_bench.dataset.rows import BadRows, OnBad, Row, column_names, refuse
from tts_bench.errors import BadRow, DatasetError, quoted
from tts_bench.steps import Aggregate, aggregate
from tts_bench.types import FinishReason, Problem


@dataclass(frozen=True, slots=True)
class RecordedPool:
    """The recorded completions of one problem, column by column.

    A column that the file does not have is empty; all others have one entry per completion.
    """

    item: Item
    text: tuple[str, ...]
    score: tuple[float, ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()
    tokens: tuple[int | None, ...] = ()
    verdict: tuple[bool | None, ...] = ()
    """What the recording says of its correctness."""
    finish_reason: tuple[FinishReason | None, ...] = ()

    def first(self, n: int) -> RecordedPool:
        """The pool's first `n` completions."""
        cut = {
            column.name: getattr(self, column.name)[:n]
            for column in fields(self)
            if column.name != "item"
        }
        return RecordedPool(self.item, **cut)


def read_pools(
    rows: Sequence[Row],
    mapping: Mapping[str, str],
    how: Aggregate,
    source: str,
    to_reference: ToReference,
    on_bad: OnBad = refuse,
) -> list[RecordedPool]:
    """Pools from rows of a table, in the order in which their problems first appear.

    A row holds one completion, or all of a problem's as lists. `mapping` names columns by role
    (see POOLS). Scores that are lists are step scores, folded by `how`. Problems are told
    apart by their id, or without one by their text. Unusable rows go to `on_bad`. Raises
    DatasetError if a column is missing or ambiguous, a role is unknown or no row is left.
    """
    if not rows:
        raise DatasetError(_nothing(source, on_bad))
    found = _find(rows, mapping, source)
    groups: dict[str, list[_Entry]] = {}
    for row in rows:
        try:
            entry = _entry(row, found, to_reference)
            group = groups.setdefault(entry.item.problem.id, [entry])
            if group[0].item != entry.item:
                name = quoted(entry.item.problem.id)
                raise BadRow(row.where, "another problem or reference under the id", f" {name}")
        except BadRow as error:
            on_bad(error)
        else:
            if group[0] is not entry:
                group.append(entry)
    if not groups:
        raise DatasetError(_nothing(source, on_bad))
    return [_pool(group, how) for group in groups.values()]


def _nothing(source: str, on_bad: OnBad) -> str:
    if isinstance(on_bad, BadRows) and on_bad:
        return f"{source}: no usable row; left out: {on_bad}"
    return f"{source} is empty"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row that was read: its problem, and one value for each of its completions by role."""

    item: Item
    columns: Mapping[str, Sequence[Any]]


def _find(rows: Sequence[Row], mapping: Mapping[str, str], source: str) -> dict[str, str]:
    names = column_names(rows)
    columns = Columns(POOLS, mapping, required=("reference", "text"), option="--map")
    found = columns.find(names, source)
    if "id" not in found and "problem" not in found:
        raise DatasetError(f"{source}: neither an id nor a problem tells its rows apart")
    return found


def _entry(row: Row, found: Mapping[str, str], to_reference: ToReference) -> _Entry:
    item = _item(row, found, to_reference)
    cells = {role: _listed(row, role, found) for role in _CHECKS if role in found}
    sizes = {role: len(values) for role, values in cells.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{size} in {quoted(found[role])}" for role, size in sizes.items())
        raise BadRow(row.where, "columns of different lengths", f": {shown}")
    if not sizes["text"]:
        raise BadRow(row.where, "no completion", f" of {quoted(item.problem.id)}")
    columns: dict[str, list[Any]] = {}
    for role, values in cells.items():
        try:
            columns[role] = [_CHECKS[role](_written(value, role)) for value in values]
        except _Unusable as error:
            kind, value = error.args
            detail = f" (column {quoted(found[role])}): {quoted(value)}"
            raise BadRow(row.where, kind, detail) from None
    return _Entry(item, columns)


def _pool(entries: Sequence[_Entry], how: Aggregate) -> RecordedPool:
    columns = {
        role: tuple(value for entry in entries for value in entry.columns[role])
        for role in entries[0].columns
    }
    scores = columns.get("score", ())
    steps = tuple(tuple(score) if isinstance(score, list) else () for score in scores)
    return RecordedPool(
        item=entries[0].item,
        text=columns["text"],
        score=tuple(aggregate(s, how) if isinstance(s, list) else s for s in scores),
        steps=steps if any(steps) else (),
        tokens=_told(columns.get("tokens", ())),
        verdict=columns.get("verdict", ()),
        finish_reason=_told(columns.get("finish_reason", ())),
    )


def _told(column: tuple[Any, ...]) -> tuple[Any, ...]:
    """A column; empty if nothing stands in it."""
    return column if any(value is not None for value in column) else ()


def _item(row: Row, found: Mapping[str, str], to_reference: ToReference) -> Item:
    known = ("id", "problem", "reference", "level", "subject")
    text = {role: cell_text(row, role, found[role]) for role in known if role in found}
    name = "id" if "id" in found else "problem"
    for role in (name, "reference"):
        if not text[role]:
            raise BadRow(row.where, f"no {role}", f" (column {quoted(found[role])} is empty)")
    try:
        reference = to_reference(text["reference"])
    except ValueError as error:
        raise BadRow(row.where, f"column {quoted(found['reference'])} {error}") from error
    problem = Problem(
        id=text["id"] if name == "id" else text_id(text["problem"]),
        text=text.get("problem", ""),
        level=level_of(text.get("level", "")),
        subject=text.get("subject") or None,
    )
    return Item(problem, reference)


def _listed(row: Row, role: str, found: Mapping[str, str]) -> list[Any]:
    """The cell's values: a list where the row holds all completions of its problem."""
    value, texts = row.cells.get(found[role]), row.cells.get(found["text"])
    if not isinstance(texts, list):
        return [value]
    if value is None:
        return [None] * len(texts)
    return value if isinstance(value, list) else [value]


def _written(value: Any, role: str) -> Any:
    """The number, truth value or list that a text says: the cells of a .csv file are all text."""
    if role in ("text", "finish_reason") or not isinstance(value, str):
        return value
    try:
        return json.loads(value.lower() or "null")
    except (ValueError, RecursionError):
        return value


class _Unusable(ValueError):
    """A value that its role cannot have: the kind of fault, and the value."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unusable("a completion is no text", value)
    return value


def _score(value: Any) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise _Unusable("a list of step scores is empty", value)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise _Unusable("a score is no number", one)
        if not _is_finite(one):
            raise _Unusable("a score is not finite", one)
    return [float(one) for one in values] if isinstance(value, list) else float(value)


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
        raise _Unusable("tokens are no count", value)
    return number


def _finished(value: Any) -> FinishReason | None:
    try:
        return finish_reason(value)
    except ValueError:
        raise _Unusable("a finish reason is not known", value) from None


def _verdict(value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value != value:  # NaN: an empty cell of a table of numbers
        return None
    if value in (0, 1):
        return bool(value)
    raise _Unusable("a verdict is not true or false", value)


_MOST_TOKENS = 2**31
_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "text": _text,
    "score": _score,
    "tokens": _tokens,
    "verdict": _verdict,
    "finish_reason": _finished,
}
"""What each completion's value is read by. Raises _Unusable."""


def disagreements(
    pool: RecordedPool, ours: Sequence[bool | None], answers: Sequence[str | None]
) -> Iterator[dict[str, Any]]:
    """The completions whose recorded verdict is not ours."""
    for i, recorded in enumerate(pool.verdict):
        if recorded is not None and recorded != (ours[i] is True):
            yield {
                "problem": pool.item.problem.id,
                "candidate": i,
                "reference": pool.item.reference,
                "answer": answers[i],
                "recorded": recorded,
                "ours": ours[i],
            }
