"""Recorded completions as pools: whatever the columns of the file are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from tts_bench.dataset.base import Item, text_id
from tts_bench.dataset.columns import POOLS, Columns
from tts_bench.dataset.items import after_hashes
from tts_bench.dataset.rows import Row, column_names
from tts_bench.errors import DatasetError
from tts_bench.steps import Aggregate, aggregate
from tts_bench.types import Problem


@dataclass(frozen=True, slots=True)
class RecordedPool:
    """The recorded completions of one problem, column by column.

    A column that the file does not have is empty; all others have one entry per completion.
    """

    item: Item
    text: tuple[str, ...]
    score: tuple[float, ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()
    tokens: tuple[int, ...] = ()
    verdict: tuple[bool | None, ...] = ()
    """What the recording says of its correctness."""

    def first(self, n: int) -> RecordedPool:
        """The pool's first `n` completions."""
        cut = {
            column.name: getattr(self, column.name)[:n]
            for column in fields(self)
            if column.name != "item"
        }
        return RecordedPool(self.item, **cut)


def read_pools(
    rows: Sequence[Row], mapping: Mapping[str, str], how: Aggregate, source: str
) -> list[RecordedPool]:
    """Pools from rows of a table, in the order in which their problems first appear.

    A row holds one completion, or all of a problem's as lists. `mapping` names columns by role
    (see POOLS). Scores that are lists are step scores, folded by `how`. Problems are told
    apart by their id, or without one by their text. Raises DatasetError if a column is missing
    or ambiguous, a row is unusable or a role is unknown.
    """
    if not rows:
        raise DatasetError(f"{source} is empty")
    found = _find(rows, mapping, source)
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(_problem_id(row, found), []).append(row)
    return [_pool(name, group, found, how) for name, group in groups.items()]


def _find(rows: Sequence[Row], mapping: Mapping[str, str], source: str) -> dict[str, str]:
    names = column_names(rows)
    columns = Columns(POOLS, mapping, required=("reference", "text"), option="--map")
    found = columns.find(names, source)
    if "id" not in found and "problem" not in found:
        raise DatasetError(f"{source}: neither an id nor a problem tells its rows apart")
    return found


def _problem_id(row: Row, found: Mapping[str, str]) -> str:
    role = "id" if "id" in found else "problem"
    value = row.cells.get(found[role])
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        raise DatasetError(f"{row.where}: no {role} (column {found[role]!r})")
    text = str(value).strip()
    return text if role == "id" else text_id(text)


def _pool(name: str, rows: Sequence[Row], found: Mapping[str, str], how: Aggregate) -> RecordedPool:
    item = _item(name, rows[0], found)
    columns: dict[str, list[Any]] = {
        role: [] for role in ("text", "score", "tokens", "verdict") if role in found
    }
    for row in rows:
        if _item(name, row, found) != item:
            raise DatasetError(f"{row.where}: another problem or reference under the id {name!r}")
        cells = {role: _listed(row, role, found) for role in columns}
        sizes = {role: len(values) for role, values in cells.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{size} in {found[role]!r}" for role, size in sizes.items())
            raise DatasetError(f"{row.where}: columns of different lengths: {shown}")
        for role, values in cells.items():
            columns[role] += [_CHECKS[role](value, row, found[role]) for value in values]
    if not columns["text"]:
        raise DatasetError(f"{rows[0].where}: no completion of {name!r}")
    scores = columns.get("score", [])
    steps = tuple(tuple(score) if isinstance(score, list) else () for score in scores)
    return RecordedPool(
        item=item,
        text=tuple(columns["text"]),
        score=tuple(aggregate(s, how) if isinstance(s, list) else s for s in scores),
        steps=steps if any(steps) else (),
        tokens=tuple(columns.get("tokens", ())),
        verdict=tuple(columns.get("verdict", ())),
    )


def _item(name: str, row: Row, found: Mapping[str, str]) -> Item:
    def text(role: str) -> str:
        value = row.cells.get(found[role]) if role in found else None
        return "" if value is None else str(value).strip()

    reference = text("reference")
    if not reference:
        raise DatasetError(f"{row.where}: no reference (column {found['reference']!r} is empty)")
    if "####" in reference:
        reference = after_hashes(reference)
    level = text("level").removeprefix("Level ")
    problem = Problem(
        id=name,
        text=text("problem"),
        level=int(level) if level.isdigit() else None,
        subject=text("subject") or None,
    )
    return Item(problem, reference)


def _listed(row: Row, role: str, found: Mapping[str, str]) -> list[Any]:
    """The cell's values: a list where the row holds all completions of its problem."""
    value, texts = row.cells.get(found[role]), row.cells.get(found["text"])
    if not isinstance(texts, list):
        return [value]
    return value if isinstance(value, list) else [value]


def _text(value: Any, row: Row, column: str) -> str:
    if not isinstance(value, str):
        raise DatasetError(f"{row.where}: a completion (column {column!r}) is no text")
    return value


def _score(value: Any, row: Row, column: str) -> Any:
    values = value if isinstance(value, list) else [value]
    if not values or any(
        isinstance(one, bool) or not isinstance(one, int | float) for one in values
    ):
        raise DatasetError(f"{row.where}: a score (column {column!r}) is no number: {value!r:.60}")
    return [float(one) for one in value] if isinstance(value, list) else float(value)


def _tokens(value: Any, row: Row, column: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise DatasetError(f"{row.where}: tokens (column {column!r}) are no count: {value!r:.60}")
    return value


def _verdict(value: Any, row: Row, column: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise DatasetError(f"{row.where}: a verdict (column {column!r}) is not true or false")


_CHECKS = {"text": _text, "score": _score, "tokens": _tokens, "verdict": _verdict}


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
