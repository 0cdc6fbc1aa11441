"""The file of labels: one line per trace, in the columns that TRL's stepwise trainers read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from tts_bench.errors import StoreError, UsageError
from tts_bench.steps import first_error
from tts_bench.store.files import (
    append_line,
    first_fault,
    open_for_append,
    whole_lines,
    write_atomically,
)
from tts_bench.store.manifest import EngineEntry, Entry, EnvironmentEntry, Manifest
from tts_bench.types import FinishReason, Usage


class LabellingSession(Entry):
    """An earlier session of a labelling job that was stopped and went on."""

    argv: tuple[str, ...] = ()
    started: str = ""
    ended: str | None = None
    status: str = ""
    generated_tokens: int | None = None
    environment: EnvironmentEntry = EnvironmentEntry()


class LabellingManifest(Manifest):
    """With what the lines of a label file were made."""

    settings: dict[str, Any]
    """Settings that decide the labels of a given trace."""
    suite: str = ""
    solutions: str = ""
    """Where the traces were read, as the user named it."""
    traces: int = 0
    generations: str = ""
    argv: tuple[str, ...] = ()
    engine: EngineEntry
    started: str = ""
    ended: str | None = None
    earlier_sessions: tuple[LabellingSession, ...] = ()
    seconds: float | None = None
    failed: int | None = None
    """Number of traces without labels because they failed in this session."""
    generated_tokens: int | None = None
    """Tokens that this session really generated."""
    totals: dict[str, Any] | None = None
    """Counts and costs of all lines, summed."""


@dataclass(frozen=True, slots=True)
class Labels:
    """What a labeller says of a trace; one entry per step in each column that is not empty."""

    labels: tuple[bool, ...]
    """Whether each step is right; a single step is never left without a label."""
    soft: tuple[float | None, ...] = ()
    """Share of right rollouts after each step (1 or 0 if the trace's own answer decides);
    None if nothing was tried."""
    outcomes: tuple[str, ...] = ()
    """The rollouts after each step in the order of their draws: `1` right, `0` wrong, `-` cut
    off without an answer, `?` not graded in time. Empty if there were none."""
    correct: bool | None = None
    """Whether the trace's own final answer is right; None if it has none to judge, or
    nobody looked."""
    verdict: str | None = None
    """What a judge wrote."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A line of the file. `prompt`, `completions` and `labels` are TRL's columns."""

    id: str
    problem_id: str
    prompt: str
    """The problem's text."""
    completions: tuple[str, ...]
    """The steps, each with the delimiter that ends it; joined, they are the solution."""
    labels: tuple[bool, ...]
    method: str
    first_error: int
    """Index of the first step that is labelled wrong, -1 where none is."""
    soft: tuple[float | None, ...] = ()
    outcomes: tuple[str, ...] = ()
    rollouts: tuple[int, ...] = ()
    """Number of rollouts drawn after each step."""
    right: tuple[int, ...] = ()
    """Number of right ones among them."""
    correct: bool | None = None
    verdict: str | None = None
    reference: str | None = None
    finish_reason: FinishReason = "stop"
    usage: Usage = field(default_factory=Usage)
    """Requests to the policy, or to the judge, for this line."""

    def __post_init__(self) -> None:
        steps = len(self.completions)
        columns = (self.soft, self.outcomes, self.rollouts, self.right)
        if not steps or len(self.labels) != steps or any(len(c) not in (0, steps) for c in columns):
            raise ValueError(f"{steps} steps and {len(self.labels)} labels")
        if self.first_error != first_error(self.labels):
            raise ValueError(f"first_error is {self.first_error}, the labels say otherwise")


_ROW: TypeAdapter[LabelRow] = TypeAdapter(LabelRow)


def read_labels(path: Path) -> dict[str, LabelRow]:
    """The lines of a label file by id; a torn last line is passed over.

    Raises UsageError if the file is absent or a line is not of this format.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such label file")
    rows = {}
    for number, line in whole_lines(path):
        try:
            row = _ROW.validate_json(line.removeprefix(codecs.BOM_UTF8))
        except ValidationError as error:
            raise UsageError(
                f"{path}:{number}: not a line of labels: {first_fault(error)}"
            ) from error
        rows[row.id] = row
    return rows


def write_labels(path: Path, rows: Iterable[LabelRow]) -> None:
    """Write a whole label file at once, replacing what is there."""
    write_atomically(path, "".join(_ROW.dump_json(row).decode() + "\n" for row in rows))


class LabelFile:
    """A label file that grows; open, it is locked.

    Beside `labels.jsonl` stand `labels.manifest.json`, which says with what the labels were
    made, and `labels.errors.jsonl` with the traces that failed in the last session, if any did.
    A failed trace has no line among the labels, so the next session tries it again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest_path = path.with_name(f"{path.stem}.manifest.json")
        self.errors_path = path.with_name(f"{path.stem}.errors.jsonl")
        self._lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
        self._file: BinaryIO | None = None

    def __enter__(self) -> LabelFile:
        """Raises StoreError if the file cannot be written or another process is at it."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            self._file = open_for_append(self.path)
        except Timeout:
            raise StoreError(f"{self.path}: another process is writing to it") from None
        except OSError as error:
            self._lock.release()
            raise StoreError(f"{self.path}: {error.strerror}") from error
        self.errors_path.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            if not self.path.stat().st_size:
                self.path.unlink()  # nothing was labelled
        self._lock.release()

    def rows(self) -> Iterator[LabelRow]:
        """What is there."""
        return iter(read_labels(self.path).values() if self.path.is_file() else ())

    def append(self, row: LabelRow) -> None:
        """Write a line; when this returns, killing the process cannot lose it."""
        if self._file is None:
            raise StoreError(f"{self.path}: the label file is not open")
        try:
            append_line(self._file, _ROW.dump_json(row))
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def note_failure(self, trace_id: str, where: str, error: str) -> None:
        """Keep why a trace has no labels."""
        line = json.dumps({"id": trace_id, "where": where, "error": error}, ensure_ascii=False)
        with self.errors_path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def read_manifest(self) -> LabellingManifest | None:
        """The manifest of the earlier sessions; None for a new file.

        Raises UsageError for a file that has lines but no manifest: it was not made here.
        """
        if not self.manifest_path.is_file():
            if self.path.is_file() and self.path.stat().st_size:
                raise UsageError(
                    f"{self.path} exists, without {self.manifest_path.name}: "
                    "choose another --output"
                )
            return None
        return LabellingManifest.read(self.manifest_path)

    def write_manifest(self, manifest: LabellingManifest) -> None:
        """Replace the manifest in one step."""
        manifest.write(self.manifest_path)
