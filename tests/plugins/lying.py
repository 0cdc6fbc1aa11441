"""An engine and a verifier whose every third answer is bad, in the way that LYING_HOW names."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts_bench import (
    Candidate,
    Completion,
    Engine,
    EngineInfo,
    Problem,
    Request,
    Score,
    Scoring,
    ScriptedEngine,
    Tokenizer,
    Verifier,
)
from tts_bench.cost.ledger import Call
from tts_bench.verifier.base import VerifierInfo

FAULTS: dict[str, dict[str, Any]] = {
    "surrogate": {"text": "\ud800"},
    "no_text": {"text": None},
    "large_id": {"token_ids": (2**31,)},
    "negative_id": {"token_ids": (-1,)},
    "float_ids": {"token_ids": (1.0,)},
    "nan": {"logprob": math.nan},
    "lengths": {"first_logprobs": (-1.0,)},
    "reason": {"finish_reason": "eos"},
}


@dataclass(frozen=True)
class LyingEngine(Engine):
    """Writes numbers, and lies to each third seed."""

    model: str = "lying"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", ScriptedEngine(lambda *_: "", max_model_len=4096))

    async def start(self) -> EngineInfo:
        return await self.inner.start()

    @property
    def tokenizer(self) -> Tokenizer:
        return self.inner.tokenizer

    async def close(self) -> None:
        await self.inner.close()

    async def generate(self, request: Request) -> Completion:
        done = Completion((65,), f"It is \\boxed{{{request.seed % 9}}}.", -1.0, "stop")
        how = os.environ.get("LYING_HOW", "")
        return replace(done, **FAULTS.get(how, {})) if request.seed % 3 == 0 else done


@dataclass(frozen=True)
class LyingVerifier(Verifier):
    """Scores by length, and lies about each third text; without `model` it costs nothing."""

    model: bool = True

    async def start(self, policy: Engine) -> VerifierInfo:
        info = EngineInfo("scripted 1", "some/prm", "", "float32", 4096, None)
        return VerifierInfo(self.settings_key(), info if self.model else None)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        how = os.environ.get("LYING_HOW", "")
        made = [Scoring(Score(float(len(one.text)))) for one in candidates]
        if not any(one.answer in ("0", "3", "6") for one in candidates):
            return made
        if how == "count":
            return made[1:]
        if how == "call":
            return [replace(one, calls=(Call((1,), -1),)) for one in made]
        if how == "text":
            return [Scoring("0.5")] * len(made)  # type: ignore[arg-type]
        return [Scoring(Score(float(how))) for _ in made] if how in ("nan", "inf") else made
