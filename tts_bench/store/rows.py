"""Rows of the generation store: each has a checksum, and is a completion, a score or a fact."""

from __future__ import annotations

import json
import math
import sqlite3
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, TypeVar, get_args

from tts_bench.engine.base import Completion, TokenCounts
from tts_bench.types import FinishReason

Row = tuple[Any, ...]
T = TypeVar("T")
_KEYS_PER_QUERY = 500
_REASONS = frozenset(get_args(FinishReason))


def as_text(data: bytes) -> str:
    """A text as it is stored, flipped bits included: what is damaged is found by its checksum."""
    return data.decode("utf-8", "surrogateescape")


def checksum(row: Sequence[Any]) -> int:
    """A checksum of all values of a row, without those at its end that it does not have.

    A column that a later version adds is empty in earlier rows, and changes no checksum of theirs.
    """
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    parts: list[bytes] = []
    for value in row[:end]:
        if isinstance(value, str):
            data = value.encode("utf-8", "surrogateescape")
        else:
            data = value if isinstance(value, bytes) else repr(value).encode()
        parts += (b"%d|" % len(data), data)
    return zlib.crc32(b"".join(parts))


def to_row(key: str, done: Completion) -> Row:
    ids = array("i", done.token_ids).tobytes()
    known = not math.isnan(done.logprob)
    counts = None
    if done.counts is not None or not known:
        counts = json.dumps({"counts": done.counts and asdict(done.counts), "logprob": known})
    return (
        key,
        ids,
        done.text,
        float(done.logprob) if known else 0.0,
        done.finish_reason,
        done.stop,
        int(done.cached_prompt_tokens),
        array("d", done.first_logprobs).tobytes(),
        counts,
    )


def to_completion(row: Row) -> Completion:
    """The completion of a row. Raises ValueError or TypeError if it cannot be one."""
    numbers, logprobs, logprob, counts = _parts(row)
    key, _, text, _, finish_reason, stop, cached, *_ = row
    ids, first = tuple(numbers), tuple(logprobs)
    return Completion(ids, text, logprob, finish_reason, stop, cached, key, first, counts)


def to_text(row: Row) -> str:
    """The text of a completion's row, if it is one. Raises as `to_completion`."""
    _parts(row)
    text: str = row[2]
    return text


def _parts(row: Row) -> tuple[array[int], array[float], float, TokenCounts | None]:
    """What is packed in a row: token ids, log-probabilities, their sum, and counts."""
    _, ids, text, logprob, finish_reason, _, _, *rest = row
    numbers, logprobs = array("i"), array("d")
    numbers.frombytes(ids)
    logprobs.frombytes(rest[0] if rest else b"")
    text.encode()
    if finish_reason not in _REASONS or not isinstance(logprob, float):
        raise ValueError("no completion")
    told = rest[1] if len(rest) > 1 else None
    said: dict[str, Any] = {"logprob": True} if told is None else json.loads(told)
    counts = TokenCounts(**said["counts"]) if said.get("counts") else None
    return numbers, logprobs, logprob if said["logprob"] else math.nan, counts


def read_row(row: Row, read: Callable[[Row], T]) -> T | None:
    """What a row says, or None if it cannot be read."""
    try:
        return read(row)
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error, RecursionError):
        return None


def rows_of(
    connection: sqlite3.Connection, table: str, keys: Sequence[str]
) -> Iterator[tuple[Row, bool]]:
    """The rows with these keys, and whether each is what was stored; older have no checksum."""
    has = "SELECT count(*) FROM sqlite_master WHERE name = 'checksums'"
    sealed, join = "NULL", ""
    if connection.execute(has).fetchone()[0]:
        sealed = "c.value"
        join = f"LEFT JOIN checksums c ON c.kind = '{table}' AND c.key = t.key"
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        part = keys[start : start + _KEYS_PER_QUERY]
        marks = ",".join("?" * len(part))
        query = f"SELECT t.*, {sealed} FROM {table} t {join} WHERE t.key IN ({marks})"
        for values in connection.execute(query, part):
            row, found = values[:-1], values[-1]
            yield row, found is None or found == checksum(row)
