"""Runs of one suite on different problems, joined into one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_bench.dataset.base import Item
from tts_bench.errors import StoreError, UsageError
from tts_bench.run.rerun import Recorded, load_recorded
from tts_bench.run.shards import Shard
from tts_bench.store.files import write_atomically
from tts_bench.store.folders import held, new_run, whole_or_none
from tts_bench.store.generations import GENERATIONS, GenerationStore
from tts_bench.store.manifest import MODEL_KEYS, EngineEntry, RunManifest, SessionEntry
from tts_bench.store.runs import RunStore, next_number, point_latest
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry
from tts_bench.types import Attempt, Measurement

_IDLE = ("concurrency", "description", "engine", "verifier")
"""Keys of a suite that do not decide, or are compared by what was really loaded."""

Rows = dict[tuple[str, str, int], tuple[Attempt, Measurement]]


@dataclass(frozen=True)
class Merged:
    """A run that was joined, and what it still lacks."""

    run: RunStore
    lacking: tuple[str, ...]
    """What is missing, a phrase each."""


async def merge_runs(
    runs: Sequence[RunStore], output_path: Path, argv: Sequence[str] = ()
) -> Merged:
    """Join runs of the same suite: attempts, measurements, completions and scores.

    The result is as if one machine had run it all, and can be continued and replayed as such. What
    the runs have twice must be equal. Raises UsageError for runs that do not belong together.
    """
    manifests = [run.read_manifest() for run in runs]
    _check_belong_together(runs, manifests)
    suite = load_recorded(
        Recorded(runs[0].manifest_path, manifests[0]),
        Registry([Path(folder) for folder in manifests[0].include_path]),
        Overrides(),
    )
    dataset = suite.load()
    if dataset.content_hash != manifests[0].dataset.content_hash:
        raise UsageError(f"{runs[0].folder}: the data set is no longer the one that was run")
    listed = {row.id for manifest in manifests for row in manifest.problems}
    items = [item for item in dataset.items if item.problem.id in listed]
    rows = _all_rows(runs)
    lacking = tuple(_lacking(manifests, items, rows))
    record = _manifest(manifests, items, len(items) < len(dataset), bool(lacking), rows)
    ids = [item.problem.id for item in items] if record.partial else None
    record = record.changed(
        suite_hash=suite.hash(dataset.content_hash, json.dumps(ids)), argv=tuple(argv)
    )
    await _join_stores(_stores(runs, manifests), output_path / GENERATIONS)
    run = _write(record, rows, runs[0], output_path)
    return Merged(run, lacking)


async def _join_stores(sources: Iterable[Path], target: Path) -> None:
    async with GenerationStore(target) as joined:
        for source in sources:
            if not source.samefile(target):
                await joined.absorb(source)


def _write(record: RunManifest, rows: Rows, like: RunStore, output_path: Path) -> RunStore:
    """A new run of these rows, with the suite's file of another."""
    folder = output_path / record.suite
    with held(folder):
        run = new_run(folder, record.suite_hash)
    with whole_or_none(run):
        for attempt, measurement in rows.values():
            run.append(attempt, measurement)
        text = (like.folder / "suite.yaml").read_text("utf-8")
        write_atomically(run.folder / "suite.yaml", text)
        place = os.path.relpath(output_path / GENERATIONS, run.folder)
        number = next_number(run, record.suite_hash)
        run.write_manifest(record.changed(number=number, generations=place))
    point_latest(run.folder)
    return run


def _check_belong_together(runs: Sequence[RunStore], manifests: Sequence[RunManifest]) -> None:
    if len({run.folder.resolve() for run in runs}) < 2:
        raise UsageError("merge joins two runs or more")
    for run, manifest in zip(runs, manifests, strict=True):
        if not manifest.resolved:
            raise UsageError(f"{run.folder}: an imported run has no suite, and cannot be joined")
        if manifest.salt:
            raise UsageError(f"{run.folder}: was made with --fresh, so its completions stand apart")
    first = dict(_decisive(manifests[0]))
    for run, manifest in zip(runs[1:], manifests[1:], strict=True):
        for what, value in _decisive(manifest):
            if value != first[what]:
                said = f"another {what} than {runs[0].folder}"
                if isinstance(value, str):
                    said += f" ({value[:80]}, not {str(first[what])[:80]})"
                raise UsageError(f"{run.folder}: {said}; such runs do not belong together")


def _decisive(manifest: RunManifest) -> Iterator[tuple[str, Any]]:
    """What runs must have in common, by what it is called."""
    yield "suite", manifest.suite
    yield "data set", manifest.dataset.content_hash
    for key in MODEL_KEYS:
        yield f"{key} of the policy", str(getattr(manifest.engine, key))
    yield "verifier", manifest.verifier.name
    scorer = manifest.verifier.model or EngineEntry()
    for key in MODEL_KEYS:
        yield f"{key} of the verifier", str(getattr(scorer, key))
    yield "seeds", manifest.seeds
    yield "strategies", [cell.recorded() for cell in manifest.cells]
    settings = {key: value for key, value in manifest.resolved.items() if key not in _IDLE}
    yield "settings", json.dumps(settings, sort_keys=True, default=str)


def _all_rows(runs: Sequence[RunStore]) -> Rows:
    """Every attempt with what was measured. Raises UsageError if two runs tell it differently."""
    found: Rows = {}
    for run in runs:
        measured = run.measurements()
        for attempt in run.attempts():
            known = found.get(attempt.key)
            row = (attempt, measured.get(attempt.key, Measurement(seconds=0.0)))
            if known is None or known[0].status == "error":
                found[attempt.key] = row
            elif attempt.status != "error" and attempt != known[0]:
                cell, problem, seed = attempt.key
                raise UsageError(
                    f"{run.folder}: {cell} on {problem[:80]}, seed {seed}, stands in another run "
                    "with another outcome"
                )
    return found


def _stores(runs: Sequence[RunStore], manifests: Sequence[RunManifest]) -> Iterator[Path]:
    """The generation stores of the runs, each once. Raises StoreError for one that is gone."""
    seen = set()
    for run, manifest in zip(runs, manifests, strict=True):
        store = (run.folder / (manifest.generations or "")).resolve()
        if not store.is_file():
            raise StoreError(f"{run.folder}: its completions are not in {store} any more")
        if store not in seen:
            seen.add(store)
            yield store


def _lacking(manifests: Sequence[RunManifest], items: Sequence[Item], rows: Rows) -> Iterator[str]:
    shards = [Shard.read(manifest.shard) for manifest in manifests if manifest.shard]
    for of in sorted({shard.of for shard in shards}):
        there = {shard.number for shard in shards if shard.of == of}
        if absent := sorted(set(range(1, of + 1)) - there):
            yield f"no run of shard {', '.join(f'{number}/{of}' for number in absent[:20])}"
    first = manifests[0]
    expected = len(items) * len(first.cells) * len(first.seeds)
    if len(rows) < expected:
        yield f"{expected - len(rows)} of {expected} attempts"


def _manifest(
    manifests: Sequence[RunManifest],
    items: Sequence[Item],
    partial: bool,
    lacks: bool,
    rows: Rows,
) -> RunManifest:
    """That of the first run, with the problems and sessions of all."""
    entries = {row.id: row for manifest in manifests for row in manifest.problems}
    failed = any(attempt.status == "error" for attempt, _ in rows.values())
    whole = "failed_attempts" if failed else "complete"
    sessions = [SessionEntry.of(manifest) for manifest in manifests]
    earlier = [session for manifest in manifests for session in manifest.earlier_sessions]
    return manifests[0].changed(
        status="stopped" if lacks else whole,
        partial=partial,
        problems=tuple(entries[item.problem.id] for item in items),
        shard=None,
        started=min(manifest.started for manifest in manifests),
        ended=max(manifest.ended or "" for manifest in manifests) or None,
        throughput=None,
        earlier_sessions=(*earlier, *sessions),
    )
