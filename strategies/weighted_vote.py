"""Weighted vote: as self-consistency, each vote weighing what the verifier thinks of it."""

from dataclasses import dataclass
from typing import ClassVar

from tts_bench import Candidate, SampleAndSelect, Score, Session


@dataclass(frozen=True)
class WeightedVote(SampleAndSelect):
    """Answer with the largest sum of verifier scores (Li et al. 2022, 2206.02336).

    Snell et al. 2024 (2408.03314) call it "best-of-N weighted".
    """

    needs: ClassVar = ("scores",)

    selector: ClassVar[str] = "weighted"

    async def scores(self, candidates: list[Candidate], session: Session) -> list[Score]:
        return await session.score(candidates)
