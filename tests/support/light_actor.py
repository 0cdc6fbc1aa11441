"""An actor in place of vLLM's: it starts in a moment, and does what a request's seed says."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tts_bench
from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.ray.actor import Ready
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.types import Sampling
from tts_bench.verifier.backend import Outputs

INFO = EngineInfo("light 1", "m", "r", "float32", 100, None)
REFUSED, DIES, RAISES, EXITS, HANGS, CANCELLED, VARIABLE = range(101, 108)


BAD, GONE = 1, 2
"""Numbers of the first position of a reading that is refused, or that kills its replica."""


def asked(seed: int) -> Request:
    return Request((seed,) * 64, Sampling(4), seed)


def replace_actor(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Let engine `ray` start this actor; Ray's workers need not find this module."""
    from ray import cloudpickle

    from tts_bench.engine.ray import engine
    from tts_bench.verifier import ray_backend

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    put(engine, "EngineActor", LightActor)
    put(ray_backend, "ReadingActor", LightReader)


class Letters(Tokenizer):
    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        return tuple(text.encode())

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        return self.encode("".join(message["content"] for message in messages))

    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        return bytes(token_ids).decode(errors="replace")


class LightActor:
    """`options` says what goes wrong at its start."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._options = settings["options"]
        self._cancelled = 0
        if "raises" in self._options:
            raise ModuleNotFoundError("No module named 'tts_bench'")

    async def start(self) -> Ready | ModelError:
        if "refuses" in self._options:
            return ModelError(f"on {platform.node()}: no model folder at /m")
        if "exits" in self._options:
            os._exit(3)
        return Ready(INFO, platform.node(), self._options.get("version", tts_bench.__version__))

    async def tokenizer(self) -> Letters:
        return Letters()

    async def generate(self, request: Request) -> Completion | EngineError:
        seed = request.seed
        if seed == REFUSED:
            return EngineError("the prompt is empty")
        if seed == DIES:
            return EngineDied("EngineDeadError: the core is gone")
        if seed == RAISES:
            raise ValueError("first\nsecond")
        if seed == EXITS:
            os._exit(3)
        if seed == HANGS or "hangs" in self._options:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self._cancelled += 1
                raise
        text = str(self._cancelled if seed == CANCELLED else seed)
        if seed == VARIABLE:
            text = os.environ.get("VLLM_OF_A_TEST", "")
        return Completion(tuple(text.encode()), text, -1.0, "length")


class LightReader(LightActor):
    """In place of the actor that reads texts: a position is its own score."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__(settings)
        assert settings["loading"].tokenizer is not None

    async def generate(self, request: Any) -> Any:
        positions = request.reading.positions
        if positions[0] == BAD:
            return EngineError("the text is empty")
        if positions[0] == GONE:
            return EngineDied("the core is gone")
        return Outputs(tuple((float(position),) for position in positions))
