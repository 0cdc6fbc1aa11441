"""Reads the rows of local files, whatever their format."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tts_bench.dataset.readers import READERS
from tts_bench.dataset.row import ENCODING, OnBad, Row, refuse
from tts_bench.errors import QUOTED, BadRow, DatasetError, did_you_mean, quoted

SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
"""Of the files that are read as tables."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_rows(path: str, default: str = "", on_bad: OnBad = refuse) -> list[Row]:
    """Read a .jsonl, .json, .csv or .parquet file, chosen by its suffix.

    `default` is the suffix that counts for a name with none of these. Rows that are malformed by
    themselves go to `on_bad`. Raises DatasetError if the file is missing, unreadable or malformed.
    """
    return list(iter_rows(path, default, on_bad))


def iter_rows(path: str, default: str = "", on_bad: OnBad = refuse) -> Iterator[Row]:
    """The rows of a file one by one, as `read_rows` reads them: few are in memory at once."""
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
        yield from _whole(reader(file, on_bad), on_bad)


def read_text(path: str) -> str:
    """The text of a file, without a byte order mark. Raises DatasetError if it cannot be read."""
    with _told(_shown(path)):
        return Path(path).expanduser().read_text(encoding=ENCODING)


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
        return not source or path.suffix.lower() in SUFFIXES or path.expanduser().is_file()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or no such user's home
        return True


def checked(rows: Iterable[tuple[str, Mapping[str, object]]], on_bad: OnBad) -> Iterator[Row]:
    """Rows of another source, each with its place; those that no text can hold go to `on_bad`."""
    return _whole((Row(where, cells) for where, cells in rows), on_bad)


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
