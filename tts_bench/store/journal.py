"""The lines of a run: what was attempted, and what was measured of it."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from tts_bench.errors import StoreError
from tts_bench.store.files import staged, whole_lines
from tts_bench.store.lines import (
    BadLine,
    Extent,
    Fault,
    Key,
    Measured,
    read_attempt,
    read_measured,
)
from tts_bench.types import Attempt, Measurement


class Journal:
    """The files `attempts.jsonl` and `measurements.jsonl` of a run, read and put in order."""

    def __init__(self, folder: Path) -> None:
        self.attempts_path = folder / "attempts.jsonl"
        self.measurements_path = folder / "measurements.jsonl"

    def attempts(self, extent: Extent, faults: list[Fault]) -> Iterator[Attempt]:
        """Every attempt once (see `RunStore.attempts`)."""
        written = self._written()
        failed: dict[Key, Attempt] = {}
        seen: dict[Key, bytes] = {}
        for number, line in whole_lines(self.attempts_path):
            note = partial(Fault, self.attempts_path, number)
            try:
                attempt = read_attempt(line, written)
            except BadLine as error:
                faults.append(note("damaged", str(error)))
                continue
            key, digest = attempt.key, hashlib.blake2b(line.strip(), digest_size=8).digest()
            if strange := extent.strange(key):
                faults.append(note("unlisted", strange))
            elif key in seen:
                same = "there already" if seen[key] == digest else "another of an attempt before"
                faults.append(note("duplicate", same))
            elif attempt.status == "error":
                failed.pop(key, None)
                failed[key] = attempt
            else:
                failed.pop(key, None)
                seen[key] = digest
                yield attempt
        yield from failed.values()

    def measurements(self, extent: Extent, faults: list[Fault]) -> dict[Key, Measurement]:
        """What was measured, by the key of the attempt (see `RunStore.measurements`)."""
        found = {}
        for number, row in self._measured(faults):
            if strange := extent.strange(row.key):
                faults.append(Fault(self.measurements_path, number, "unlisted", strange))
            else:
                found[row.key] = row.measurement
        return found

    def take_out(self, faults: Collection[Fault], again: Collection[Key]) -> None:
        """Move these lines, and those of these attempts, into files beside."""
        lost: dict[Path, set[int]] = {self.attempts_path: set(), self.measurements_path: set()}
        for fault in faults:
            lost[fault.path].add(fault.number)
        for number, line in whole_lines(self.attempts_path) if again else ():
            if number not in lost[self.attempts_path] and read_attempt(line).key in again:
                lost[self.attempts_path].add(number)
        for path, numbers in lost.items():
            _take_out(path, numbers)

    def _measured(self, faults: list[Fault]) -> Iterator[tuple[int, Measured]]:
        """The rows of the measurements that are not damaged, with their numbers."""
        for number, line in whole_lines(self.measurements_path):
            try:
                yield number, read_measured(line)
            except BadLine as error:
                faults.append(Fault(self.measurements_path, number, "damaged", str(error)))

    def _written(self) -> dict[Key, set[str]]:
        """Checksums of the lines that this run has written of each attempt."""
        found: dict[Key, set[str]] = defaultdict(set)
        for _, row in self._measured([]):
            found[row.key].add(row.line)
        return found


def _take_out(path: Path, numbers: Collection[int]) -> None:
    """Move lines of a file into one beside it."""
    if not numbers:
        return
    kept = path.with_name(f"{path.stem}.damaged{path.suffix}")
    try:
        with staged(path) as beside, beside.open("wb") as good, kept.open("ab") as bad:
            for number, line in whole_lines(path):
                (bad if number in numbers else good).write(line)
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
