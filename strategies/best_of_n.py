"""Best-of-N: draw N solutions and keep the one that the verifier scores highest."""

from dataclasses import dataclass
from typing import ClassVar

from tts_bench import Candidate, SampleAndSelect, Score, Session


@dataclass(frozen=True)
class BestOfN(SampleAndSelect):
    """Keep the candidate with the highest verifier score (Cobbe et al. 2021, 2110.14168)."""

    needs: ClassVar = ("scores",)

    selector: ClassVar[str] = "best"

    async def scores(self, candidates: list[Candidate], session: Session) -> list[Score]:
        return await session.score(candidates)
