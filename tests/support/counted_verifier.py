"""A verifier with a model that counts what it is asked, for tests of what lies around it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

MODEL = EngineInfo("scripted 1", "some/prm", "abc", "float32", 4096, None)


def candidate(text: str = "a step", ids: Sequence[int] | None = None, **fields) -> Candidate:
    """A candidate whose tokens are its characters, unless other ids are given."""
    values = {"finish_reason": "stop", "stop": None} | fields
    return Candidate(
        id=0,
        prompt_ids=(1, 2),
        token_ids=tuple(map(ord, text)) if ids is None else tuple(ids),
        text=text,
        answer=None,
        answer_class=None,
        logprob=0.0,
        generated_tokens=0,
        **values,
    )


def policy() -> Engine:
    """An engine that nobody asks anything."""
    return ScriptedEngine(lambda prompt, request: "")


class CountedVerifier(Verifier):
    """Scores a text by its length; waits for `gate` where there is one."""

    def __init__(self, name: str = "counted", model: EngineInfo | None = MODEL) -> None:
        self.name, self.model = name, model
        self.asked: list[str] = []
        self.events: list[str] = []
        self.gate: asyncio.Event | None = None
        self.failure: BaseException | None = None
        self.lose = 0

    def settings_key(self) -> str:
        return self.name

    async def start(self, policy: Engine) -> VerifierInfo:
        self.events.append("start")
        return VerifierInfo(self.name, self.model)

    async def close(self) -> None:
        self.events.append("close")

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        self.asked += [one.text for one in candidates]
        if self.gate is not None:
            await self.gate.wait()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        made = [
            Scoring(
                Score(float(len(one.text)), (0.5, 1 / 3)),
                (Call((1, 2, 3), 0, 1, logits=2), Call(tuple(map(ord, one.text)), 4)),
            )
            for one in candidates
        ]
        return made[self.lose :]
