"""An engine for tests of whole runs: it writes solutions, and it judges and checks them too."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from tts_bench import Completion, Engine, EngineInfo, Request, ScriptedEngine, Tokenizer

STARTED = "ASKED_MAY_NOT_START"


def answer(prompt: str, request: Request) -> str | Completion:
    """By what is asked: a decision, a grade, a rationale, or a solution."""
    if request.logprob_ids:
        yes = 0.9 if "\\boxed{3" in prompt else 0.2
        logprobs = (math.log(yes), math.log(1 - yes))
        return Completion((63,), "?", -1.0, "length", first_logprobs=logprobs)
    if "Grade a solution" in prompt:
        return f"I think. Grade: {1 + request.seed % 10}"
    if "Check a solution" in prompt:
        return "Step 1 adds. Verdict: right"
    return f"It is \\boxed{{{request.seed % 100}}}."


@dataclass(frozen=True)
class Asked(Engine):
    """The script above; the environment may forbid that it starts, as a replay never does."""

    model: str = "scripted"
    max_model_len: int = 4096
    role: str = ""

    def __post_init__(self) -> None:
        inner = ScriptedEngine(answer, max_model_len=self.max_model_len)
        object.__setattr__(self, "_inner", inner)

    async def start(self) -> EngineInfo:
        assert STARTED not in os.environ, "a replay must not start a model"
        return await self._inner.start()

    @property
    def info(self) -> EngineInfo:
        return self._inner.info

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    async def close(self) -> None:
        pass

    async def generate(self, request: Request) -> Completion:
        assert STARTED not in os.environ
        return await self._inner.generate(request)
