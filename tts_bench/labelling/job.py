"""A labelling job: traces in, a label file out; resumable at the exact rollout."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.engine.base import EngineInfo
from tts_bench.engine.cached import CachedEngine
from tts_bench.errors import ModelLost, ReplayMiss, StoreError, UsageError
from tts_bench.labelling.base import Labeller, settings
from tts_bench.labelling.label_file import LabelFile, LabellingManifest, LabelRow, Labels
from tts_bench.labelling.manifest import check_same, go_on, totals
from tts_bench.labelling.probe import RIGHT, Desk, Probe
from tts_bench.labelling.trace import Trace
from tts_bench.progress import Progress
from tts_bench.secrets.masking import hide, masked
from tts_bench.steps import first_error
from tts_bench.store import environment
from tts_bench.store.manifest import EngineEntry, now
from tts_bench.store.models import open_models
from tts_bench.store.runs import check_space
from tts_bench.suite.load import Suite
from tts_bench.suite.plugins import common_keys
from tts_bench.suite.registry import source_hash
from tts_bench.types import Sampling


@dataclass(frozen=True)
class LabellingJob:
    """What to label, how, and where the labels go. The suite gives engine, prompt and sampling."""

    suite: Suite
    labeller: Labeller
    traces: tuple[Trace, ...]
    source: str
    """Where the traces were read, as the user named it."""
    delimiter: str
    output: Path
    generations: Path
    argv: Sequence[str] = ()

    def __post_init__(self) -> None:
        for need, why in self.suite.engine.lacks().items():
            if need in self.labeller.needs:
                raise UsageError(
                    f"label {self.labeller.name} goes on from the exact tokens of a step: {why};"
                    " `label judge` needs none"
                )
        sampling = self.sampling
        if self.labeller.draws_repeatedly and sampling.temperature == 0:
            raise UsageError(
                "sampling.temperature is 0, at which all rollouts are one and the same; "
                "set it, as in --set sampling.temperature=0.8"
            )
        early = [stop for stop in sampling.stop if stop in self.delimiter or self.delimiter in stop]
        if early and self.labeller.needs_reference:
            raise UsageError(
                f"sampling.stop holds {early[0]!r}, at which a rollout would end after one step; "
                "rollouts go on to the answer: --set 'sampling.stop=[]'"
            )

    @property
    def sampling(self) -> Sampling:
        """How the suite draws whole solutions."""
        return Sampling(**self.suite.resolved["sampling"])

    def settings(self) -> dict[str, Any]:
        """What decides the labels of a given trace; one label file holds those of one job."""
        suite = self.suite
        engine = suite.resolved["engine"].items()
        idle = {*suite.engine.speed_only, *common_keys(type(suite.engine))}
        found = {
            **settings(self.labeller),
            "engine": {k: v for k, v in engine if k not in idle},
            "engine_code": source_hash(type(suite.engine)),
            "prompt": asdict(suite.prompt),
            "sampling": self.sampling.settings,
            "seed": suite.seeds[0],
            "delimiter": self.delimiter,
        }
        # As a manifest has them, with which they are compared.
        return dict(masked(found, hide))

    def begin(self, info: EngineInfo) -> LabellingManifest:
        """The manifest of a session that begins."""
        return LabellingManifest(
            status="running",
            settings=self.settings(),
            suite=str(self.suite.path),
            solutions=self.source,
            traces=len(self.traces),
            generations=str(self.generations),
            argv=tuple(self.argv),
            engine=EngineEntry.of(info),
            started=now(),
            ended=None,
            environment=environment.describe(),
            earlier_sessions=(),
        )


@dataclass(frozen=True)
class LabellingResult:
    """How a job ended: the lines of its traces, and how many traces failed."""

    rows: tuple[LabelRow, ...]
    failed: int
    generated_tokens: int
    """Tokens that this session really generated; what was stored already cost nothing."""


async def execute(job: LabellingJob, progress: Progress) -> LabellingResult:
    """Label what has no labels yet.

    Traces that fail are noted beside the labels and tried again by the next session. Raises
    UsageError where the output holds labels of another job, StoreError if it cannot be
    written.
    """
    check_space(job.output.parent)
    earlier = LabelFile(job.output).read_manifest()
    check_same(job.output, job.settings(), earlier)
    with LabelFile(job.output) as file:
        wanted = {trace.id: trace for trace in job.traces}
        there = {row.id: row for row in file.rows()}
        missing = [trace for trace in job.traces if trace.id not in there]
        failed = generated = 0
        if missing:
            session = _Session(job, file, progress)
            await session.run(missing, len(wanted) - len(missing), earlier)
            failed, generated = session.failed, session.generated_tokens
        rows = tuple(row for row in file.rows() if row.id in wanted)
    return LabellingResult(rows, failed, generated)


class _Session:
    """One session of a job: a model, and the traces that are still missing."""

    def __init__(self, job: LabellingJob, file: LabelFile, progress: Progress) -> None:
        self._job = job
        self._file = file
        self._progress = progress
        self.failed = 0
        self.generated_tokens = 0

    async def run(
        self, missing: Sequence[Trace], done: int, earlier: LabellingManifest | None
    ) -> None:
        suite = self._job.suite
        async with open_models(self._job.generations, self._progress) as models:
            engine = await models.engine(suite.engine)
            info, grader = engine.info, models.grader
            job = self._job
            record = go_on(job.output, job.begin(info), earlier)
            self._file.write_manifest(record)
            desk = Desk(
                engine,
                suite.engine.tokenizer,
                info,
                grader,
                suite.prompt,
                job.sampling,
                suite.seeds[0],
            )
            began = time.monotonic()
            total = done + len(missing)
            try:
                async with self._progress.counting(total, done, lambda: engine.generated_tokens):
                    await self._label_all(missing, desk, engine)
            finally:
                self.generated_tokens = engine.generated_tokens
                seconds = round(time.monotonic() - began, 3)
                self._note_end(record.changed(seconds=seconds), sys.exception())

    async def _label_all(self, missing: Sequence[Trace], desk: Desk, engine: CachedEngine) -> None:
        """Keep the suite's `concurrency` of traces in flight, all of their steps at once."""

        async def label(trace: Trace) -> None:
            ok = await self._label(trace, desk)
            self._progress.advance(failed=not ok, tokens=engine.generated_tokens)

        await in_flight((label(trace) for trace in missing), self._job.suite.concurrency)

    async def _label(self, trace: Trace, desk: Desk) -> bool:
        """Label one trace and write its line; False if that failed."""
        probe = Probe(trace, desk)
        try:
            labels = await self._job.labeller.label(probe)
        except (UsageError, ReplayMiss, ModelLost):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return self._failure(trace, error)  # the engine cancelled itself
        # Whatever else an engine or a grader raises concerns this trace alone.
        except Exception as error:
            return self._failure(trace, error)
        self._file.append(_row(trace, labels, self._job.labeller.name, probe))
        return True

    def _failure(self, trace: Trace, error: BaseException) -> bool:
        self.failed += 1
        self._file.note_failure(trace.id, trace.where, hide(f"{type(error).__name__}: {error}"))
        return False

    def _note_end(self, record: LabellingManifest, error: BaseException | None) -> None:
        if isinstance(error, asyncio.CancelledError):
            status = "cancelled"
        elif error is not None:
            status = "stopped"
        else:
            status = "failed_traces" if self.failed else "complete"
        record = record.changed(
            status=status,
            ended=now(),
            failed=self.failed,
            generated_tokens=self.generated_tokens,
            totals=totals(list(self._file.rows())),
        )
        try:
            self._file.write_manifest(record)
        except StoreError:
            if error is None:  # a full disk must not hide what went wrong before
                raise


def _row(trace: Trace, labels: Labels, method: str, probe: Probe) -> LabelRow:
    return LabelRow(
        id=trace.id,
        problem_id=trace.problem.id,
        prompt=trace.problem.text,
        completions=trace.steps,
        labels=labels.labels,
        method=method,
        first_error=first_error(labels.labels),
        soft=labels.soft,
        outcomes=labels.outcomes,
        rollouts=tuple(map(len, labels.outcomes)),
        right=tuple(behind.count(RIGHT) for behind in labels.outcomes),
        correct=labels.correct,
        verdict=labels.verdict,
        reference=trace.reference,
        finish_reason="length" if trace.cut_off else "stop",
        usage=probe.usage,
    )
