"""A run made of recorded completions: every selector, curve and report, without a model."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tts_bench.cost.flops import ModelShape
from tts_bench.dataset.base import LoadedDataset
from tts_bench.engine.base import Completion
from tts_bench.errors import UsageError
from tts_bench.importing.judging import judge
from tts_bench.importing.pools import RecordedPool, disagreements
from tts_bench.importing.recording import AS_OURS, Recording
from tts_bench.store import environment
from tts_bench.store.files import write_atomically
from tts_bench.store.folders import held, new_run, whole_or_none
from tts_bench.store.generations import GENERATIONS, GenerationStore
from tts_bench.store.manifest import (
    CellEntry,
    DatasetEntry,
    EngineEntry,
    ProblemEntry,
    RecordingEntry,
    RunManifest,
    VerifierEntry,
    now,
)
from tts_bench.store.runs import RunStore, next_number, point_latest
from tts_bench.strategy.select import SELECTORS
from tts_bench.suite.answers import grader_named
from tts_bench.types import Attempt, Measurement, Pool, Usage

VERDICTS = "recorded_verdicts.jsonl"
DISAGREEMENTS = "disagreements.jsonl"
_SCORED = (("best_of_n", "best"), ("weighted_vote", "weighted"))
_VOTED = (("self_consistency", "majority"),)
_UNVOTED = (("random_choice", "first"),)
"""For pools whose answers are not known."""
_UNMEASURED = Measurement(seconds=None, policy_flops=None, verifier_flops=None)
_READS_SCORES = frozenset(selector for _, selector in _SCORED)


@dataclass(frozen=True)
class Imported:
    """What came of an import."""

    run: RunStore
    problems: int
    n: int
    """Completions of each problem."""
    left_out: int
    """Completions beyond the smallest pool's, which were left out."""
    disagreements: int
    judged: int
    """Completions that had a recorded verdict."""


@dataclass(frozen=True)
class PoolSource:
    """Where the completions come from, for the manifest."""

    name: str
    path: str
    revision: str = ""
    model: str = "recorded completions"
    shape: ModelShape | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Rows that were unusable and left out, by the kind of fault."""
    recording: Recording = AS_OURS
    """What of it counts."""


async def import_pools(
    pools: Sequence[RecordedPool],
    source: PoolSource,
    output_path: Path,
    sizes: Sequence[int] | None = None,
    argv: Sequence[str] = (),
    *,
    independent: bool = True,
) -> Imported:
    """Grade the pools and write them as a run: a cell for every selector that can be.

    Pools of independent draws are cut to the size of the smallest, so that every n means the same
    for every problem. Other pools stay whole, and each is one point. Raises UsageError for a size
    that the pools do not have.
    """
    n = (min if independent else max)(len(pool) for pool in pools)
    left_out = sum(max(0, len(pool) - n) for pool in pools)
    at = _sizes(sizes, n) if independent else ()
    cut = [pool.first(n) for pool in pools]
    digest = _digest(cut, source, at)
    folder = output_path / source.name
    store_path = output_path / GENERATIONS
    cells = _cells(cut, n, at)
    kind = source.recording.kind
    async with grader_named(kind) as grader, GenerationStore(store_path) as store:
        graded = [
            await _keep(pool, await judge(pool, source.recording, grader), store, digest)
            for pool in cut
        ]
    both = source.recording.verdicts == "both"
    differing = [
        row
        for pool, ours in zip(cut, graded, strict=True)
        for row in disagreements(pool, ours.correct, ours.answer)
        if both
    ]
    judged = [row for pool in cut for row in _verdicts(pool) if both]
    attempts = [
        _attempt(pool, ours, cell) for pool, ours in zip(cut, graded, strict=True) for cell in cells
    ]
    with held(folder):
        run = new_run(folder, digest)
    with whole_or_none(run):
        recorded = _entry(cut, graded, source.recording)
        record = _manifest(cut, source, cells, digest, run, store_path, argv)
        record = record.changed(recording=recorded.recorded())
        for attempt in attempts:
            run.append(attempt, _UNMEASURED)
        _write_lines(run.folder / VERDICTS, judged)
        _write_lines(run.folder / DISAGREEMENTS, differing)
        run.write_manifest(record.changed(status="complete", ended=now()))
    point_latest(run.folder)
    return Imported(run, len(cut), n, left_out, len(differing), len(judged))


def _sizes(sizes: Sequence[int] | None, n: int) -> tuple[int, ...]:
    if sizes is None:
        powers = {4**i for i in range(n.bit_length()) if 4**i <= n}
        return tuple(sorted({1, *powers, n}))
    for size in sizes:
        if not 1 <= size <= n:
            raise UsageError(f"--n {size}: the smallest pool has {n} completions")
    return tuple(sorted({*sizes, n}))


def _digest(pools: Sequence[RecordedPool], source: PoolSource, at: Sequence[int]) -> str:
    """What makes two imports the same; as in all versions where nothing new is in them."""
    told = [asdict(pool) for pool in pools]
    rows = [{name: part for name, part in one.items() if name != "answer" or part} for one in told]
    parts: list[Any] = [*rows, source.path, list(at)]
    if source.recording != AS_OURS:
        parts.append(
            repr({**vars(source.recording), "no_answer": sorted(source.recording.no_answer)})
        )
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


def _cells(pools: Sequence[RecordedPool], n: int, at: tuple[int, ...]) -> list[CellEntry]:
    """A cell for each selector: a pooled one, or without sizes one that stands for all of n.

    Where no answers are known nothing votes, and any one stands for what the model does.
    """
    scored = all(pool.score for pool in pools)
    voting = all(pool.text or pool.answer for pool in pools)
    kinds = [*(_VOTED if voting else _UNVOTED)]
    if scored:
        kinds += [kind for kind in _SCORED if voting or kind[1] == "best"]
    return [
        CellEntry(
            id=f"{name}?n={n}",
            strategy=name,
            params={"n": n},
            sampling={},
            pooled=bool(at),
            selector=selector,
            at=at,
            n=n,
        )
        for name, selector in kinds
    ]


async def _keep(pool: RecordedPool, graded: Pool, store: GenerationStore, digest: str) -> Pool:
    """The pool with the keys of its texts, which go into the generation store."""
    if not pool.text:
        return graded
    keys = [_key(digest, pool, i) for i in range(len(pool))]
    reasons = pool.finish_reason or (None,) * len(pool)
    for key, text, reason in zip(keys, pool.text, reasons, strict=True):
        await store.put(key, Completion((), text, 0.0, reason or "stop", key=key))
    return replace(graded, generation=tuple(keys))


def _key(digest: str, pool: RecordedPool, i: int) -> str:
    whole = f"{digest}|{pool.item.problem.id}|{i}"
    return hashlib.blake2b(whole.encode(), digest_size=16).hexdigest()


def _attempt(pool: RecordedPool, graded: Pool, cell: CellEntry) -> Attempt:
    assert cell.selector is not None, "every cell of an import selects"
    chosen = SELECTORS[cell.selector].choose(graded.answer_class, graded.score)
    answer = None if chosen is None else graded.answer[chosen]
    # Prompts were not recorded, so neither their tokens nor any FLOPs can be known.
    unknown = Usage(
        prompt_tokens_logical=None, prompt_tokens_ideal=None, flops_logical=None, flops_ideal=None
    )
    known = [count for count in pool.tokens if count is not None]
    written = sum(known) if known and len(known) == len(pool) else None
    spent = replace(unknown, requests=len(pool), completion_tokens=written)
    return Attempt(
        cell=cell.id,
        problem=pool.item.problem.id,
        seed=0,
        status="ok" if chosen is not None else "no_answer",
        answer=answer,
        correct=chosen is not None and graded.correct[chosen] is True,
        chosen=chosen,
        pool=graded,
        policy=spent,
        prompt_tokens=None,
        verifier=replace(unknown, completion_tokens=None)
        if cell.selector in _READS_SCORES
        else Usage(),
    )


def _verdicts(pool: RecordedPool) -> list[dict[str, Any]]:
    return [
        {"problem": pool.item.problem.id, "candidate": i, "recorded": verdict}
        for i, verdict in enumerate(pool.verdict)
        if verdict is not None
    ]


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _cost_note(pools: Sequence[RecordedPool]) -> str:
    note = "recorded completions do not say what they cost"
    if any(None in pool.tokens or not pool.tokens for pool in pools):
        note += "; nor are all of their lengths known"
    return note


def _manifest(
    pools: Sequence[RecordedPool],
    source: PoolSource,
    cells: Sequence[CellEntry],
    digest: str,
    run: RunStore,
    store: Path,
    argv: Sequence[str],
) -> RunManifest:
    items = tuple(pool.item for pool in pools)
    dataset = LoadedDataset(source.name, source.path, source.revision, items)
    entry = DatasetEntry.of(source.name, dataset)
    return RunManifest(
        status="running",
        suite=source.name,
        suite_hash=digest,
        number=next_number(run, digest),
        resolved={},
        cells=tuple(cells),
        seeds=(0,),
        partial=False,
        dataset=entry.changed(left_out=source.left_out) if source.left_out else entry,
        problems=tuple(map(ProblemEntry.of, items)),
        engine=EngineEntry(
            engine="imported",
            model=source.model,
            revision=source.revision,
            dtype="",
            max_model_len=0,
            shape=None,
            shape_note=_cost_note(pools),
        ),
        verifier=VerifierEntry(name="recorded scores", shape=None),
        generations=os.path.relpath(store, run.folder),
        salt="",
        argv=tuple(argv),
        started=now(),
        ended=None,
        throughput=None,
        environment=environment.describe(),
        earlier_sessions=(),
    )


def _entry(
    pools: Sequence[RecordedPool], graded: Sequence[Pool], recording: Recording
) -> RecordingEntry:
    known = all(pool.text or pool.answer for pool in pools)
    return RecordingEntry(
        answers=recording.answers if known else "none",
        verdicts=recording.verdicts,
        equal="literal" if recording.literally else "equivalent",
        kind=recording.kind,
        no_answer=tuple(sorted(recording.no_answer)),
        mixed=sum(map(_is_mixed, graded)) if known else 0,
        selected=_selected([pool.verdict for pool in pools])
        or _selected([pool.correct for pool in graded]),
    )


def _is_mixed(pool: Pool) -> bool:
    """Whether answers that vote together have different verdicts."""
    verdicts: dict[int, bool | None] = {}
    return any(
        number >= 0 and verdicts.setdefault(number, verdict) != verdict
        for number, verdict in zip(pool.answer_class, pool.correct, strict=True)
    )


def _selected(verdicts: Sequence[Sequence[bool | None]]) -> bool:
    """Whether a completion of every one of several problems is right, but not every completion."""
    right = [one.count(True) for one in verdicts]
    return len(right) > 1 and min(right) > 0 and sum(right) < sum(map(len, verdicts))
