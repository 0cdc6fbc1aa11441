"""An engine that is started already, for another one to start and close."""

from __future__ import annotations

from dataclasses import dataclass

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class Open(Engine):
    """A started engine that another one may start and close."""

    inner: Engine

    @property
    def info(self) -> EngineInfo:
        return self.inner.info

    @property
    def tokenizer(self) -> Tokenizer:
        return self.inner.tokenizer

    async def start(self) -> EngineInfo:
        return self.inner.info

    async def close(self) -> None:
        pass

    async def generate(self, request: Request) -> Completion:
        return await self.inner.generate(request)
