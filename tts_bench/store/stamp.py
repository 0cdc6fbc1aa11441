"""What the report of a run was made of, so that it is made again only if something is different."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version

from pydantic import TypeAdapter, ValidationError

import tts_bench
from tts_bench.errors import StoreError
from tts_bench.store.files import write_atomically
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import generations_of, has_all_texts

STAMP = "report.stamp.json"
"""Name of the file beside the report."""
_LIBRARIES = ("jinja2", "matplotlib", "numpy", "pyarrow", "scipy")
_CODE = frozenset({".py", ".j2", ".js", ".css", ".html"})


@dataclass(frozen=True)
class Stamp:
    """Digests of what went into the report of a finished run that is whole, and of its files."""

    inputs: str
    """Of attempts, measurements, manifest, style, prices and program."""
    texts: str
    """Size and time of the generation store; empty if there is none."""
    files: dict[str, str]
    """Digests of the files that must be as they are, by name."""
    table: str
    """What a terminal is told."""


_STAMP = TypeAdapter(Stamp)


def inputs_of(run: RunStore, style: str, prices: str) -> str:
    """A digest of everything but the texts that a report is made of. Raises StoreError."""
    paths = (run.attempts_path, run.measurements_path, run.manifest_path)
    return _joined([style, prices, _program(), *(_digest(path) for path in paths)])


def stamp_report(run: RunStore, inputs: str, written: Sequence[Path], table: str) -> None:
    """Note what a report was made of; `inputs` are those from before it was. Raises StoreError."""
    files = {path.name: _digest(path) for path in written}
    if (suite := run.folder / "suite.yaml").is_file():
        files[suite.name] = _digest(suite)
    _write(run, Stamp(inputs, _texts_state(run), files, table))


def read_stamp(run: RunStore, style: str = "default", prices: str = "{}") -> Stamp | None:
    """The stamp of a run's report, if everything is still as it was when it was written.

    Where the generation store has changed, it is looked whether it has this run's texts.
    """
    try:
        stamp: Stamp = _STAMP.validate_json((run.folder / STAMP).read_bytes())
        for name, digest in stamp.files.items():
            if _digest(run.folder / name) != digest:
                return None
        if inputs_of(run, style, prices) != stamp.inputs:
            return None
        texts = _texts_state(run)
        if texts != stamp.texts:
            if not (texts and stamp.texts and has_all_texts(run)):
                return None
            stamp = replace(stamp, texts=texts)
            _write(run, stamp)
    except (OSError, ValidationError, StoreError):
        return None  # whoever writes the report anew says what is wrong
    return stamp


def _write(run: RunStore, stamp: Stamp) -> None:
    write_atomically(run.folder / STAMP, _STAMP.dump_json(stamp, indent=1) + b"\n")


def _texts_state(run: RunStore) -> str:
    path = generations_of(run)
    if path is None or not path.is_file():
        return ""
    files = (path, path.with_name(f"{path.name}-wal"))
    found = [file.stat() for file in files if file.is_file()]
    return " ".join(f"{one.st_size}@{one.st_mtime_ns}" for one in found if one.st_size)


@cache
def _program() -> str:
    """A digest of this program's code, and the versions of what it draws and computes with."""
    root = Path(tts_bench.__file__).resolve().parent
    code = sorted(path for path in root.rglob("*") if path.suffix in _CODE)
    parts = [python_version(), tts_bench.__version__]
    for name in _LIBRARIES:
        try:
            parts.append(version(name))
        except PackageNotFoundError:
            parts.append("")
    return _joined(parts + [part for path in code for part in (path.name, _digest(path))])


def _digest(path: Path) -> str:
    """Of a file's content; of one that is absent, empty."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, _blake).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _blake() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=16)


def _joined(parts: Iterable[str]) -> str:
    whole = _blake()
    for part in parts:
        whole.update(f"{len(part)}|{part}".encode())
    return whole.hexdigest()
