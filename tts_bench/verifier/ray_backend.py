"""Reward models in replicas on Ray: each an actor with the vLLM backend, one text a request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts_bench.engine.base import EngineInfo
from tts_bench.engine.ray.actor import Ready, ready
from tts_bench.engine.ray.placement import Placed, Placement, absolute
from tts_bench.errors import EngineDied, EngineError, ModelError, VerifierDied, VerifierError
from tts_bench.verifier.backend import Backend, Loading, Outputs, Reading
from tts_bench.verifier.vllm_backend import VLLMBackend


@dataclass(frozen=True, slots=True)
class PlacedReading:
    """A reading as the pool takes it."""

    reading: Reading

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """The text."""
        return self.reading.token_ids


class ReadingActor:
    """A vLLM backend in a worker of Ray; errors are answers, as those of engines there."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._backend = VLLMBackend(**settings)

    async def start(self) -> Ready | ModelError:
        """Load the model."""
        return await ready(self._backend.start())

    async def generate(self, request: PlacedReading) -> Outputs | EngineError:
        """What the head gave, or why it gave nothing."""
        try:
            [outputs] = await self._backend.read([request.reading])
        except VerifierDied as error:
            return EngineDied(str(error))
        except VerifierError as error:
            return EngineError(str(error))
        return outputs


class RayBackend(Backend):
    """The replicas of one reward model."""

    def __init__(
        self,
        loading: Loading,
        placement: Placement,
        settings: dict[str, Any],
        *,
        restarts: int,
        say: Callable[[str], None],
    ) -> None:
        self._loading, self._placement, self._settings = loading, placement, settings
        self._restarts, self._say = restarts, say
        self._placed: Placed | None = None

    async def start(self) -> EngineInfo:
        there = replace(self._loading, model=absolute(self._loading.model))
        self._placed = await self._placement.start(
            ReadingActor,
            self._loading.model,
            {"loading": there, **self._settings},
            restarts=self._restarts,
            say=self._say,
        )
        return self._placed.first.info

    async def close(self) -> None:
        placed, self._placed = self._placed, None
        if placed is not None:
            await placed.close()

    async def read(self, readings: Sequence[Reading]) -> list[Outputs]:
        return list(await asyncio.gather(*map(self._read, readings)))

    async def _read(self, reading: Reading) -> Outputs:
        if self._placed is None:
            raise VerifierError("the verifier is not started")
        try:
            outputs: Outputs = await self._placed.pool.generate(PlacedReading(reading))
        except EngineDied as error:
            raise VerifierDied(str(error)) from error
        except EngineError as error:
            raise VerifierError(str(error)) from error
        return outputs
