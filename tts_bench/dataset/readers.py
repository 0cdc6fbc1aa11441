"""Readers of local tables, by their suffix; each gives rows one by one."""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_bench.dataset.json_array import NoArray, elements
from tts_bench.dataset.row import ENCODING, OnBad, Row
from tts_bench.errors import BadRow, DatasetError

_LONGEST_CELL = 2**31 - 1
"""Bytes of a cell of a .csv file; a long thinking is more than the usual limit."""


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


_BATCH = 2**16
_LARGE = 64 * 2**20
"""Bytes of a file, or of decoded rows, that are read at once."""


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
    read = _read_large_json if file.stat().st_size > _LARGE else _read_small_json
    return read(file, on_bad)


def _read_large_json(file: Path, on_bad: OnBad) -> Iterator[Row]:
    """An element at a time: what is wrong with one is known by its place alone."""
    with file.open(encoding=ENCODING) as text:
        found = enumerate(elements(text), start=1)
        try:
            for number, element in found:
                where = f"{file} row {number}"
                try:
                    yield _row(where, _parse(element, where))
                except BadRow as error:
                    on_bad(error)
        except NoArray as error:
            raise DatasetError(f"{file}: {error}") from error


def _read_small_json(file: Path, on_bad: OnBad) -> Iterator[Row]:
    text = file.read_text(encoding=ENCODING)
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
    with file.open(encoding=ENCODING, newline="") as lines:
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
        with parquet.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=_rows_at_once(table.metadata)):
                for cells in batch.to_pylist():
                    number += 1
                    yield Row(f"{file} row {number}", cells)
    except pyarrow.ArrowException as error:
        raise DatasetError(f"{file}: bad parquet: {str(error).splitlines()[0]}") from error


def _rows_at_once(metadata: Any) -> int:
    """How many rows of a parquet file are decoded together; one may hold 10,000 completions."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    size = sum(group.total_byte_size for group in groups)
    return max(1, _LARGE * metadata.num_rows // max(size, 1)) if size > _LARGE else _BATCH


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
