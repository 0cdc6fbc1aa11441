"""The thread that owns a vLLM engine: requests go in by a queue, completions come out by loops.

Everything that touches the engine happens in this one thread. A step's finished requests are
handed to an event loop in one call, and each completion goes to the loop of the `generate` that
asked for it, so that one engine serves several loops, one after the other or side by side.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import queue
import signal
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from typing import TYPE_CHECKING, Any, TypeAlias

from tts_bench.concurrency.threads import ended
from tts_bench.engine import vllm_turns
from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.vllm_requests import completion, sampling_params
from tts_bench.engine.weights import first_line
from tts_bench.errors import EngineDied, EngineError

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine


@dataclass(frozen=True, slots=True)
class LoadedVLLM:
    """A vLLM engine and what it says of itself."""

    engine: LLMEngine
    info: EngineInfo


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    id: str
    request: Request
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Completion]


_Outcome: TypeAlias = tuple[_Asked, Completion | EngineError]


@dataclass(frozen=True, slots=True)
class _Cancel:
    id: str


@dataclass(frozen=True, slots=True)
class RequestCodec:
    """Requests in vLLM's terms: completions, or readings of a pooling model."""

    parameters: Callable[[Any, Any], Any]
    """vLLM's parameters for a request, given the request and the engine's tokenizer."""
    outcome: Callable[[Any, Any, Any], Any]
    """The answer, or an EngineError, given the request, vLLM's output and the tokenizer."""


class VLLMWorker:
    """Loads an engine in a thread of its own and serves it until `close`, or until it dies."""

    def __init__(self, load: Callable[[], LoadedVLLM], codec: RequestCodec | None = None) -> None:
        self._load = load
        self._codec = codec or RequestCodec(sampling_params, completion)
        self._inbox: queue.SimpleQueue[_Asked | _Cancel | None] = queue.SimpleQueue()
        self._jobs: dict[str, _Asked] = {}
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._end: EngineError | None = None
        self._thread = threading.Thread(target=self._run, name="vllm-engine", daemon=True)
        self._started: Future[EngineInfo] = Future()
        self._tokenizer: HuggingFaceTokenizer | None = None

    async def start(self) -> EngineInfo:
        """Load the engine; raises what `load` raises. Cancelling frees it once it is loaded."""
        self._started.set_running_or_notify_cancel()
        self._thread.start()
        try:
            return await asyncio.wrap_future(self._started)
        except asyncio.CancelledError:
            self._inbox.put(None)
            raise

    async def close(self) -> None:
        """End the thread and free the engine; requests in flight fail with EngineError."""
        self._inbox.put(None)
        await ended(self._thread)

    async def ask(self, request: Any) -> Any:
        """The codec's answer to a request that has `prompt_ids`, for example one completion.

        Raises EngineError, and EngineDied once the engine is dead; cancelling aborts the
        request in the engine.
        """
        loop = asyncio.get_running_loop()
        job = _Asked(str(next(self._ids)), request, loop, loop.create_future())
        with self._lock:
            if self._end is not None:
                raise _again(self._end)
            self._inbox.put(job)
        try:
            return await job.future
        except asyncio.CancelledError:
            self._inbox.put(_Cancel(job.id))
            raise

    @property
    def info(self) -> EngineInfo:
        """Identity of the engine, as of its start."""
        return self._started.result()

    @property
    def tokenizer(self) -> HuggingFaceTokenizer:
        """A copy for the callers' threads: the engine's own is in use in its thread."""
        self._started.result()
        assert self._tokenizer is not None
        return self._tokenizer

    @property
    def in_flight(self) -> int:
        """Requests that the engine holds."""
        return len(self._jobs)

    def _run(self) -> None:
        # vLLM's processes inherit the mask: Ctrl-C is for the run, which closes them in order.
        # Starting multiprocessing's tracker lifts the mask, so it is started before.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with vllm_turns.turn():
                loaded = self._load()
                own = loaded.engine.get_tokenizer()
                tokenizer = HuggingFaceTokenizer(own)
                self._tokenizer = HuggingFaceTokenizer(copy.deepcopy(own))
                vllm_turns.opened(loaded.engine)
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(loaded.info)
        engine = loaded.engine
        del loaded
        end = EngineError("the engine was closed")
        try:
            _watch_core(engine)
            while self._take(engine, tokenizer):
                if self._jobs:
                    self._deliver(vllm_turns.step(engine), tokenizer)
        except Exception as error:
            end = EngineDied(f"{type(error).__name__}: {first_line(error)}")
        self._fail_all(end)
        vllm_turns.retire(engine)
        del engine
        gc.collect()

    def _take(self, engine: LLMEngine, tokenizer: HuggingFaceTokenizer) -> bool:
        """Hand over all that has arrived, waiting if nothing is in flight; False: the end."""
        try:
            item = self._inbox.get(block=not self._jobs)
            while item is not None:
                if isinstance(item, _Asked):
                    self._admit(engine, item, tokenizer)
                elif self._jobs.pop(item.id, None) is not None:
                    engine.abort_request([item.id])
                item = self._inbox.get_nowait()
        except queue.Empty:
            return True
        return False

    def _admit(self, engine: LLMEngine, job: _Asked, tokenizer: HuggingFaceTokenizer) -> None:
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        if job.future.done():
            return
        try:
            prompt = tokens_input(list(job.request.prompt_ids))
            engine.add_request(job.id, prompt, self._codec.parameters(job.request, tokenizer))
        except EngineDeadError:
            self._jobs[job.id] = job
            raise
        except Exception as error:
            # vLLM checks a request here, before any of it reaches the model.
            _settle_all([(job, EngineError(f"vLLM refused the request: {first_line(error)}"))])
        else:
            self._jobs[job.id] = job

    def _deliver(self, outputs: list[Any], tokenizer: HuggingFaceTokenizer) -> None:
        outcomes: list[_Outcome] = []
        for output in outputs:
            job = self._jobs.pop(output.request_id, None)
            if job is not None:
                outcomes.append((job, self._codec.outcome(job.request, output, tokenizer)))
        _settle_all(outcomes)

    def _fail_all(self, end: EngineError) -> None:
        with self._lock:
            self._end = end
            while not self._inbox.empty():
                item = self._inbox.get()
                if isinstance(item, _Asked):
                    self._jobs[item.id] = item
        _settle_all([(job, _again(end)) for job in self._jobs.values()])
        self._jobs.clear()


def _again(error: EngineError) -> EngineError:
    """The same error for one more caller."""
    return type(error)(str(error))


def _settle_all(outcomes: list[_Outcome]) -> None:
    by_loop: defaultdict[asyncio.AbstractEventLoop, list[_Outcome]] = defaultdict(list)
    for job, outcome in outcomes:
        by_loop[job.loop].append((job, outcome))
    for loop, group in by_loop.items():
        # A loop that is closed has cancelled its tasks: nobody waits there any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, group)


def _settle(outcomes: list[_Outcome]) -> None:
    for job, outcome in outcomes:
        if job.future.done():
            continue
        if isinstance(outcome, EngineError):
            job.future.set_exception(outcome)
        else:
            job.future.set_result(outcome)


def _watch_core(engine: LLMEngine) -> None:
    """Let `step` raise where the core's process is killed: vLLM 0.32 waits for ever then."""
    client: Any = engine.engine_core
    try:
        outputs, sentinels = client.outputs_queue, client.resources.engine_manager.sentinels()
    except AttributeError:  # the core runs in this process
        return

    def watch() -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        connection.wait(sentinels)
        outputs.put(EngineDeadError())

    threading.Thread(target=watch, name="vllm-core-watch", daemon=True).start()
