"""Reward models on transformers: one thread, readings of all attempts in common batches."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch
import transformers

from tts_bench.concurrency.threads import ended
from tts_bench.engine.base import EngineInfo
from tts_bench.engine.memory import available_memory
from tts_bench.engine.transformers import pick_device
from tts_bench.engine.weights import (
    first_line,
    is_device_lost,
    is_out_of_memory,
    load_error,
    local_path,
    model_revision,
    model_shape,
)
from tts_bench.engine.worker import release_memory
from tts_bench.errors import ModelError, VerifierDied, VerifierError
from tts_bench.verifier.backend import Backend, Loading, Outputs, Reading
from tts_bench.verifier.heads import dtype_of, load_model
from tts_bench.verifier.prefixes import PrefixStore
from tts_bench.verifier.reader import Reader, ReadText, batches, ready

DEVIATION = {"float32": 0.01, "float16": 0.1, "bfloat16": 0.1}
"""Difference of a probability up to which reading counts as the model's own (see `Reader`)."""
CACHE_SHARE = 4
"""Without a setting the cache may take one part in so many of the memory free at the start."""


@dataclass(frozen=True, slots=True, eq=False)
class _PendingReading:
    reading: Reading
    future: Future[Outputs]


class TransformersBackend(Backend):
    """A backbone with its head, and a cache of the prefixes that were read."""

    def __init__(
        self, loading: Loading, *, device: str, batch_tokens: int, cache_tokens: int | None
    ) -> None:
        self._loading, self._device = loading, device
        self._slots, self._cache_tokens = batch_tokens, cache_tokens
        self._inbox: queue.SimpleQueue[_PendingReading | None] = queue.SimpleQueue()
        self._waiting: list[_PendingReading] = []
        self._waited: dict[tuple[int, ...], int] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._loaded: Future[EngineInfo] = Future()
        self._thread = threading.Thread(target=self._run, name="tts-bench-reward", daemon=True)

    async def start(self) -> EngineInfo:
        self._thread.start()
        try:
            # Loading cannot be interrupted: where this call is cancelled, `close` waits for it.
            return await asyncio.shield(asyncio.wrap_future(self._loaded))
        except Exception as error:
            raise load_error(self._loading.model, error) from error

    async def close(self) -> None:
        with self._lock:
            self._closed = True
            self._inbox.put(None)
        await ended(self._thread)

    async def read(self, readings: Sequence[Reading]) -> list[Outputs]:
        jobs = [_PendingReading(reading, Future()) for reading in readings]
        with self._lock:
            if self._closed:
                raise VerifierError("the verifier is closed")
            for job in jobs:
                self._inbox.put(job)
        return list(await asyncio.gather(*(asyncio.wrap_future(job.future) for job in jobs)))

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                reader, info = self._load()
        except BaseException as error:  # handed to whoever waits for the model
            self._loaded.set_exception(error)
            return
        self._loaded.set_result(info)
        self._serve(reader)
        del reader
        release_memory()

    @torch.inference_mode()
    def _serve(self, reader: Reader) -> None:
        while self._receive():
            self._waiting = [job for job in self._waiting if not job.future.cancelled()]
            self._wave(reader)
        for job in self._waiting:
            _fail(job, VerifierError("the verifier was closed before this reading was done"))

    def _receive(self) -> bool:
        """Take all that has arrived, waiting if nothing is left to do; False: the end."""
        while not self._waiting or not self._inbox.empty():
            job = self._inbox.get()
            if job is None:
                return False
            self._waiting.append(job)
        return True

    def _wave(self, reader: Reader) -> None:
        """Read those of the waiting texts that need nothing of one another."""
        waiting: dict[tuple[int, ...], list[_PendingReading]] = {}
        for job in self._waiting:
            waiting.setdefault(job.reading.token_ids, []).append(job)
        texts = list(waiting)
        now = [texts[i] for i in ready(texts, reader.store, self._waited)]
        try:
            for batch in batches(now, reader.store, self._slots):
                if self._closed:  # nobody waits any longer, and a wave may take minutes
                    break
                for ids, row in zip(batch, reader.read(batch), strict=True):
                    _deliver(waiting.pop(ids), row)
        except Exception as error:  # a failed pass ends its readings, not the verifier
            self._recover(reader, waiting, error)
        self._waiting = [job for jobs in waiting.values() for job in jobs]

    def _recover(
        self,
        reader: Reader,
        waiting: dict[tuple[int, ...], list[_PendingReading]],
        error: Exception,
    ) -> None:
        """Fail what waits; where memory ran out, go on with smaller batches and less kept."""
        error.__traceback__ = None  # its frames hold the pass's tensors
        if is_device_lost(error):  # nothing that is asked of it would work, freeing included
            for jobs in waiting.values():
                for job in jobs:
                    _fail(job, VerifierDied(first_line(error)))
            waiting.clear()
            return
        reader.store.clear()
        self._waited.clear()
        release_memory()
        longest = max(map(len, waiting))
        if is_out_of_memory(error) and self._slots > longest:
            self._slots = max(longest, self._slots // 2)
            return
        for jobs in waiting.values():
            for job in jobs:
                why = f"the reward model's forward pass failed: {first_line(error)}"
                _fail(job, VerifierError(why))
        waiting.clear()

    def _load(self) -> tuple[Reader, EngineInfo]:
        loading = self._loading
        if loading.threads is not None:
            torch.set_num_threads(loading.threads)
        device = pick_device(self._device)
        options = loading.source | {"dtype": dtype_of(loading.dtype, device)}
        backbone, head = load_model(
            local_path(loading.model), loading.head, loading.token_ids, loading.config, options
        )
        backbone, head = backbone.to(device).eval(), head.to(device).eval()
        dtype = str(backbone.dtype).removeprefix("torch.")
        store = PrefixStore(self._capacity(backbone, device))
        reader = _checked(Reader(backbone, head, store), loading.model, dtype)
        shape, note = model_shape(loading.config.to_dict())
        info = EngineInfo(
            engine=f"transformers {transformers.__version__}",
            model=loading.model,
            revision=model_revision(loading.model, loading.source["revision"]),
            dtype=dtype,
            max_model_len=loading.max_model_len,
            shape=shape,
            shape_note=note,
        )
        return reader, info

    def _capacity(self, backbone: Any, device: str) -> int:
        """Tokens that the cache may hold."""
        if self._cache_tokens is not None:
            return self._cache_tokens
        free = torch.cuda.mem_get_info()[0] if device == "cuda" else available_memory()
        config = backbone.config.get_text_config(decoder=True)
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        per_token = 2 * config.num_hidden_layers * heads * width * backbone.dtype.itemsize
        return int((free or 0) // CACHE_SHARE // per_token)


def _checked(reader: Reader, model: str, dtype: str) -> Reader:
    """The reader, once it is seen to compute what the model's own forward pass does."""
    refusal = f"{model} ({type(reader.backbone).__name__}) cannot be read by backend transformers"
    try:
        deviation = reader.deviation()
    except (TypeError, ValueError, AttributeError, LookupError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{refusal}: {first_line(error)}") from error
    if not deviation <= DEVIATION.get(dtype, 0.1):
        raise ModelError(
            f"{refusal}: its attention or its cache is of another kind, or its weights are"
            f" damaged (scores deviate by {deviation:.2g})"
        )
    return reader


def _deliver(jobs: Sequence[_PendingReading], row: ReadText) -> None:
    for number, job in enumerate(jobs):
        values = tuple(tuple(row.outputs[at].tolist()) for at in job.reading.positions)
        # Whoever asked for the same text at the same time gets it for nothing.
        cached = len(job.reading.token_ids) if number else row.cached
        if not job.future.set_running_or_notify_cancel():
            continue
        if torch.isfinite(row.outputs[list(job.reading.positions)]).all():
            job.future.set_result(Outputs(values, cached))
        else:
            job.future.set_exception(
                VerifierError("the reward model's output is not a number: are its weights damaged?")
            )


def _fail(job: _PendingReading, error: VerifierError) -> None:
    if job.future.set_running_or_notify_cancel():
        job.future.set_exception(error)
