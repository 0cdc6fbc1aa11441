"""Verifiers for `verify`: they know the labels of generated texts, or nothing at all."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench import Candidate, Problem, Score
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.errors import VerifierError
from tts_bench.steps import split_steps
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

SHAPE = ModelShape(layers=1, hidden=4, heads=1, kv_heads=1, head_dim=4, intermediate=8, vocab=300)


@dataclass(frozen=True)
class Written(Verifier):
    """Reads each step's score out of the step itself: `... [0.25]`; no number is a 1.

    ORACLE_LOG is a file to which every text that is scored is appended.
    """

    delimiter: str = "\n\n"
    stepwise: bool = True
    lose: int = 0
    """So many step scores too few."""
    fail_at: str = "(nothing)"
    """A text that holds this cannot be scored."""

    async def start(self, policy: Engine) -> VerifierInfo:
        info = EngineInfo("scripted 1", "some/prm", "abc", "float32", 4096, SHAPE)
        return VerifierInfo(self.settings_key(), info)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        return [self._score(one) for one in candidates]

    def _score(self, candidate: Candidate) -> Scoring:
        if self.fail_at in candidate.text:
            raise VerifierError("too long")
        if "ORACLE_LOG" in os.environ:
            with open(os.environ["ORACLE_LOG"], "a") as log:
                log.write(candidate.text.replace("\n", "|") + "\n")
        steps = split_steps(candidate.text, self.delimiter)
        found = [re.search(r"\[([-\d.]+)\]", step) for step in steps]
        scores = [float(one[1]) if one else 1.0 for one in found]
        ids = tuple(map(ord, candidate.text))
        kept = tuple(scores[self.lose :]) if self.stepwise else ()
        return Scoring(Score(min(scores), kept), (Call(ids, 0, logits=0),))


@dataclass(frozen=True)
class AsksPolicy(Verifier):
    """Has a place for an engine of its own, and asks the policy where there is none."""

    engine: Engine | None = None

    async def start(self, policy: Engine) -> VerifierInfo:
        return VerifierInfo(self.settings_key(), policy.info)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        return [Scoring(Score(0.5)) for _ in candidates]
