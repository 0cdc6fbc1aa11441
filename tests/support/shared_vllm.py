"""One vLLM engine for all tests that ask nothing of how it is started or closed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.vllm import VLLMEngine


class SharedVLLM:
    """The process's engine on the tiny model: begun when it is asked for, until it is closed.

    It serves one event loop after the other, so each test may run a loop of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._engine: VLLMEngine | None = None

    def engine(self) -> VLLMEngine:
        """The started engine."""
        if self._engine is None:
            engine = VLLMEngine(model=str(self._folder), kv_cache_gb=0.125)
            asyncio.run(engine.start())
            self._engine = engine
        return self._engine

    def close(self) -> None:
        """Leave no engine open, until the next test asks for it."""
        if self._engine is not None:
            asyncio.run(self._engine.close())
            self._engine = None


class Lent(Engine):
    """A started engine for those who start and close what they use."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.model = engine.info.model

    async def start(self) -> EngineInfo:
        return self._engine.info

    async def close(self) -> None:
        pass

    async def generate(self, request: Request) -> Completion:
        return await self._engine.generate(request)

    @property
    def info(self) -> EngineInfo:
        return self._engine.info

    @property
    def tokenizer(self) -> Tokenizer:
        return self._engine.tokenizer

    def settings_key(self) -> str:
        return self._engine.settings_key()
