"""A run made of recorded completions: every selector, curve and report, without a model."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

from tts_bench.cost.flops import ModelShape
from tts_bench.dataset.base import LoadedDataset
from tts_bench.engine.base import Completion
from tts_bench.errors import UsageError
from tts_bench.importing.judging import judge
from tts_bench.importing.pools import Pools, RecordedPool, disagreements
from tts_bench.importing.recording import AS_OURS, Recording
from tts_bench.importing.survey import RecordingTally, Survey, digest_of
from tts_bench.progress import Progress
from tts_bench.store import environment
from tts_bench.store.folders import held, new_run, whole_or_none
from tts_bench.store.generations import GENERATIONS, GenerationStore
from tts_bench.store.manifest import (
    CellEntry,
    DatasetEntry,
    EngineEntry,
    ProblemEntry,
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
_TOGETHER = 1000
"""Texts that are stored at once."""
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
    pools: Pools,
    source: PoolSource,
    output_path: Path,
    sizes: Sequence[int] | None = None,
    argv: Sequence[str] = (),
    *,
    independent: bool = True,
    progress: Progress,
) -> Imported:
    """Grade the pools and write them as a run, one by one: a cell for every selector that can be.

    Pools of independent draws are cut to the size of the smallest, so that every n means the same
    for every problem. Other pools stay whole, and each is one point. Raises UsageError for a size
    that the pools do not have.
    """
    survey = Survey.of(pools)
    n = (min if independent else max)(survey.sizes)
    at = _sizes(sizes, n) if independent else ()
    cut = pools.first(n)
    digest = digest_of(cut, source.recording, source.path, at)
    folder = output_path / source.name
    cells = _cells(survey, n, at)
    tally = RecordingTally()
    async with (
        grader_named(source.recording.kind) as grader,
        GenerationStore(output_path / GENERATIONS) as store,
    ):
        with held(folder):
            run = new_run(folder, digest)
        with whole_or_none(run), _Lines(run.folder) as lines:
            record = _manifest(survey, source, cells, digest, run, store.path, argv)
            with _counting(progress, len(cut)):
                for pool in cut:
                    graded = await judge(pool, source.recording, grader)
                    graded = await _keep(pool, graded, store, digest)
                    tally.add(pool, graded)
                    if source.recording.verdicts == "both":
                        lines.add(pool, graded)
                    for cell in cells:
                        run.append(_attempt(pool, graded, cell), _UNMEASURED)
                    grader.forget()
                    progress.advance(failed=False, tokens=None)
            lines.close()
            recording = tally.entry(survey, source.recording).recorded()
            ended = record.changed(recording=recording, status="complete", ended=now())
            run.write_manifest(ended)
    point_latest(run.folder)
    left_out = sum(size - n for size in survey.sizes if size > n)
    return Imported(run, len(cut), n, left_out, lines.disagreements, lines.judged)


def _sizes(sizes: Sequence[int] | None, n: int) -> tuple[int, ...]:
    if sizes is None:
        powers = {4**i for i in range(n.bit_length()) if 4**i <= n}
        return tuple(sorted({1, *powers, n}))
    for size in sizes:
        if not 1 <= size <= n:
            raise UsageError(f"--n {size}: the smallest pool has {n} completions")
    return tuple(sorted({*sizes, n}))


def _cells(survey: Survey, n: int, at: tuple[int, ...]) -> list[CellEntry]:
    """A cell for each selector: a pooled one, or without sizes one that stands for all of n.

    Where no answers are known nothing votes, and any one stands for what the model does.
    """
    kinds = [*(_VOTED if survey.voting else _UNVOTED)]
    if survey.scored:
        kinds += [kind for kind in _SCORED if survey.voting or kind[1] == "best"]
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
    # Texts of one pool lie together in the store: each on a page of its own would be slow.
    whole = f"{digest}|{pool.item.problem.id}".encode()
    place = hashlib.blake2b(whole, digest_size=12).hexdigest()
    keys = [f"{place}{i:08x}" for i in range(len(pool))]
    reasons = pool.finish_reason or (None,) * len(pool)
    rows = list(zip(keys, pool.text, reasons, strict=True))
    for begin in range(0, len(rows), _TOGETHER):
        puts = (
            store.put(key, Completion((), text, 0.0, reason or "stop", key=key))
            for key, text, reason in rows[begin : begin + _TOGETHER]
        )
        await asyncio.gather(*puts)
    return replace(graded, generation=tuple(keys))


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


@contextlib.contextmanager
def _counting(progress: Progress, problems: int) -> Iterator[None]:
    progress.start(problems, 0)
    try:
        yield
    finally:
        progress.stop()


class _Lines:
    """The files of recorded verdicts and of those that are not ours; made if there are any."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self.judged = self.disagreements = 0

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, pool: RecordedPool, graded: Pool) -> None:
        """Write the lines of a pool."""
        for i, verdict in enumerate(pool.verdict):
            if verdict is not None:
                row = {"problem": pool.item.problem.id, "candidate": i, "recorded": verdict}
                self._write(VERDICTS, row)
                self.judged += 1
        for row in disagreements(pool, graded.correct, graded.answer):
            self._write(DISAGREEMENTS, row)
            self.disagreements += 1

    def close(self) -> None:
        """End the files."""
        for file in self._files.values():
            file.close()

    def _write(self, name: str, row: Mapping[str, Any]) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / name).open("w", encoding="utf-8", newline="\n")
        self._files[name].write(json.dumps(row, ensure_ascii=False) + "\n")


def _cost_note(survey: Survey) -> str:
    note = "recorded completions do not say what they cost"
    return note if survey.lengths else f"{note}; nor are all of their lengths known"


def _manifest(
    survey: Survey,
    source: PoolSource,
    cells: Sequence[CellEntry],
    digest: str,
    run: RunStore,
    store: Path,
    argv: Sequence[str],
) -> RunManifest:
    dataset = LoadedDataset(source.name, source.path, source.revision, survey.items)
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
        problems=tuple(map(ProblemEntry.of, survey.items)),
        engine=EngineEntry(
            engine="imported",
            model=source.model,
            revision=source.revision,
            dtype="",
            max_model_len=0,
            shape=None,
            shape_note=_cost_note(survey),
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
