"""The one loop: every cell on every problem, everything in flight at once."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tts_bench import manifest
from tts_bench.allocation import Job, allocated
from tts_bench.attempt import Bench
from tts_bench.cells import Cell
from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.engine.base import EngineInfo, first_error
from tts_bench.engine.cached import CachedEngine
from tts_bench.errors import StoreError, TtsBenchError, UsageError
from tts_bench.generations import GenerationStore
from tts_bench.grader import Grader
from tts_bench.phases import Drawn, check_phases, draw_pools
from tts_bench.progress import Progress
from tts_bench.store import (
    RunStore,
    check_space,
    find_run,
    new_run_id,
    point_latest,
    write_atomically,
)
from tts_bench.strategy import SuiteStrategy
from tts_bench.suite import Suite
from tts_bench.verifier.base import VerifierInfo
from tts_bench.verifier.cached import CachedVerifier

AttemptKey = tuple[str, str, int]


@dataclass(frozen=True)
class RunOptions:
    """What the command line decides about a run, beside the suite."""

    output_path: Path = Path("results")
    limit: str | None = None
    """`N` (the first N problems) or `A-B` (problems A to B, counted from 1)."""
    fresh: bool = False
    replay: bool = False
    phases: bool = False
    """Draw everything, close the engine, and only then load the verifier (see `phases`)."""
    argv: Sequence[str] = ()

    @property
    def generations(self) -> Path:
        """The generation store that all runs of this output path share."""
        return self.output_path / "generations.sqlite"


@dataclass(frozen=True)
class Plan:
    """What there is to do: the run's folder, its problems, and the attempts still missing."""

    suite: Suite
    dataset: LoadedDataset
    items: tuple[Item, ...]
    suite_hash: str
    run: RunStore
    salt: str
    """Keeps the completions of a fresh run apart from those that were stored before."""
    done: frozenset[AttemptKey]

    @property
    def total(self) -> int:
        """Attempts of the whole run."""
        return len(self.items) * len(self.suite.cells) * len(self.suite.seeds)

    def missing(self) -> Iterator[tuple[Cell, Item, int]]:
        """What is left, problem by problem, so that strategies that share draws meet."""
        for item in self.items:
            for seed in self.suite.seeds:
                for cell in self.suite.cells:
                    if (cell.id, item.problem.id, seed) not in self.done:
                        yield cell, item, seed


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    run: RunStore
    attempts: int
    failed: int
    first_error: str | None = None
    """Of the attempts that failed, what the first one says."""


def make_plan(suite: Suite, options: RunOptions) -> Plan:
    """Load the problems and find the run that this command continues, or name a new one.

    Raises UsageError for a wrong limit or an unreadable data set or run.
    """
    if options.phases:
        check_phases(suite)
    dataset = suite.dataset.load()
    items = _limited(dataset.items, options.limit)
    ids = [item.problem.id for item in items] if len(items) < len(dataset) else None
    suite_hash = suite.hash(dataset.content_hash, json.dumps(ids))
    folder = options.output_path / suite.name
    run = None if options.fresh else find_run(folder, suite_hash)
    if run is not None:
        salt = run.read_manifest()["salt"]
        return Plan(suite, dataset, items, suite_hash, run, salt, _done(run))
    run = RunStore(_unused(folder, suite_hash))
    salt = run.folder.name if options.fresh else ""
    return Plan(suite, dataset, items, suite_hash, run, salt, frozenset())


async def execute(plan: Plan, options: RunOptions, progress: Progress) -> RunResult:
    """Run what is missing, and leave the run complete, or resumable whatever happens."""
    run, is_new = plan.run, not plan.run.manifest_path.exists()
    check_space(options.output_path)
    run.open()
    try:
        plan = replace(plan, done=_done(run))  # another process may have gone on until now
        if any(plan.missing()):
            await _run_missing(plan, options, progress)
        else:
            _note_end(run, run.read_manifest())
    finally:
        run.close()
        if is_new and not run.manifest_path.exists():
            shutil.rmtree(run.folder)  # the model never loaded: nothing is worth keeping
    errors = [attempt.error for attempt in run.attempts() if attempt.status == "error"]
    return RunResult(run, plan.total, len(errors), errors[0] if errors else None)


async def _run_missing(plan: Plan, options: RunOptions, progress: Progress) -> None:
    suite, run = plan.suite, plan.run
    async with contextlib.AsyncExitStack() as stack:
        grader = await stack.enter_async_context(Grader())
        store = await stack.enter_async_context(GenerationStore(options.generations))
        drawn = None
        if options.phases:
            drawn = await draw_pools(suite, plan.missing(), store, plan.salt, progress)
        recall = options.replay or options.phases
        engine = CachedEngine(suite.engine, store, replay=recall, salt=plan.salt)
        stack.push_async_callback(engine.close)
        loading = "recalling" if recall else "loading"
        async with progress.heartbeat(f"{loading} {getattr(suite.engine, 'model', 'engine')}"):
            info = await engine.start()
        verifier = CachedVerifier(suite.verifier, store, replay=options.replay, salt=plan.salt)
        stack.push_async_callback(verifier.close)
        loading = "recalling" if options.replay else "loading"
        async with progress.heartbeat(f"{loading} verifier {suite.verifier_name}"):
            opinion = await verifier.start(engine)
        record = _begin(plan, options, info, opinion)
        prompts = {
            item.problem.id: suite.prompt.encode(item.problem, engine) for item in plan.items
        }
        _warn_of_cut(prompts, suite, info, progress)
        bench = Bench(
            engine,
            info.shape,
            verifier,
            opinion,
            grader,
            grader.canonical,
            suite.budget,
            suite.prompt,
            info.max_model_len,
        )
        began = time.monotonic()
        if drawn is not None:
            plan = _record_failed(plan, drawn)
            engine.generated_tokens = drawn.generated_tokens
        try:
            await _attempt_all(plan, bench, prompts, engine, progress)
        finally:
            record["throughput"] = {
                "generated_tokens": engine.generated_tokens,
                "seconds": round(time.monotonic() - began, 3),
                "requests_from_store": engine.hits,
            }
            _note_end(run, record, sys.exception())


def _record_failed(plan: Plan, drawn: Drawn) -> Plan:
    """The plan without the attempts that failed while their pools were drawn."""
    for attempt, measurement in drawn.failed:
        plan.run.append(attempt, measurement)
    return replace(plan, done=plan.done | {attempt.key for attempt, _ in drawn.failed})


def _begin(
    plan: Plan, options: RunOptions, info: EngineInfo, opinion: VerifierInfo
) -> dict[str, Any]:
    """Write the files that say what this run is, now that the model is known."""
    suite, run = plan.suite, plan.run
    parts = {
        **manifest.describe_suite(suite, plan.suite_hash),
        **manifest.describe_problems(suite.dataset_name, plan.dataset, plan.items),
        "generations": os.path.relpath(options.generations, run.folder),
    }
    earlier = run.read_manifest() if run.manifest_path.exists() else None
    verifier = manifest.describe_verifier(suite.verifier_name, opinion)
    record = manifest.begin(
        {**parts, "verifier": verifier}, info, argv=options.argv, salt=plan.salt, earlier=earlier
    )
    write_atomically(run.folder / "suite.yaml", suite.text)
    run.write_manifest(record)
    point_latest(run.folder)
    return record


def _note_end(run: RunStore, record: dict[str, Any], error: BaseException | None = None) -> None:
    """Write how the session ended; a disk too full for that must not hide what went wrong."""
    if isinstance(error, asyncio.CancelledError):
        record["status"] = "cancelled"
    elif error is not None:
        record["status"] = "stopped"
    else:
        record["status"] = "failed_attempts" if _failures(run) else "complete"
    record["ended"] = record["ended"] or manifest.now()
    try:
        run.write_manifest(record)
    except StoreError:
        if error is None:
            raise


def _done(run: RunStore) -> frozenset[AttemptKey]:
    """Attempts that need not be repeated: all but those that failed."""
    return frozenset(attempt.key for attempt in run.attempts() if attempt.status != "error")


def _failures(run: RunStore) -> int:
    return sum(attempt.status == "error" for attempt in run.attempts())


async def _attempt_all(
    plan: Plan,
    bench: Bench,
    prompts: dict[str, tuple[int, ...]],
    engine: CachedEngine,
    progress: Progress,
) -> None:
    """Keep `concurrency` attempts in flight until none is missing.

    Those of suite-wide strategies come last: their problems are probed while others run.
    """
    suite_wide = [job for job in plan.missing() if isinstance(job[0].strategy, SuiteStrategy)]
    others = (job for job in plan.missing() if not isinstance(job[0].strategy, SuiteStrategy))
    progress.start(plan.total, len(plan.done))

    async def work(jobs: Iterator[Job]) -> None:
        for cell, item, seed in jobs:
            attempt, measurement = await bench.attempt(cell, item, prompts[item.problem.id], seed)
            plan.run.append(attempt, measurement)
            progress.advance(failed=attempt.status == "error", tokens=engine.generated_tokens)

    async def share_out() -> Iterator[Job]:
        width = plan.suite.concurrency
        return iter(await allocated(suite_wide, plan.items, bench, prompts, width))

    async def work_all(shared_out: asyncio.Task[Iterator[Job]]) -> None:
        await work(others)
        await work(await shared_out)

    try:
        async with asyncio.TaskGroup() as group:
            shared_out = group.create_task(share_out())
            for _ in range(min(plan.suite.concurrency, plan.total)):
                group.create_task(work_all(shared_out))
    except* TtsBenchError as failures:
        raise first_error(failures) from None
    finally:
        progress.stop()


def cancel_on_sigterm() -> None:
    """Treat SIGTERM (a scheduler's time limit) as Ctrl-C: stop in order, leave it resumable."""
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError):  # Windows has no such handlers
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _limited(items: tuple[Item, ...], limit: str | None) -> tuple[Item, ...]:
    if limit is None:
        return items
    first, dash, last = limit.partition("-")
    try:
        low, high = (int(first), int(last)) if dash else (1, int(first))
    except ValueError:
        raise UsageError(f"--limit {limit}: must be N or A-B") from None
    if not 1 <= low <= high:
        raise UsageError(f"--limit {limit}: must be N >= 1, or A-B with 1 <= A <= B")
    if low > len(items):
        raise UsageError(f"--limit {limit}: there are only {len(items)} problems")
    return items[low - 1 : high]


def _unused(folder: Path, suite_hash: str) -> Path:
    """A run folder that does not exist yet: two runs may begin within one second."""
    while (path := folder / new_run_id(suite_hash)).exists():
        time.sleep(0.1)
    return path


def _warn_of_cut(
    prompts: dict[str, tuple[int, ...]], suite: Suite, info: EngineInfo, progress: Progress
) -> None:
    asked = max(cell.sampling.max_tokens for cell in suite.cells)
    short = sum(len(ids) + asked > info.max_model_len for ids in prompts.values())
    if short:
        progress.say(
            f"warning: {short} of {len(prompts)} prompts leave less than max_tokens={asked} "
            f"within the model's {info.max_model_len} tokens; their solutions may be cut off"
        )
