"""RunStore: the files of one run, and the folder in which runs are found again.

`attempts.jsonl` is the truth: one line per attempt, appended and flushed when it is finished,
a function of suite, model and seeds alone. What varies from run to run (seconds, cache hits)
stands beside it in `measurements.jsonl`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from tts_bench.errors import StoreError
from tts_bench.store.files import (
    append_line,
    first_fault,
    open_for_append,
    staged,
    whole_lines,
    write_atomically,
)
from tts_bench.store.manifest import RunManifest
from tts_bench.types import Attempt, Measurement

_ATTEMPT = TypeAdapter(Attempt)


@dataclass(frozen=True, slots=True)
class Measured:
    """A row of `measurements.jsonl`: which attempt, and what this machine did for it."""

    cell: str
    problem: str
    seed: int
    measurement: Measurement

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of the attempt."""
        return self.cell, self.problem, self.seed


_MEASURED = TypeAdapter(Measured)


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a run."""

    pid: str
    suite_hash: str

    @classmethod
    def read(cls, path: Path) -> Owner:
        """What a process wrote of itself, as far as it can be read."""
        try:
            pid, _, suite_hash = path.read_text("utf-8").partition(" ")
        except (OSError, ValueError):
            pid = suite_hash = ""
        return cls(pid or "unknown", suite_hash)


class RunStore:
    """The folder of one run. Reading needs nothing; appending needs `open`, which locks it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / ".lock", timeout=0)
        self._attempts: BinaryIO | None = None
        self._measurements: BinaryIO | None = None

    @property
    def attempts_path(self) -> Path:
        """Where the attempts are."""
        return self.folder / "attempts.jsonl"

    @property
    def measurements_path(self) -> Path:
        """Where the measurements are."""
        return self.folder / "measurements.jsonl"

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is."""
        return self.folder / "manifest.json"

    @property
    def is_open(self) -> bool:
        """Whether this very object holds the run."""
        return self._attempts is not None

    def owner(self) -> Owner | None:
        """The process that holds the run, or None if none does."""
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                return None
        except Timeout:
            return Owner.read(self._owner_path)
        except OSError:  # nobody could hold what cannot be written
            return None

    @property
    def _owner_path(self) -> Path:
        return self.folder / ".owner"

    def open(self, suite_hash: str = "") -> None:
        """Lock the run and open its files for appending; a torn last line is cut off.

        Until it is closed, the folder names this process and, where given, the suite's hash.
        Raises StoreError if another process holds the run, or the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._owner_path.write_text(f"{os.getpid()} {suite_hash}", "utf-8")
            self._attempts = open_for_append(self.attempts_path)
            self._measurements = open_for_append(self.measurements_path)
        except Timeout:
            pid = Owner.read(self._owner_path).pid
            raise StoreError(
                f"{self.folder}: another process is writing to this run (its number is {pid})"
            ) from None
        except OSError as error:
            self.close()
            raise StoreError(f"{self.folder}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the files and release the lock; closing twice is fine."""
        for file in (self._attempts, self._measurements):
            if file is not None:
                file.close()
        self._attempts = self._measurements = None
        if self._lock.is_locked:
            with contextlib.suppress(OSError):  # the lock is what counts
                self._owner_path.unlink(missing_ok=True)
        self._lock.release()

    def append(self, attempt: Attempt, measurement: Measurement) -> None:
        """Write one finished attempt; when this returns, killing the process cannot lose it."""
        if self._attempts is None or self._measurements is None:
            raise StoreError(f"{self.folder}: the run is not open")
        measured = Measured(*attempt.key, measurement)
        try:
            # The attempt last: its line is what says that all of it is there.
            append_line(self._measurements, _MEASURED.dump_json(measured))
            append_line(self._attempts, _ATTEMPT.dump_json(attempt, exclude=_absent(attempt)))
        except OSError as error:
            self.close()  # nobody may write after a torn line
            raise StoreError(f"{self.folder}: {error.strerror}") from error

    def attempts(self) -> Iterator[Attempt]:
        """Every attempt once; a torn last line is passed over.

        An attempt that failed and was repeated later counts as what it became; those that
        remain failed come last.
        """
        failed: dict[tuple[str, str, int], Attempt] = {}
        for number, line in whole_lines(self.attempts_path):
            try:
                attempt = _ATTEMPT.validate_json(line)
            except ValidationError as error:
                raise StoreError(f"{self.attempts_path}:{number}: {first_fault(error)}") from error
            failed.pop(attempt.key, None)
            if attempt.status == "error":
                failed[attempt.key] = attempt
            else:
                yield attempt
        yield from failed.values()

    def measurements(self) -> dict[tuple[str, str, int], Measurement]:
        """What was measured, by the key of the attempt; the last row of a key counts."""
        found = {}
        for number, line in whole_lines(self.measurements_path):
            try:
                row = _MEASURED.validate_json(line)
            except ValidationError as error:
                raise StoreError(
                    f"{self.measurements_path}:{number}: {first_fault(error)}"
                ) from error
            found[row.key] = row.measurement
        return found

    def read_manifest(self) -> RunManifest:
        """The manifest. Raises StoreError if it is absent, torn, or of another format."""
        if not self.manifest_path.is_file():
            raise StoreError(f"{self.folder}: no manifest.json; is this a run folder?")
        return RunManifest.read(self.manifest_path)

    def write_manifest(self, manifest: RunManifest) -> None:
        """Replace the manifest in one step, so that it is never seen half-written."""
        manifest.write(self.manifest_path)


def find_run(suite_folder: Path, suite_hash: str) -> RunStore | None:
    """The newest run of this very suite (same hash) in the folder, or None."""
    found = _runs_of(suite_folder, suite_hash)
    return max(found, key=lambda one: one[:2])[2] if found else None


def next_number(run: RunStore, suite_hash: str) -> int:
    """The number of a run that begins: one more than those of its suite have."""
    return 1 + max((number for number, *_ in _runs_of(run.folder.parent, suite_hash)), default=0)


def _runs_of(suite_folder: Path, suite_hash: str) -> list[tuple[int, str, RunStore]]:
    """Number, name and run of all runs of this very suite: a clock may go back, numbers do not.

    Runs of older versions have no number, and come before those that have.
    """
    runs = map(RunStore, suite_folder.glob(f"*Z_{suite_hash[:4]}"))
    read = [(run, run.read_manifest()) for run in runs if run.manifest_path.is_file()]
    return [
        (manifest.number, run.folder.name, run)
        for run, manifest in read
        if manifest.suite_hash == suite_hash
    ]


def resolve_run(path: Path) -> RunStore:
    """The run that a user means by a run folder, a suite's folder or its `latest` link."""
    if path.is_file() and path.name == "latest":  # where links are not possible
        path = path.parent / path.read_text("utf-8").strip()
    if not (path / "manifest.json").is_file() and (path / "latest").exists():
        return resolve_run(path / "latest")
    if not path.is_dir():
        raise StoreError(f"{path}: no such run folder")
    return RunStore(path.resolve())


def point_latest(folder: Path) -> None:
    """Make `latest`, beside the run folder, point to it."""
    latest = folder.parent / "latest"
    try:
        with staged(latest) as beside:
            beside.unlink(missing_ok=True)
            beside.symlink_to(folder.name)
    except StoreError:  # where links are not possible
        write_atomically(latest, folder.name + "\n")


def check_space(folder: Path, needed_mb: int = 50) -> None:
    """Raise StoreError if the disk is as good as full, before anything is spent."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free // 2**20
    if free < needed_mb:
        raise StoreError(f"{folder}: only {free} MB left on this disk; a run needs {needed_mb} MB")


def _absent(attempt: Attempt) -> dict[str, Any]:
    """Fields that only some strategies fill; the rest does not pay for them."""
    columns = {name: True for name in ("text", "node") if not getattr(attempt.pool, name)}
    whole = {
        "tree": attempt.tree is None,
        "facts": not attempt.facts,
        "expected": not attempt.expected,
    }
    return {"pool": columns} | {name: True for name, absent in whole.items() if absent}
