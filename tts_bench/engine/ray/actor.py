"""What runs in a worker of Ray: a vLLM engine, and how it says that it could not do something."""

from __future__ import annotations

import platform
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

import tts_bench
from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.weights import load_error, local_path
from tts_bench.errors import EngineError, ModelError, TtsBenchError


@dataclass(frozen=True)
class Ready:
    """What a replica says once it has loaded its model."""

    info: EngineInfo
    where: str
    version: str
    """Of this package, there."""


async def ready(start: Awaitable[EngineInfo]) -> Ready | ModelError:
    """What a start comes to, on this machine."""
    try:
        info = await start
    except TtsBenchError as error:
        return ModelError(f"on {platform.node()}: {error}")
    return Ready(info, platform.node(), tts_bench.__version__)


class EngineActor:
    """A vLLM engine in a worker of Ray.

    Errors are answers here: raised ones would come back with a traceback around them, and those
    of this package must be what they were.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self._engine = VLLMEngine(**settings)

    async def start(self) -> Ready | ModelError:
        """Load the model."""
        return await ready(self._engine.start())

    async def tokenizer(self) -> HuggingFaceTokenizer | ModelError:
        """One for the callers, who need not have the model's files."""
        import transformers

        model = self._engine.model
        try:
            inner = transformers.AutoTokenizer.from_pretrained(
                local_path(model),
                revision=self._engine.revision,
                trust_remote_code=self._engine.trust_remote_code,
            )
        except Exception as error:
            return load_error(model, error)
        return HuggingFaceTokenizer(inner)

    async def generate(self, request: Request) -> Completion | EngineError:
        """One completion, or why there is none."""
        try:
            return await self._engine.generate(request)
        except EngineError as error:
            return error
