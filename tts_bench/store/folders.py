"""The folder of a suite's runs: new ones are made there, and what died there is removed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from filelock import FileLock, Timeout

from tts_bench.errors import StoreError
from tts_bench.store.files import STAGED
from tts_bench.store.runs import RunStore

_RUN = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ_[0-9a-f]{4}")
_BEFORE_MANIFEST = {".lock", ".owner", "attempts.jsonl", "measurements.jsonl", "suite.yaml"}
"""Files that a run has before its model has loaded; the lines have nothing yet."""
_UNFINISHED = ".unfinished"
"""File of a folder that is written as a whole: what stands there can be made again."""
_PATIENCE = 60.0


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep all others from making runs in a suite's folder, which is made if it is absent.

    What killed runs left behind is removed. Raises StoreError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", timeout=_PATIENCE):
            _tidy(folder)
            yield
    except Timeout:
        raise StoreError(f"{folder}: another process has been beginning a run for long") from None
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}") from error


def new_run(folder: Path, suite_hash: str) -> RunStore:
    """A run of its own, open, in a folder that nobody else has; inside of `held`.

    The folder's name is the UTC time and the suite hash's first four digits,
    `2026-08-22T10-31-07Z_7f3a`: the next second of which there is no run.
    """
    begun = datetime.now(UTC)
    while True:
        path = folder / f"{begun:%Y-%m-%dT%H-%M-%SZ}_{suite_hash[:4]}"
        try:
            path.mkdir()
        except FileExistsError:
            begun += timedelta(seconds=1)
            continue
        run = RunStore(path)
        run.open(suite_hash)
        return run


@contextlib.contextmanager
def whole_or_none(run: RunStore) -> Iterator[None]:
    """Close a run if all of it was written; if that failed at any point, its folder goes away.

    Its manifest is written last. What a killed process leaves has none, and a mark that says that
    nobody misses it: the next command that makes a run there removes it.
    """
    mark = run.folder / _UNFINISHED
    try:
        mark.touch()
        yield
        mark.unlink()
    except BaseException:
        run.close()
        shutil.rmtree(run.folder, ignore_errors=True)
        raise
    finally:
        run.close()


def refuse_twin(folder: Path, suite_hash: str) -> None:
    """Raise StoreError if a process that is alive loads the model for a run of this very suite."""
    for path in folder.glob(f"*Z_{suite_hash[:4]}"):
        run = RunStore(path)
        owner = None if run.manifest_path.is_file() else run.owner()
        if owner is not None and owner.suite_hash == suite_hash:
            raise StoreError(
                f"{path}: process {owner.pid} has begun this very run: wait for it, or begin "
                "another with --fresh"
            )


def _tidy(folder: Path) -> None:
    """Remove staged files and folders without a manifest whose processes are dead."""
    _remove_staged(folder)
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_dir() or not _RUN.fullmatch(path.name):
            continue
        with contextlib.suppress(OSError):  # another's, which may not be written
            _remove_staged(path)
            if not (path / "manifest.json").is_file():
                _remove_stillborn(path)


def _remove_staged(folder: Path) -> None:
    for path in folder.glob(".*"):
        if (found := STAGED.fullmatch(path.name)) and not is_alive(int(found["pid"])):
            path.unlink(missing_ok=True)


def _remove_stillborn(folder: Path) -> None:
    """Remove a folder that has no attempt, or was to be written as a whole, if nobody holds it."""
    files = list(folder.iterdir())
    if not any(path.name == _UNFINISHED for path in files):
        if {path.name for path in files} - _BEFORE_MANIFEST:
            return
        if any(path.suffix == ".jsonl" and path.stat().st_size for path in files):
            return
    with contextlib.suppress(Timeout), FileLock(folder / ".lock", timeout=0):
        shutil.rmtree(folder)


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True
