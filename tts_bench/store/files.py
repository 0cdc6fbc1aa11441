"""Files that survive a crash: replaced in one step, or appended to line by line."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from tts_bench.errors import StoreError

STAGED = re.compile(r"\..+-(?P<pid>\d{1,10})")
"""Names of files beside those whose place they will take."""


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Path of a file beside `path` that takes its place when the block ends.

    A reader sees the old content or the new one, never a part. If the block fails, the old content
    stays and nothing is left beside it. Raises StoreError if the disk refuses.
    """
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    finally:
        # Whatever went wrong above is what counts, so this must not fail in its place.
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old or the new content, never a part."""
    with staged(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)


def new_folder(folder: Path) -> Path:
    """The folder, made if it is absent. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error
    return folder


def open_for_append(path: Path) -> BinaryIO:
    """Open a file of lines at the end of its last whole line; a torn one after it is cut off."""
    file = path.open("a+b", buffering=0)
    end = file.seek(0, os.SEEK_END)
    file.truncate(_end_of_whole_lines(file, end))
    file.seek(0, os.SEEK_END)
    return file


def _end_of_whole_lines(file: BinaryIO, end: int) -> int:
    """Offset after the last newline, searched backwards in blocks."""
    block = 2**16
    while end > 0:
        start = max(0, end - block)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def append_line(file: BinaryIO, line: bytes) -> None:
    """Write a line; when this returns, killing the process cannot lose it."""
    data = memoryview(line + b"\n")
    while data:
        data = data[file.write(data) :]


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their numbers from 1; a torn last line is passed over."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line


def first_fault(error: ValidationError) -> str:
    """What pydantic found first: the part's dotted name, and what is wrong with it."""
    detail = error.errors()[0]
    return f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
