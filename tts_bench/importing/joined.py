"""Pools of several files as one: each file holds further draws of the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

from tts_bench.dataset.base import Item
from tts_bench.errors import DatasetError, quoted
from tts_bench.importing.pools import Pools, RecordedPool

How = Literal["id", "line"]


def join_pools(read: Sequence[tuple[str, Pools]], how: How) -> Pools:
    """The pools of the first file, each with the draws of its problem in the files after it.

    `line`: the files list the same problems in one order. Raises DatasetError where a file lacks a
    problem or a column that another has, or means another problem.
    """
    (first, whole), *others = read
    for source, pools in others:
        whole = _pair(first, whole, source, _by_line(first, whole, source, pools, how))
    return whole


def _pair(first: str, whole: Pools, source: str, pools: Pools) -> Pools:
    """The pools of two files with the same problems. Raises DatasetError."""
    for name, ours, elsewhere, theirs in (
        (source, pools, first, whole),
        (first, whole, source, pools),
    ):
        known = set(ours.ids)
        if lacking := [one for one in theirs.ids if one not in known]:
            raise DatasetError(
                f"{name}: no problem {quoted(lacking[0])}, which {elsewhere} has "
                f"({len(lacking)} such); --join line joins by place"
            )
    joined = Pools(whole.ids, lambda name: _joined(first, whole.of(name), source, pools.of(name)))
    for _ in joined:  # what does not match is told before anything is written
        pass
    return joined


def _by_line(first: str, whole: Pools, source: str, pools: Pools, how: How) -> Pools:
    """The pools of a file; of one joined by line under the ids of the first file's.

    Raises DatasetError.
    """
    if how == "id":
        return pools
    if len(whole) != len(pools):
        raise DatasetError(f"{source}: {len(pools)} problems, and {first} has {len(whole)}")
    places = dict(zip(whole.ids, pools.ids, strict=True))

    def of(name: str) -> RecordedPool:
        found, text = pools.of(places[name]), whole.of(name).item.problem.text
        theirs = found.item.problem
        if text and theirs.text and text != theirs.text:
            raise DatasetError(f"{source}: problem {quoted(name)} is another one than in {first}")
        return replace(found, item=replace(found.item, problem=replace(theirs, id=name)))

    return Pools(whole.ids, of)


def _joined(first: str, ours: RecordedPool, source: str, theirs: RecordedPool) -> RecordedPool:
    """One pool of the draws of two files. Raises DatasetError."""
    columns = {}
    for column in fields(RecordedPool):
        if column.name == "item":
            continue
        one, other = getattr(ours, column.name), getattr(theirs, column.name)
        if bool(one) != bool(other) and column.name in ("text", "answer", "score", "verdict"):
            has, lacks = (first, source) if one else (source, first)
            raise DatasetError(f"{lacks}: no {column.name}, which {has} has")
        pads = (None,) * len(ours), (None,) * len(theirs)
        columns[column.name] = (one or pads[0]) + (other or pads[1]) if one or other else ()
    return RecordedPool(_same(first, ours.item, source, theirs.item), **columns)


def _same(first: str, ours: Item, source: str, theirs: Item) -> Item:
    """The problem of both files, with what either knows of it. Raises DatasetError."""
    one, other = ours.problem, theirs.problem
    for what, mine, yours in (
        ("reference", ours.reference, theirs.reference),
        ("text", one.text, other.text),
    ):
        if mine and yours and mine != yours:
            raise DatasetError(
                f"{source}: another {what} of problem {quoted(one.id)} than in {first}: "
                f"{quoted(yours)} for {quoted(mine)}"
            )
    problem = replace(
        one,
        text=one.text or other.text,
        level=other.level if one.level is None else one.level,
        subject=one.subject or other.subject,
    )
    return Item(problem, ours.reference or theirs.reference)
