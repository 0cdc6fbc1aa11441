"""RunStore: the files of one run, and the folder in which runs are found again.

`attempts.jsonl` is the truth: one line per attempt, appended and flushed when it is finished,
a function of suite, model and seeds alone, as far as the engine repeats its bits. What varies from
run to run (seconds, cache hits) stands beside it in `measurements.jsonl`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from tts_bench.errors import StoreError, one_line
from tts_bench.store.files import (
    append_line,
    open_for_append,
    staged,
    write_atomically,
)
from tts_bench.store.journal import Journal
from tts_bench.store.lines import (
    Extent,
    Fault,
    Key,
    Measured,
    attempt_line,
    checksum,
    measured_line,
)
from tts_bench.store.manifest import RunManifest
from tts_bench.types import Attempt, Measurement


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
        self._journal = Journal(folder)
        self._lock = FileLock(folder / ".lock", timeout=0)
        self._attempts: BinaryIO | None = None
        self._measurements: BinaryIO | None = None

    @property
    def attempts_path(self) -> Path:
        """Where the attempts are."""
        return self._journal.attempts_path

    @property
    def measurements_path(self) -> Path:
        """Where the measurements are."""
        return self._journal.measurements_path

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
        line = attempt_line(attempt)
        measured = Measured(*attempt.key, measurement, checksum(line))
        try:
            # The attempt last: its line is what says that all of it is there.
            append_line(self._measurements, measured_line(measured))
            append_line(self._attempts, line)
        except OSError as error:
            self.close()  # nobody may write after a torn line
            raise StoreError(f"{self.folder}: {error.strerror}") from error

    def attempts(self, faults: list[Fault] | None = None) -> Iterator[Attempt]:
        """Every attempt once; a torn last line is passed over.

        An attempt that failed and was repeated later counts as what it became; those that
        remain failed come last. Lines that are damaged, of another run, or there already do not
        count: each is appended to `faults`, if given, by the time the last attempt is read.
        """
        yield from self._journal.attempts(self._extent(), [] if faults is None else faults)

    def measurements(self, faults: list[Fault] | None = None) -> dict[Key, Measurement]:
        """What was measured, by the key of the attempt; the last row of a key counts.

        Lines that are damaged or unlisted do not count, and are appended to `faults`.
        """
        return self._journal.measurements(self._extent(), [] if faults is None else faults)

    def faults(self) -> list[Fault]:
        """Every line that does not count."""
        found: list[Fault] = []
        for _ in self.attempts(found):
            pass
        self.measurements(found)
        return found

    def heal(self, again: Collection[Key] = ()) -> list[Fault]:
        """Take lines that do not count out of the files of an open run; returns their faults.

        Attempts with these keys are taken out too: they are to be made again. Whatever is taken
        out is kept in `attempts.damaged.jsonl` and `measurements.damaged.jsonl`.
        """
        faults = self.faults()
        for file in (self._attempts, self._measurements):
            if file is not None:
                file.close()
        self._journal.take_out(faults, again)
        try:
            self._attempts = open_for_append(self.attempts_path)
            self._measurements = open_for_append(self.measurements_path)
        except OSError as error:
            raise StoreError(f"{self.folder}: {error.strerror or error}") from error
        return faults

    def _extent(self) -> Extent:
        """What the manifest lists, as far as there is one."""
        try:
            manifest = self.read_manifest()
        except StoreError:
            return Extent()
        return Extent(
            frozenset(cell.id for cell in manifest.cells),
            frozenset(row.id for row in manifest.problems),
            frozenset(manifest.seeds),
        )

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
    try:
        for _ in range(3):  # a suite's folder, its link, and the run; links may lead in a circle
            if path.is_file() and path.name == "latest":  # where links are not possible
                path = path.parent / path.read_text("utf-8").strip()
            elif (path / "manifest.json").is_file() or not (path / "latest").exists():
                break
            else:
                path = path / "latest"
        if path.is_dir():
            return RunStore(path.resolve())
    except (OSError, ValueError) as error:
        raise StoreError(f"{one_line(path)}: no such run folder") from error
    raise StoreError(f"{one_line(path)}: no such run folder")


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
