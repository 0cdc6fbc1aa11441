"""The thread that a model lives in: it loads, serves what is handed over, and frees."""

from __future__ import annotations

import gc
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

import torch

from tts_bench.concurrency.threads import ended
from tts_bench.engine.base import Completion, Request
from tts_bench.engine.batch import Batch, PendingRequest, deliver
from tts_bench.engine.weights import first_line, is_device_lost, is_out_of_memory
from tts_bench.errors import EngineDied, EngineError

Loaded = TypeVar("Loaded")


class Worker(Generic[Loaded]):
    """Runs `load` and then a batch in one thread; requests join whenever rows are free."""

    def __init__(self, load: Callable[[], tuple[Batch, Loaded]], max_batch_size: int) -> None:
        self._load = load
        self._limit = max_batch_size
        self._inbox: queue.SimpleQueue[PendingRequest | None] = queue.SimpleQueue()
        self._waiting: deque[PendingRequest] = deque()
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="tts-bench-model", daemon=True)
        self.loaded: Future[Loaded] = Future()

    def start(self) -> None:
        """Begin to load; `loaded` gets what `load` returned beside the batch, or its error."""
        self._thread.start()

    def submit(self, request: Request) -> Future[Completion]:
        """Hand a request over; cancelling the future frees its row. EngineError if closed."""
        job = PendingRequest(request, Future())
        with self._lock:
            if self._closed:
                raise EngineError("the engine is closed")
            self._inbox.put(job)
        return job.future

    async def close(self) -> None:
        """Fail what is in flight, free the model and wait for the thread to end."""
        with self._lock:
            self._closed = True
            self._inbox.put(None)
        await ended(self._thread)

    def _run(self) -> None:
        try:
            batch, loaded = self._load()
        except BaseException as error:  # handed to whoever waits for the model
            self.loaded.set_exception(error)
            return
        self.loaded.set_result(loaded)
        self._serve(batch)
        del batch
        release_memory()

    @torch.inference_mode()
    def _serve(self, batch: Batch) -> None:
        while self._receive(block=not batch and not self._waiting):
            batch.drop_cancelled()
            try:
                joining = self._next_jobs(len(batch))
                if joining:
                    batch.join(joining)
                if batch:
                    batch.step()
            except Exception as error:  # a failed pass ends its requests, not the engine
                self._recover(batch, joining, error)
        for job in [*batch.clear(), *self._waiting]:
            deliver(job.future, EngineError("the engine was closed before this request was done"))

    def _receive(self, block: bool) -> bool:
        """Move what has arrived to the waiting jobs; False once the engine is to close."""
        while block or not self._inbox.empty():
            job = self._inbox.get()
            if job is None:
                return False
            self._waiting.append(job)
            block = False
        return True

    def _next_jobs(self, rows: int) -> list[PendingRequest]:
        jobs: list[PendingRequest] = []
        while self._waiting and rows + len(jobs) < self._limit:
            job = self._waiting.popleft()
            if not job.future.cancelled():
                jobs.append(job)
        return jobs

    def _recover(self, batch: Batch, joining: list[PendingRequest], error: Exception) -> None:
        """Fail the batch's requests; where memory ran out, begin them anew with half the rows."""
        jobs = {id(job): job for job in [*batch.clear(), *joining] if not job.future.done()}
        error.__traceback__ = None  # its frames hold the pass's tensors
        if is_device_lost(error):  # nothing that is asked of it would work, freeing included
            for job in jobs.values():
                deliver(job.future, EngineDied(first_line(error)))
            return
        release_memory()
        if is_out_of_memory(error) and len(jobs) > 1:
            self._limit = len(jobs) // 2
            self._waiting.extendleft(reversed(jobs.values()))
            return
        for job in jobs.values():
            deliver(
                job.future, EngineError(f"the model's forward pass failed: {first_line(error)}")
            )


def release_memory() -> None:
    """Give what is free back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
