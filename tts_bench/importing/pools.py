"""Recorded completions as pools: whatever the columns of the file are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from tts_bench.dataset.base import Item, text_id
from tts_bench.dataset.items import cell_text, level_of
from tts_bench.dataset.row import BadRows, OnBad, Row, refuse
from tts_bench.errors import BadRow, DatasetError, quoted
from tts_bench.importing.cells import read_cells
from tts_bench.importing.layout import Layout, find_columns
from tts_bench.importing.spooled import Spooled
from tts_bench.importing.table import Table
from tts_bench.importing.wide import WideColumns
from tts_bench.types import FinishReason, Problem


@dataclass(frozen=True, slots=True)
class RecordedPool:
    """The recorded completions of one problem, column by column.

    A column that the file does not have is empty; all others have one entry per completion.
    """

    item: Item
    """Its reference is empty where the file has none."""
    text: tuple[str, ...] = ()
    score: tuple[float, ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()
    tokens: tuple[int | None, ...] = ()
    verdict: tuple[bool | None, ...] = ()
    """What the recording says of its correctness."""
    finish_reason: tuple[FinishReason | None, ...] = ()
    answer: tuple[str | None, ...] = ()
    """What the recording says was answered."""

    def __len__(self) -> int:
        return len(self.text or self.answer or self.verdict)

    def first(self, n: int) -> RecordedPool:
        """The pool's first `n` completions."""
        cut = {
            column.name: getattr(self, column.name)[:n]
            for column in fields(self)
            if column.name != "item"
        }
        return RecordedPool(self.item, **cut)


@dataclass(frozen=True)
class Pools:
    """Pools by the ids of their problems, each read when it is asked for."""

    ids: Sequence[str]
    of: Callable[[str], RecordedPool]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[RecordedPool]:
        return map(self.of, self.ids)

    def first(self, n: int) -> Pools:
        """The first `n` completions of each."""
        return Pools(self.ids, lambda name: self.of(name).first(n))


def read_pools(
    table: Table,
    layout: Layout,
    on_bad: OnBad = refuse,
    see: Callable[[Row], object] = lambda _: None,
) -> Pools:
    """Pools from rows of a table, in the order in which their problems first appear.

    A row holds one completion, or all of a problem's as lists or in numbered columns. Problems
    are told apart by their id, or without one by their text. Unusable rows go to `on_bad`; `see`
    is shown every row. Raises DatasetError if a column is missing or ambiguous, a role is unknown,
    no row is left, or one problem's completions are of several models.
    """
    if not len(table):
        raise DatasetError(_nothing(table.source, on_bad))
    wide = WideColumns.of(table.names, layout.mapping.values())
    found = find_columns(wide.names(table.names), layout, table.source)
    spool: Spooled[_Entry] = Spooled()
    first: dict[str, _Entry] = {}
    told = False
    for number, row in enumerate(table, start=1):
        see(row)
        try:
            entry = _entry(wide.gather(row, found.values()), found, layout, number)
            name = entry.item.problem.id
            if name in first:
                _check_member(row, entry, first[name], found, layout)
        except BadRow as error:
            on_bad(error)
            continue
        first.setdefault(name, replace(entry, columns={}))
        told = told or any(value is not None for value in entry.columns.get("verdict", ()))
        spool.add(name, entry)
    if not first:
        raise DatasetError(_nothing(table.source, on_bad))
    if not layout.recording.graded and not told:
        raise DatasetError(f"{table.source}: column {quoted(found['verdict'])} holds no verdict")
    return Pools(list(first), lambda name: _pool(spool.of(name)))


def _nothing(source: str, on_bad: OnBad) -> str:
    if isinstance(on_bad, BadRows) and on_bad:
        return f"{source}: no usable row; left out: {on_bad}"
    return f"{source} is empty"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row that was read: its problem, and one value for each of its completions by role."""

    item: Item
    columns: Mapping[str, Sequence[Any]]
    model: object
    draw: object
    """Number of the completion among its problem's, where the row has one."""


def _entry(row: Row, found: Mapping[str, str], layout: Layout, number: int) -> _Entry:
    item = _item(row, found, layout, number)
    columns = read_cells(row, found, layout.how)
    if "answer" in columns:
        none = layout.recording.no_answer
        layout.unmet.difference_update(filter(None, columns["answer"]))
        columns["answer"] = [None if one in none else one for one in columns["answer"]]
    if not next(iter(columns.values())):
        raise BadRow(row.where, "no completion", f" of {quoted(item.problem.id)}")
    model, draw = (row.cells.get(found.get(role, "")) for role in ("model", "draw"))
    return _Entry(item, columns, model, draw)


def _check_member(
    row: Row, entry: _Entry, first: _Entry, found: Mapping[str, str], layout: Layout
) -> None:
    """Raise BadRow for another problem under one id, and DatasetError for another model's text."""
    name = quoted(entry.item.problem.id)
    if entry.item != first.item:
        raise BadRow(row.where, "another problem or reference under the id", f" {name}")
    one, other = first.model, entry.model
    if one != other and isinstance(one, str) and found["model"] not in layout.chosen:
        raise DatasetError(
            f"{row.where}: the completions of {name} are of several models, {quoted(one)} and "
            f"{quoted(other)}; take one model's: --where {found['model']}={one}"
        )


def _pool(entries: Sequence[_Entry]) -> RecordedPool:
    numbers = [_number(entry.draw) for entry in entries]
    known = [number for number in numbers if number is not None]
    if len(known) == len(entries):
        entries = [entries[i] for i in sorted(range(len(known)), key=known.__getitem__)]
    columns = {
        role: tuple(value for entry in entries for value in entry.columns[role])
        for role in entries[0].columns
    }
    scores = columns.get("score", ())
    steps = tuple(steps for _, steps in scores)
    return RecordedPool(
        item=entries[0].item,
        text=columns.get("text", ()),
        score=tuple(score for score, _ in scores),
        steps=steps if any(steps) else (),
        tokens=_told(columns.get("tokens", ())),
        verdict=columns.get("verdict", ()),
        finish_reason=_told(columns.get("finish_reason", ())),
        answer=columns.get("answer", ()),
    )


def _number(draw: object) -> float | None:
    """The number of a draw, also where it is written as a text; None if it is none."""
    if isinstance(draw, str) and draw.strip().isdecimal():
        return int(draw)
    return draw if isinstance(draw, int | float) else None


def _told(column: tuple[Any, ...]) -> tuple[Any, ...]:
    """A column; empty if nothing stands in it."""
    return column if any(value is not None for value in column) else ()


def _item(row: Row, found: Mapping[str, str], layout: Layout, number: int) -> Item:
    known = ("id", "problem", "reference", "level", "subject")
    text = {role: cell_text(row, role, found[role]) for role in known if role in found}
    name = "id" if "id" in found else "problem"
    if name not in found:
        text[name] = f"line {number}"
    for role in (name, *(("reference",) if layout.recording.graded else ())):
        if not text[role]:
            hint = "; --verdicts recorded needs none" if role != name and "verdict" in found else ""
            detail = f" (column {quoted(found[role])} is empty){hint}"
            raise BadRow(row.where, f"no {role}", detail)
    problem = Problem(
        id=text["id"] if name == "id" else text_id(text["problem"]),
        text=text.get("problem", "") if name in found else "",
        level=level_of(text.get("level", "")),
        subject=text.get("subject") or None,
    )
    return Item(problem, _reference(row, text.get("reference", ""), found, layout))


def _reference(row: Row, text: str, found: Mapping[str, str], layout: Layout) -> str:
    """The answer that a reference states; one that nothing is graded by may state none."""
    try:
        return layout.to_reference(text) if text else ""
    except ValueError as error:
        if not layout.recording.graded:
            return text
        raise BadRow(row.where, f"column {quoted(found['reference'])} {error}") from error


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
