"""An engine and a verifier that note in a file when each of them holds memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

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

NOTES, FAIL = "PLACED_NOTES", "PLACED_FAIL"


def note(event: str) -> None:
    with Path(os.environ[NOTES]).open("a") as file:
        file.write(f"{event}\n")


def write(prompt: str, request: Request) -> str:
    """Solutions differ by seed; where the environment says so, one problem cannot be drawn."""
    if os.environ.get(FAIL, "nothing") in prompt:
        raise RuntimeError("cannot be drawn")
    return f"It is \\boxed{{{request.seed % 40}}}."


@dataclass(frozen=True)
class Policy(Engine):
    """The script above."""

    model: str = "policy"

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inner", ScriptedEngine(write))

    async def start(self) -> EngineInfo:
        note("policy starts")
        return await self._inner.start()

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    async def close(self) -> None:
        note("policy closes")

    async def generate(self, request: Request) -> Completion:
        return await self._inner.generate(request)


@dataclass(frozen=True)
class Scorer(Verifier):
    """Scores by what is in the box, at the price of one call."""

    async def start(self, policy: Engine) -> VerifierInfo:
        note("verifier starts")
        return VerifierInfo(
            self.settings_key(), EngineInfo("placed", "scorer", "1", "", 4096, None)
        )

    async def close(self) -> None:
        note("verifier closes")

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        return [
            Scoring(Score(int(one.answer or 0) / 40), (Call(one.prompt_ids, 1),))
            for one in candidates
        ]
