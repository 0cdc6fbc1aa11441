"""What is damaged in a run's folder and its generation store, and what mends it."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from tts_bench.errors import StoreError
from tts_bench.report.build import TEXTS, build_report, draw_figures
from tts_bench.report.export.candidates import count_rows
from tts_bench.report.export.kept import PAGE, TABLE, KnownTexts
from tts_bench.store.generations import TextReader
from tts_bench.store.lines import Fault, summary
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import damaged_texts, generations_of

_NAMED = 5
"""Of many damaged lines, how many are named."""
_ENDS = {".png": b"IEND\xaeB`\x82", ".svg": b"</svg>", ".html": b"</html>"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is damaged or missing, and its remedy."""

    what: str
    remedy: str


def check_run(run: RunStore) -> Iterator[Finding]:
    """Everything that is wrong with a run. Raises nothing for what is damaged: it is found."""
    try:
        manifest = run.read_manifest()
    except StoreError as error:
        yield Finding(
            str(error),
            "move the folder elsewhere and give the command that made it anew: completions come "
            "from the store",
        )
        return
    again = shlex.join(manifest.argv) or "the command that made the run"
    yield from _suite(run, manifest, again)
    yield from _lines(run, manifest, again)
    yield from _store(run, again)
    yield from _derived(run, f"tts-bench report {shlex.quote(str(run.folder))}")


def _suite(run: RunStore, manifest: RunManifest, again: str) -> Iterator[Finding]:
    path = run.folder / "suite.yaml"
    if not manifest.resolved:
        return  # an import has none
    remedy = f"the manifest has the whole suite (`resolved`); {again} writes the file again"
    try:
        text = path.read_bytes()
    except OSError as error:
        yield Finding(f"{path}: {error.strerror}", remedy)
        return
    if manifest.suite_text not in ("", hashlib.sha256(text).hexdigest()):
        yield Finding(f"{path}: is not what the run wrote", remedy)


def _lines(run: RunStore, manifest: RunManifest, again: str) -> Iterator[Finding]:
    faults: list[Fault] = []
    attempts = {attempt.key for attempt in run.attempts(faults)}
    measured = run.measurements(faults)
    for fault in islice(faults, _NAMED):
        yield Finding(f"{run.folder}/{fault}", f"reports leave it out; {again}")
    if faults[_NAMED:]:
        yield Finding(f"{run.folder}: {summary(faults[_NAMED:])} besides", again)
    expected = len(manifest.problems) * len(manifest.cells) * len(manifest.seeds)
    if manifest.finished and len(attempts) < expected:
        missing = expected - len(attempts)
        yield Finding(f"{run.attempts_path}: {missing} of {expected} attempts are missing", again)
    if unmeasured := len(attempts - measured.keys()):
        yield Finding(
            f"{run.measurements_path}: nothing of {unmeasured} attempts",
            "none: their seconds are unknown, all other numbers are whole",
        )
    for path in (run.attempts_path, run.measurements_path):
        if path.is_file() and not run.owner() and not _ends_with(path, b"\n"):
            yield Finding(f"{path}: the last line is torn", again)


def _store(run: RunStore, again: str) -> Iterator[Finding]:
    path = generations_of(run)
    if path is None or not path.is_file():
        if not (run.folder / TABLE).is_file():
            yield Finding(f"{path}: absent, and so is {TABLE}", f"copy the store there, or {again}")
        return
    move = f"move it elsewhere (reports keep the texts they have), and {again}"
    try:
        with TextReader(path) as reader:
            if fault := reader.fault():
                yield Finding(f"{path}: {fault}", move)
                return
            for table, keys in reader.damaged_besides().items():
                yield Finding(f"{path}: {len(keys)} damaged rows of {table}", again)
        if damaged := damaged_texts(run):
            many = len({key for keys in damaged.values() for key in keys})
            yield Finding(f"{path}: {many} damaged completions of {len(damaged)} attempts", again)
        with KnownTexts(run) as texts:
            for attempt in run.attempts():
                texts.read(attempt.pool.generation)
            if lost := texts.lost:
                yield Finding(f"{path}: {lost} texts of this run are not there", again)
    except StoreError as error:
        yield Finding(str(error), move)


def _derived(run: RunStore, remedy: str) -> Iterator[Finding]:
    """Files that a report writes; what they should be is not compared, only whether they are."""
    try:
        report = build_report(run)
    except StoreError as error:
        yield Finding(str(error), "see above")
        return
    with TemporaryDirectory() as folder:
        names = [*TEXTS, PAGE, *(path.name for path in draw_figures(report, Path(folder)).written)]
    if not any((run.folder / name).exists() for name in names) and not report.scope.finished:
        return  # it was stopped before its first report
    for path in (run.folder / name for name in names):
        if fault := _fault_of(path):
            yield Finding(f"{path}: {fault}", remedy)
    table, store = run.folder / TABLE, generations_of(run)
    if store is None or not (store.is_file() or table.is_file()):
        return
    expected = sum(len(attempt.pool) for attempt in run.attempts())
    try:
        found = count_rows(table)
    except StoreError as error:
        yield Finding(str(error), remedy)
    else:
        if found != expected:
            yield Finding(f"{table}: {found} candidates, and the attempts have {expected}", remedy)


def _fault_of(path: Path) -> str | None:
    """What is wrong with a file of a report."""
    if not path.is_file():
        return "missing"
    try:
        data = path.read_bytes()
        if path.suffix == ".json":
            json.loads(data)
        elif path.suffix in _ENDS:
            return None if data.rstrip().endswith(_ENDS[path.suffix]) else "cut off"
        else:
            data.decode()
    except (OSError, ValueError, RecursionError) as error:
        return str(error)[:200]
    return None if data.strip() else "empty"


def _ends_with(path: Path, end: bytes) -> bool:
    """Whether a file is empty or ends so."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(end)))
        return size == 0 or file.read() == end
