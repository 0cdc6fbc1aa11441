"""Rows of a table, each with the place it came from, and the readers of local files."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tts_bench.errors import DatasetError, did_you_mean


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column name, and where a message says that they are."""

    where: str
    """`problems.jsonl:3` where lines are known, else `problems.parquet row 3`; from 1."""
    cells: Mapping[str, object]


def column_names(rows: Iterable[Row]) -> list[str]:
    """Names of all columns that any of the rows has, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row.cells))


def read_rows(path: str, default: str = "") -> list[Row]:
    """Read a .jsonl, .json, .csv or .parquet file, chosen by its suffix.

    `default` is the suffix that counts for a name with none of these. Raises DatasetError if the
    file is missing, unreadable or malformed.
    """
    file = Path(path).expanduser()
    reader = READERS.get(file.suffix.lower()) or READERS.get(default)
    if file.is_dir():
        raise DatasetError(f"{path} is a folder, not a file")
    if not file.exists():
        siblings = [p.name for p in file.parent.iterdir()] if file.parent.is_dir() else []
        raise DatasetError(f"no such file: {path}{did_you_mean(file.name, siblings)}")
    if reader is None:
        kinds = ", ".join(READERS)
        raise DatasetError(f"{path}: cannot read {file.suffix or 'no suffix'!r}, only {kinds}")
    try:
        return reader(file)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: {error}") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from error


def _read_jsonl(file: Path) -> list[Row]:
    rows = []
    with file.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{file}:{number}"
            try:
                cells = json.loads(line)
            except json.JSONDecodeError as error:
                raise DatasetError(
                    f"{where}: bad JSON: {error.msg}, column {error.colno}"
                ) from error
            rows.append(_row(where, cells))
    return rows


def _read_json(file: Path) -> list[Row]:
    try:
        table = json.loads(file.read_text(encoding="utf-8-sig"))
    except json.JSONDecodeError as error:
        # A file with one object per line fails right after its first object.
        hint = "; name it .jsonl if each line is an object" if error.msg == "Extra data" else ""
        raise DatasetError(f"{file}:{error.lineno}: bad JSON: {error.msg}{hint}") from error
    if not isinstance(table, list):
        raise DatasetError(f"{file}: a list of objects is expected, not {_kind(table)}")
    return [_row(f"{file} row {number}", cells) for number, cells in enumerate(table, start=1)]


def _read_csv(file: Path) -> list[Row]:
    rows = []
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines, strict=True)
        try:
            for number, cells in enumerate(reader, start=1):
                where = f"{file} row {number}"
                if None in cells or None in cells.values():
                    raise DatasetError(f"{where}: not as many cells as there are columns")
                rows.append(Row(where, cells))
        except csv.Error as error:
            raise DatasetError(f"{file}:{reader.reader.line_num}: bad CSV: {error}") from error
    return rows


def _read_parquet(file: Path) -> list[Row]:
    import pyarrow
    from pyarrow import parquet

    try:
        table = parquet.read_table(file).to_pylist()
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{file}: bad parquet: {str(error).splitlines()[0]}") from error
    return [Row(f"{file} row {number}", cells) for number, cells in enumerate(table, start=1)]


def _row(where: str, cells: object) -> Row:
    if not isinstance(cells, dict):
        raise DatasetError(f"{where}: an object is expected, not {_kind(cells)}")
    return Row(where, cells)


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), "a number")


READERS: Mapping[str, Callable[[Path], list[Row]]] = {
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}
"""Readers by suffix."""
