"""Lines of a run's files: they have checksums when written, and are judged when read."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic_core
from pydantic import TypeAdapter, ValidationError

from tts_bench.store.files import first_fault
from tts_bench.types import Attempt, Measurement, Pool, SearchTree, Usage

Kind = Literal["damaged", "unlisted", "duplicate"]
"""`unlisted`: of a cell, problem or seed that the manifest does not list."""

_MARK = b',"crc":"'
_ATTEMPT = TypeAdapter(Attempt)


Key = tuple[str, str, int]
"""Cell, problem and seed of an attempt."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of `measurements.jsonl`: which attempt, and what this machine did for it."""

    cell: str
    problem: str
    seed: int
    measurement: Measurement
    line: str = ""
    """Checksum of the attempt's line; empty in rows of older versions."""

    @property
    def key(self) -> Key:
        """The key of the attempt."""
        return self.cell, self.problem, self.seed


_MEASURED = TypeAdapter(Measured)
_FIRST: dict[type, str] = {
    Attempt: "cell problem seed status answer correct chosen prompt_tokens pool policy verifier "
    "error",
    Measured: "cell problem seed measurement",
    Pool: "answer answer_class correct score steps logprob tokens finish_reason parent generation",
}
"""What every version has written; other fields are written only if they say something."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A line that does not count, and why."""

    path: Path
    number: int
    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.path.name}:{self.number}: {self.what}"


class BadLine(ValueError):
    """A line cannot be taken for what it should be."""


@dataclass(frozen=True)
class Extent:
    """What a run's manifest lists; None where there is nothing to hold a line against."""

    cells: frozenset[str] | None = None
    problems: frozenset[str] | None = None
    seeds: frozenset[int] | None = None

    def strange(self, key: Key) -> str | None:
        """Why a line is of another run, or None."""
        for name, value, known in zip(
            ("cell", "problem", "seed"), key, (self.cells, self.problems, self.seeds), strict=True
        ):
            if known is not None and value not in known:
                return f"of a {name} that the manifest does not list: {str(value)[:80]}"
        return None


def seal(data: bytes) -> bytes:
    """A JSON object with a checksum at its end.

    >>> seal(b'{"a":1}')
    b'{"a":1,"crc":"a702fc6e"}'
    """
    return b'%s,"crc":"%08x"}' % (data[:-1], zlib.crc32(data[:-1]))


def checksum(line: bytes) -> str:
    """The checksum of an attempt's line, which stands in the row of its measurement."""
    return f"{zlib.crc32(line.rstrip()):08x}"


def attempt_line(attempt: Attempt) -> bytes:
    """The line of an attempt: no checksum, for equal attempts are equal bytes in all versions."""
    return _ATTEMPT.dump_json(attempt, exclude=_absent(attempt))


def measured_line(measured: Measured) -> bytes:
    """The line of what was measured."""
    return seal(_MEASURED.dump_json(measured))


def read_attempt(line: bytes, written: Mapping[Key, Collection[str]] | None = None) -> Attempt:
    """The attempt of a line; `written` has the checksums of its run's lines. Raises BadLine."""
    attempt: Attempt = _parse(line, _ATTEMPT)
    known = (written or {}).get(attempt.key, ())
    if known and "" not in known:
        if checksum(line) not in known:
            raise BadLine("its checksum is another: it was changed, damaged, or is of another run")
    else:
        _check_keys("", pydantic_core.from_json(line), Attempt)
    _check_columns("pool", attempt.pool)
    tree = attempt.tree or SearchTree()
    _check_columns("tree", tree)
    for place, parent in enumerate(tree.parent):
        _check_index("tree.parent", parent, place)
    for name, size in (("node", len(tree)), ("parent", len(attempt.pool))):
        for index in getattr(attempt.pool, name):
            _check_index(f"pool.{name}", index, size)
    _check_index("chosen", attempt.chosen, len(attempt.pool))
    return attempt


def read_measured(line: bytes) -> Measured:
    """What a line says was measured. Raises BadLine."""
    sealed = _is_sealed(line)
    measured: Measured = _parse(line, _MEASURED)
    if not sealed:
        _check_keys("", pydantic_core.from_json(line), Measured)
    return measured


def summary(faults: Sequence[Fault]) -> str:
    """How many lines do not count, in words.

    >>> summary([Fault(Path("a.jsonl"), number, "damaged", "blank") for number in (1, 2)])
    '2 damaged lines of a.jsonl'
    """
    counts = Counter((one.path.name, one.kind) for one in faults)
    return ", ".join(
        f"{count} {kind} line{'s' * (count != 1)} of {name}"
        for (name, kind), count in sorted(counts.items())
    )


def _parse(line: bytes, adapter: TypeAdapter[Any]) -> Any:
    if not line.strip():
        raise BadLine("a blank line")
    try:
        return adapter.validate_json(line)
    except ValidationError as error:
        raise BadLine(first_fault(error)[:200]) from error


def _is_sealed(line: bytes) -> bool:
    """Whether a line has a checksum: those of older versions have none. Raises BadLine."""
    body, mark, rest = line.rpartition(_MARK)
    if not mark:
        return False
    if rest.rstrip() != b'%08x"}' % zlib.crc32(body):
        raise BadLine("its checksum is another: the line was changed or damaged")
    return True


def _check_keys(where: str, row: Mapping[str, Any], kind: type) -> None:
    """Raise BadLine for keys that are missing or unknown."""
    known = {field.name for field in dataclasses.fields(kind)}
    if strange := sorted(row.keys() - known):
        raise BadLine(f"unknown key {where}{strange[0]}"[:200])
    needed = set(_FIRST[kind].split()) if kind in _FIRST else known
    if missing := sorted(needed - row.keys()):
        raise BadLine(f"no key {where}{missing[0]}")
    parts: dict[str, type] = {"pool": Pool, "policy": Usage, "verifier": Usage, "tree": SearchTree}
    if kind is Measured:
        parts = {"measurement": Measurement}
    if kind in (Attempt, Measured):
        for name, part in parts.items():
            if row.get(name) is not None:
                _check_keys(f"{name}.", row[name], part)


def _check_index(name: str, index: int | None, size: int) -> None:
    """Raise BadLine unless an index is that of one of so many before."""
    if index is not None and not 0 <= index < size:
        raise BadLine(f"{name}: {index} is no index of {size}")


def _check_columns(name: str, table: Pool | SearchTree) -> None:
    """Raise BadLine unless all columns that are not empty have one length."""
    for field in dataclasses.fields(table):
        column = getattr(table, field.name)
        if column and len(column) != len(table):
            raise BadLine(f"{name}.{field.name}: {len(column)} entries of {len(table)}")


def _absent(attempt: Attempt) -> dict[str, Any]:
    """Fields that came later and say nothing here: attempts without them do not pay for them."""
    return {"pool": _empty(attempt.pool)} | _empty(attempt)


def _empty(part: Attempt | Pool) -> dict[str, bool]:
    later = {field.name for field in dataclasses.fields(part)} - set(_FIRST[type(part)].split())
    return {name: True for name in later if not getattr(part, name)}
