"""The one loop: every cell on every problem, everything in flight at once."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.engine.cached import CachedEngine
from tts_bench.errors import StoreError, UsageError
from tts_bench.progress import Progress
from tts_bench.run import manifest
from tts_bench.run.allocation import Job, allocated
from tts_bench.run.attempt import AttemptContext
from tts_bench.run.phases import FirstPhase, draw_pools
from tts_bench.run.plan import Plan, RunOptions, claim
from tts_bench.secrets.masking import masks
from tts_bench.store.files import write_atomically
from tts_bench.store.lines import Key, summary
from tts_bench.store.manifest import RunManifest, ThroughputEntry, now
from tts_bench.store.models import open_models
from tts_bench.store.runs import RunStore, check_space, point_latest
from tts_bench.store.stamp import read_stamp
from tts_bench.store.texts import damaged_texts
from tts_bench.strategy.base import AllocatingStrategy
from tts_bench.strategy.known_answers import KnownAnswers
from tts_bench.verifier.base import VerifierInfo


@dataclass(frozen=True)
class RunResult:
    """How a run ended."""

    run: RunStore
    attempts: int
    failed: int
    first_error: str | None = None
    """Of the attempts that failed, what the first one says."""


async def execute(plan: Plan, options: RunOptions, progress: Progress) -> RunResult:
    """Run what is missing, and leave the run complete, or resumable whatever happens."""
    check_space(options.output_path)
    plan = claim(plan, options)
    run, is_new = plan.run, not plan.run.manifest_path.exists()
    try:
        if not is_new:
            _price_anew(plan)
        if not is_new and not options.replay and not any(plan.missing()) and read_stamp(run):
            return RunResult(run, plan.total, 0)  # all is there, and was found whole
        again = () if is_new or options.replay else damaged_texts(run)
        plan = replace(plan, done=plan.done - frozenset(again))
        if any(plan.missing()):
            await _run_missing(plan, options, progress, again)
        else:
            _heal(run, (), progress)
            _mend_suite(plan)
            _note_end(run, run.read_manifest())
    finally:
        run.close()
        if is_new and not run.manifest_path.exists():
            shutil.rmtree(run.folder)  # the model never loaded: nothing is worth keeping
    errors = [attempt.error for attempt in run.attempts() if attempt.status == "error"]
    return RunResult(run, plan.total, len(errors), errors[0] if errors else None)


def _heal(run: RunStore, again: Collection[Key], progress: Progress) -> None:
    """Take out what is damaged, now that it is being made again, and say so."""
    if faults := run.heal(again):
        progress.say(f"warning: left out: {summary(faults)}; what is missing is made again")
    if again:
        progress.say(
            f"warning: damaged completions in the store: attempts made again: {len(again)}"
        )


def _price_anew(plan: Plan) -> None:
    """Note the prices that the suite states now, if they are others."""
    before = plan.run.read_manifest()
    if (record := manifest.with_prices(before, plan.suite)) is not before:
        plan.run.write_manifest(record)


def _mend_suite(plan: Plan) -> None:
    """Write the suite beside the attempts again, if it is not what was written there."""
    path, data = plan.run.folder / "suite.yaml", plan.suite.text.encode()
    written = plan.run.read_manifest().suite_text == hashlib.sha256(data).hexdigest()
    if written and not (path.is_file() and path.read_bytes() == data):
        write_atomically(path, data)


async def _run_missing(
    plan: Plan, options: RunOptions, progress: Progress, again: Collection[Key]
) -> None:
    suite, run = plan.suite, plan.run
    if not options.replay and (places := list(masks(suite.resolved))):
        raise UsageError(
            f"{places[0]} is masked in this suite, as a run has written it: give it by --set"
        )
    drawn = None
    if options.phases:
        drawn = await draw_pools(suite, plan.missing(), options.generations, plan.salt, progress)
    async with open_models(
        options.generations, progress, salt=plan.salt, grader=suite.grader()
    ) as models:
        engine = await models.engine(suite.engine, replay=options.replay or options.phases)
        info, grader = engine.info, models.grader
        verifier, verifier_info = await models.verifier(
            suite.verifier_name, suite.verifier, engine, replay=options.replay
        )
        record = _begin(plan, options, info, verifier_info)
        _heal(run, again, progress)
        for difference in record.repeats.differs if record.repeats else ():
            progress.say(f"warning: unlike the run that this repeats: {difference}")
        if plan.suite.recommended:
            progress.say(f"sampling: {plan.suite.recommended}")
        _warn_of_cut(plan, engine, progress)
        context = AttemptContext(
            engine,
            info.shape,
            verifier,
            verifier_info,
            grader,
            grader.canonical,
            suite.budget,
            suite.prompt,
            info.max_model_len,
            info.exact_tokens,
            _first_traceback(progress) if options.debug else lambda _: None,
            KnownAnswers(suite.answers),
        )
        began = time.monotonic()
        if drawn is not None:
            plan = _record_failed(plan, drawn)
            engine.generated_tokens = drawn.generated_tokens
        try:
            await _attempt_all(plan, context, engine, progress)
        finally:
            throughput = ThroughputEntry(
                generated_tokens=engine.generated_tokens,
                seconds=round(time.monotonic() - began, 3),
                requests_from_store=engine.hits,
            )
            _note_end(run, record.changed(throughput=throughput), sys.exception())


def _record_failed(plan: Plan, drawn: FirstPhase) -> Plan:
    """The plan without the attempts that failed while their pools were drawn."""
    for attempt, measurement in drawn.failed:
        plan.run.append(attempt, measurement)
    return replace(plan, done=plan.done | {attempt.key for attempt, _ in drawn.failed})


def _begin(
    plan: Plan, options: RunOptions, info: EngineInfo, verifier_info: VerifierInfo
) -> RunManifest:
    """Write the files that say what this run is, now that the model is known."""
    record = manifest.begin(plan, options, info, verifier_info)
    write_atomically(plan.run.folder / "suite.yaml", plan.suite.text)
    plan.run.write_manifest(record)
    point_latest(plan.run.folder)
    return record


def _note_end(run: RunStore, record: RunManifest, error: BaseException | None = None) -> None:
    """Write how the session ended; a disk too full for that must not hide what went wrong."""
    if isinstance(error, asyncio.CancelledError):
        status = "cancelled"
    elif error is not None:
        status = "stopped"
    else:
        status = "failed_attempts" if _failures(run) else "complete"
    try:
        run.write_manifest(record.changed(status=status, ended=record.ended or now()))
    except StoreError:
        if error is None:
            raise


def _failures(run: RunStore) -> int:
    return sum(attempt.status == "error" for attempt in run.attempts())


async def _attempt_all(
    plan: Plan,
    context: AttemptContext,
    engine: CachedEngine,
    progress: Progress,
) -> None:
    """Keep `concurrency` attempts in flight until none is missing.

    Those of suite-wide strategies come last: their problems are probed while others run.
    """
    suite_wide = [job for job in plan.missing() if isinstance(job[0].strategy, AllocatingStrategy)]
    others = (job for job in plan.missing() if not isinstance(job[0].strategy, AllocatingStrategy))

    async def work(jobs: Iterator[Job]) -> None:
        for cell, item, seed in jobs:
            attempt, measurement = await context.attempt(cell, item, seed)
            plan.run.append(attempt, measurement)
            progress.advance(failed=attempt.status == "error", tokens=engine.generated_tokens)

    width = min(plan.suite.concurrency, plan.total)
    shared_out: asyncio.Future[Iterator[Job]] = asyncio.get_running_loop().create_future()

    async def share_out() -> None:
        jobs = await allocated(suite_wide, plan.items, context, width)
        shared_out.set_result(iter(jobs))

    async def work_all() -> None:
        await work(others)
        await work(await shared_out)

    async with progress.counting(plan.total, len(plan.done), lambda: engine.generated_tokens):
        await in_flight([share_out(), *(work_all() for _ in range(width))])


def _first_traceback(progress: Progress) -> Callable[[BaseException], None]:
    """Shows the traceback of the first error that it is called with."""
    shown: list[BaseException] = []

    def show(error: BaseException) -> None:
        if not shown:
            shown.append(error)
            progress.say("".join(traceback.format_exception(error)).rstrip())

    return show


def _warn_of_cut(plan: Plan, engine: Engine, progress: Progress) -> None:
    """Say how many prompts leave too little room. Raises ModelError for one that is refused."""
    suite, longest = plan.suite, engine.info.max_model_len
    prompts = [suite.prompt.encode(item.problem, engine.tokenizer) for item in plan.items]
    asked = max(cell.sampling.max_tokens for cell in suite.cells)
    short = sum(len(ids) + asked > longest for ids in prompts)
    if short:
        progress.say(
            f"warning: {short} of {len(prompts)} prompts leave less than max_tokens={asked} "
            f"within the model's {longest} tokens; their solutions may be cut off"
        )
