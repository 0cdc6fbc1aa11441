"""Rows of a table, each with the place it came from, and the readers of local files."""

from __future__ import annotations

import codecs
import contextlib
import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tts_bench.errors import QUOTED, BadRow, DatasetError, did_you_mean, quoted

_ENCODING = "utf-8-sig"
"""Of every text file of a user's: Windows' editors put a byte order mark before it."""
_LONGEST_CELL = 2**31 - 1
"""Bytes of a cell of a .csv file; a long thinking is more than the usual limit."""
_SHOWN = 8
"""Values that a message lists."""
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column name, and where a message says that they are."""

    where: str
    """`problems.jsonl:3` where lines are known, else `problems.parquet row 3`; from 1."""
    cells: Mapping[str, object]


def column_names(rows: Iterable[Row]) -> list[str]:
    """Names of all columns that any of the rows has, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row.cells))


OnBad = Callable[[BadRow], None]
"""What is done about a row that is unusable."""


def refuse(error: BadRow) -> None:
    """Let the first bad row end the reading."""
    raise error


@dataclass(frozen=True, slots=True)
class BadRows:
    """Leaves bad rows out, and counts them by kind."""

    kinds: Counter[str] = field(default_factory=Counter)

    def __call__(self, error: BadRow) -> None:
        self.kinds[error.kind] += 1

    def __len__(self) -> int:
        return self.kinds.total()

    def __str__(self) -> str:
        return ", ".join(f"{count} x {kind}" for kind, count in sorted(self.kinds.items()))


def read_rows(path: str, default: str = "", on_bad: OnBad = refuse) -> list[Row]:
    """Read a .jsonl, .json, .csv or .parquet file, chosen by its suffix.

    `default` is the suffix that counts for a name with none of these. Rows that are malformed by
    themselves go to `on_bad`. Raises DatasetError if the file is missing, unreadable or malformed.
    """
    shown = _shown(path)
    with _told(shown):
        file = Path(path).expanduser()
        reader = READERS.get(file.suffix.lower()) or READERS.get(default)
        if file.is_dir():
            raise DatasetError(f"{shown} is a folder, not a file")
        if not file.exists():
            siblings = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
            raise DatasetError(f"no such file: {shown}{did_you_mean(file.name, siblings)}")
        if reader is None:
            kinds = ", ".join(READERS)
            raise DatasetError(
                f"{shown}: cannot read {quoted(file.suffix or 'no suffix')}, only {kinds}"
            )
        return list(_whole(reader(file, on_bad), on_bad))


def only_where(rows: list[Row], conditions: Sequence[str], source: str) -> list[Row]:
    """The rows whose cells are as conditions say, each `COLUMN=VALUE`.

    Of several conditions on one column one must hold, of each column. Raises DatasetError for a
    malformed condition, a column that no row has, and if no row is left.
    """
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals or not column:
            raise DatasetError(f"--where {quoted(condition)}: must be COLUMN=VALUE")
        wanted.setdefault(column, set()).add(value)
    names = column_names(rows)
    for column, values in wanted.items():
        if column not in names:
            there = ", ".join(map(quoted, names)) or "none"
            near = did_you_mean(column, names)
            raise DatasetError(f"{source}: no column {quoted(column)}; there are {there}{near}")
        left = [row for row in rows if _written(row.cells.get(column)) in values]
        if not left:
            found = sorted({_written(row.cells.get(column)) for row in rows})
            shown = ", ".join(map(quoted, found[:_SHOWN])) + (", ..." if found[_SHOWN:] else "")
            asked = " or ".join(map(quoted, sorted(values)))
            raise DatasetError(f"{source}: no row whose {quoted(column)} is {asked}, only {shown}")
        rows = left
    return rows


def _written(cell: object) -> str:
    """A cell as a user writes it in a condition."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)


def read_text(path: str) -> str:
    """The text of a file, without a byte order mark. Raises DatasetError if it cannot be read."""
    with _told(_shown(path)):
        return Path(path).expanduser().read_text(encoding=_ENCODING)


def _shown(path: str) -> str:
    return (path or "''") if len(path) <= QUOTED else f"{path[:QUOTED]}..."


@contextlib.contextmanager
def _told(shown: str) -> Iterator[None]:
    """Tell in one line what keeps a file from being read."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DatasetError(f"{shown} is not UTF-8 text: {error}") from error
    except (OSError, RuntimeError, ValueError) as error:  # also: no such user's home, a NUL
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"cannot read {shown}: {reason}") from error


def is_local(source: str) -> bool:
    """Whether a source is a file to be read here, and not the name of a data set elsewhere."""
    try:
        path = Path(source)
        return not source or path.suffix.lower() in READERS or path.expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or no such user's home
        return True


def checked(rows: Iterable[tuple[str, Mapping[str, object]]], on_bad: OnBad) -> list[Row]:
    """Rows of another source, each with its place; those that no text can hold go to `on_bad`."""
    return list(_whole((Row(where, cells) for where, cells in rows), on_bad))


def _whole(rows: Iterable[Row], on_bad: OnBad) -> Iterator[Row]:
    """Pass on the rows whose texts are text: a lone surrogate can neither be stored nor shown."""
    for row in rows:
        column = next((name for name, cell in row.cells.items() if _torn(name, cell)), None)
        if column is None:
            yield row
        else:
            detail = f" (column {quoted(column)})"
            on_bad(BadRow(row.where, "half of a character (a lone surrogate)", detail))


def _torn(*values: object) -> bool:
    """Whether a lone surrogate stands in any text within the values."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            if not value.isascii() and _SURROGATE.search(value):
                return True
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += [*value.keys(), *value.values()]
    return False


def _decoded(line: bytes, where: str) -> str:
    """The text of a line. Raises BadRow."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRow(where, "not UTF-8 text", f": {error.reason} at byte {error.start}") from error


def _parse(text: str, where: str) -> object:
    """The value that a JSON text holds. Raises BadRow."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise BadRow(where, "bad JSON", f": {error.msg}, column {error.colno}") from error
    except RecursionError as error:
        raise BadRow(where, "bad JSON", ": nested too deeply") from error
    except ValueError as error:  # the one that is left: Python's limit
        raise BadRow(where, "a number of thousands of digits") from error


def _read_jsonl(file: Path, on_bad: OnBad) -> Iterator[Row]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            where = f"{file}:{number}"
            try:
                text = _decoded(line if number > 1 else line.removeprefix(codecs.BOM_UTF8), where)
                if text.strip():
                    yield _row(where, _parse(text, where))
            except BadRow as error:
                on_bad(error)


def _read_json(file: Path, on_bad: OnBad) -> Iterator[Row]:
    text = file.read_text(encoding=_ENCODING)
    try:
        table = _parse(text, str(file))
    except BadRow as error:
        cause = error.__cause__
        if not isinstance(cause, json.JSONDecodeError):
            raise
        # A file with one object per line fails right after its first object.
        hint = "; name it .jsonl if each line is an object" if cause.msg == "Extra data" else ""
        raise DatasetError(f"{file}:{cause.lineno}: bad JSON: {cause.msg}{hint}") from cause
    if not isinstance(table, list):
        raise DatasetError(f"{file}: a list of objects is expected, not {_kind(table)}")
    for number, cells in enumerate(table, start=1):
        try:
            yield _row(f"{file} row {number}", cells)
        except BadRow as error:
            on_bad(error)


def _read_csv(file: Path, on_bad: OnBad) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    with file.open(encoding=_ENCODING, newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for number, cells in enumerate(reader, start=1):
                where = f"{file} row {number}"
                if None in cells or None in cells.values():
                    on_bad(BadRow(where, "not as many cells as there are columns"))
                else:
                    yield Row(where, cells)
        except csv.Error as error:
            raise DatasetError(f"{file}:{reader.reader.line_num}: bad CSV: {error}") from error


def _read_parquet(file: Path, on_bad: OnBad) -> Iterator[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file).to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{file}: bad parquet: {str(error).splitlines()[0]}") from error
    for number, cells in enumerate(table, start=1):
        yield Row(f"{file} row {number}", cells)


def _row(where: str, cells: object) -> Row:
    if not isinstance(cells, dict):
        raise BadRow(where, "an object is expected", f", not {_kind(cells)}")
    return Row(where, cells)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), "a number")


READERS: Mapping[str, Callable[[Path, OnBad], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""Readers by suffix."""
