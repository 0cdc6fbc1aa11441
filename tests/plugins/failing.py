"""An engine and a verifier that die, fall silent, leave or lie, as the environment says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench import (
    Candidate,
    Completion,
    Engine,
    EngineDied,
    EngineInfo,
    Problem,
    Request,
    Score,
    ScriptedEngine,
    Tokenizer,
)
from tts_bench.errors import VerifierDied
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo


class Fate:
    """Lets a model die, which then stays dead until it is started again.

    FAILING_AT says at which call of its first life, of its second and so on. FAILING_HOW says how:
    `died` (by the error of that name), `pipe` (its process is lost), `exit` (it calls sys.exit)
    or `silent` (it answers no more).
    """

    def __init__(self) -> None:
        self.calls, self.starts, self.dead = 0, 0, False

    def start(self) -> None:
        if self.starts and "FAILING_START" in os.environ:
            raise RuntimeError("no device is left")
        self.starts, self.calls, self.dead = self.starts + 1, 0, False

    async def call(self, died: type[Exception]) -> None:
        self.calls += 1
        ends = os.environ.get("FAILING_AT", "").split(",")
        self.dead = self.dead or ends[self.starts - 1 : self.starts] == [str(self.calls)]
        if not self.dead:
            return
        how = os.environ.get("FAILING_HOW", "died")
        if how == "silent":
            await asyncio.sleep(3600)
        if how == "exit":
            sys.exit(3)
        raise BrokenPipeError("worker") if how == "pipe" else died("the device fell off")


def write(prompt: str, request: Request) -> str:
    """A guess."""
    return f"It is \\boxed{{{request.seed % 20}}}."


@dataclass(frozen=True)
class FailingEngine(Engine):
    """Guesses, and has a fate."""

    model: str = "failing"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", ScriptedEngine(write, max_model_len=4096))
        object.__setattr__(self, "fate", Fate())

    async def start(self) -> EngineInfo:
        self.fate.start()
        return await self.inner.start()

    @property
    def tokenizer(self) -> Tokenizer:
        return self.inner.tokenizer

    async def close(self) -> None:
        await self.inner.close()

    async def generate(self, request: Request) -> Completion:
        await self.fate.call(EngineDied)
        return await self.inner.generate(request)


@dataclass(frozen=True)
class FailingVerifier(Verifier):
    """Prefers long solutions, and has a fate."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "fate", Fate())

    async def start(self, policy: Engine) -> VerifierInfo:
        self.fate.start()
        info = EngineInfo("scripted 1", "some/prm", "", "float32", 4096, None)
        return VerifierInfo(self.settings_key(), info)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        await self.fate.call(VerifierDied)
        return [Scoring(Score(float(len(one.text)))) for one in candidates]
