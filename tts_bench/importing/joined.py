"""Pools of several files as one: each file holds further draws of the same problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Literal

from tts_bench.dataset.base import Item
from tts_bench.errors import DatasetError, quoted
from tts_bench.importing.pools import RecordedPool

How = Literal["id", "line"]


def join_pools(read: Sequence[tuple[str, Sequence[RecordedPool]]], how: How) -> list[RecordedPool]:
    """The pools of the first file, each with the draws of its problem in the files after it.

    `line`: the files list the same problems in one order. Raises DatasetError where a file lacks a
    problem or a column that another has, or means another problem.
    """
    (first, joined), *others = read
    whole = list(joined)
    for source, pools in others:
        matching = _by_line(first, whole, source, pools) if how == "line" else pools
        found = {pool.item.problem.id: pool for pool in matching}
        for one, other, name in ((found, whole, source), (_ids(whole), pools, first)):
            lacking = [pool.item.problem.id for pool in other if pool.item.problem.id not in one]
            if lacking and how == "id":
                elsewhere = source if name == first else first
                raise DatasetError(
                    f"{name}: no problem {quoted(lacking[0])}, which {elsewhere} has "
                    f"({len(lacking)} such); --join line joins by place"
                )
        whole = [_joined(first, pool, source, found[pool.item.problem.id]) for pool in whole]
    return whole


def _ids(pools: Sequence[RecordedPool]) -> dict[str, RecordedPool]:
    return {pool.item.problem.id: pool for pool in pools}


def _by_line(
    first: str, whole: Sequence[RecordedPool], source: str, pools: Sequence[RecordedPool]
) -> list[RecordedPool]:
    """The pools of a file under the ids of the first file's. Raises DatasetError."""
    if len(whole) != len(pools):
        raise DatasetError(f"{source}: {len(pools)} problems, and {first} has {len(whole)}")
    named = []
    for number, (ours, theirs) in enumerate(zip(whole, pools, strict=True), start=1):
        one, other = ours.item.problem, theirs.item.problem
        if one.text and other.text and one.text != other.text:
            raise DatasetError(f"{source}: problem {number} is another one than that of {first}")
        named.append(replace(theirs, item=replace(theirs.item, problem=replace(other, id=one.id))))
    return named


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
