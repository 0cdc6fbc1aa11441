"""Reward models behind vLLM servers: token ids go there, the head's logits come back.

Which tokens count is decided here, as in the process: the server tells of all of them. It computes
every text from the beginning, since it reads its prefix cache only where nothing is asked of the
tokens within it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tts_bench.engine.base import EngineInfo
from tts_bench.engine.server.addresses import Addresses
from tts_bench.engine.server.gate import Gate
from tts_bench.engine.server.pool import ServerPool
from tts_bench.engine.weights import model_revision, model_shape
from tts_bench.errors import EngineDied, EngineError, ModelError, VerifierDied, VerifierError
from tts_bench.verifier.backend import Backend, Loading, Outputs, Reading, probability
from tts_bench.verifier.pooling import PATH, Pooling, Trial, try_out

DEVIATION = 0.1
"""Difference of a probability up to which two servers count as having the same weights."""


class ServerBackend(Backend):
    """One model on one or more vLLM servers with the pooling runner."""

    def __init__(
        self,
        loading: Loading,
        addresses: Addresses,
        *,
        served_model: str,
        max_in_flight: int,
        answer_timeout: float,
        patience: float,
    ) -> None:
        self._loading, self._addresses, self._name = loading, addresses, served_model
        self._max_in_flight, self._patience = max_in_flight, patience
        self._answer_timeout = answer_timeout
        self._pool: ServerPool | None = None
        self._pooling: Pooling | None = None

    async def start(self) -> EngineInfo:
        client = self._addresses.client(self._answer_timeout)
        try:
            urls = self._addresses.urls()
            trials = [await try_out(client, url, self._name, self._loading) for url in urls]
            _check_same(urls, trials)
            info = await asyncio.to_thread(self._info, trials)
        except BaseException:
            await client.close()
            raise
        gate = Gate(self._max_in_flight)
        self._pool = ServerPool(client, self._addresses.urls, gate, self._patience)
        self._pooling = trials[0].pooling
        return info

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.client.close()
            await asyncio.sleep(0)  # sockets are closed a turn of the loop later

    async def read(self, readings: Sequence[Reading]) -> list[Outputs]:
        return list(await asyncio.gather(*map(self._read, readings)))

    async def _read(self, reading: Reading) -> Outputs:
        if self._pool is None or self._pooling is None:
            raise VerifierError("the verifier is not started")
        ids = reading.token_ids
        try:
            server, answer = await self._pool.post(PATH, self._pooling.body(ids), ids)
        except EngineDied as error:
            raise VerifierDied(str(error)) from error
        except EngineError as error:
            raise VerifierError(str(error)) from error
        try:
            return Outputs(tuple(self._pooling.rows(answer, len(ids), reading.positions)))
        except VerifierError as error:
            raise VerifierError(f"{server.url}: {error}") from error

    def _info(self, trials: Sequence[Trial]) -> EngineInfo:
        served, loading = trials[0].served, self._loading
        lengths = [one for one in (served.max_model_len, loading.max_model_len) if one]
        shape, note = model_shape(loading.config.to_dict())
        lacking = "" if all(one.compared for one in trials) else " (tokenizer not compared)"
        return EngineInfo(
            engine=f"server vllm {served.version} pooling{lacking}",
            model=loading.model,
            revision=model_revision(loading.model, loading.source["revision"]),
            dtype="as served",
            max_model_len=min(lengths),
            shape=shape,
            shape_note=note,
        )


def _check_same(urls: Sequence[str], trials: Sequence[Trial]) -> None:
    """Raise ModelError if the servers are not all the same."""
    first = trials[0]
    for url, other in zip(urls, trials, strict=True):
        said = [f"vllm {t.served.version}, {t.pooling.task}" for t in (first, other)]
        if said[0] != said[1]:
            raise ModelError(f"{urls[0]} is {said[0]}, and {url} is {said[1]}")
        pairs = zip(first.first, other.first, strict=True)
        if any(abs(probability(a) - probability(b)) > DEVIATION for a, b in pairs):
            raise ModelError(f"{urls[0]} and {url} give other scores: not the same weights")
