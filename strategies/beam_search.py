"""Beam search: draw steps, keep the beams that the verifier scores highest, go on from them."""

from dataclasses import dataclass
from typing import Literal

from tts_bench import BeamStepSearch, Candidate, Node, Sampling, Search, distinct


@dataclass(frozen=True)
class BeamSearch(BeamStepSearch):
    """Keep the best 1/M of N beams after each step (Snell et al. 2024, 2408.03314, appendix E).

    A beam that has ended leaves the search with its place and waits for the final choice, so
    the search ends with N candidates.
    """

    lookahead: int = 0
    """Greedy steps that are written after each beam before it is scored, and then dropped."""
    duplicates: Literal["merge", "keep"] = "merge"
    """Of beams with equal tokens, whether one goes on, or each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.lookahead < 0:
            raise ValueError(f"lookahead must be 0 or more, not {self.lookahead}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        most = super().most_tokens(sampling)
        return None if most is None else most * (1 + self.lookahead)

    def likely_tokens(self, sampling: Sampling) -> tuple[float, float] | None:
        """`n` solutions, and as many again for each step of lookahead."""
        tokens = float(self.n * sampling.max_tokens * (1 + self.lookahead))
        return tokens, tokens

    async def judge(self, children: list[Candidate], search: Search) -> list[Node]:
        """The verifier's score of each beam, or of where a greedy lookahead leads."""
        if self.duplicates == "merge":
            children = distinct(children)
        seen = await search.look_ahead(children, self.lookahead)
        return search.add(children, await search.session.score(seen))
