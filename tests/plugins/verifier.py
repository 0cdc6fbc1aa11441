"""A verifier with a model that a suite can name; its revision comes from the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench import Candidate, Problem, Score
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

SHAPE = ModelShape(layers=1, hidden=4, heads=1, kv_heads=1, head_dim=4, intermediate=8, vocab=300)


@dataclass(frozen=True)
class Length(Verifier):
    """Prefers long solutions; VERIFIER_REVISION is the revision that it says it is of."""

    model: str = "some/prm"

    async def start(self, policy: Engine) -> VerifierInfo:
        revision = os.environ.get("VERIFIER_REVISION", "first")
        info = EngineInfo("scripted 1", self.model, revision, "float32", 4096, SHAPE)
        return VerifierInfo(self.settings_key(), info)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        return [
            Scoring(Score(float(len(one.text))), (Call(one.token_ids, 0, logits=0),))
            for one in candidates
        ]
