"""Beam search: draw steps, keep the beams that the verifier scores highest, go on from them."""

from dataclasses import dataclass
from typing import Literal

from tts_bench import Candidate, Node, Sampling, Search, StepSearch, distinct, top


@dataclass(frozen=True)
class BeamSearch(StepSearch):
    """Keep the best 1/M of N beams after each step (Snell et al. 2024, 2408.03314, appendix E).

    A beam that has ended leaves the search with its place and waits for the final choice, so
    the search ends with N candidates.
    """

    beam_width: int = 4
    """M, the children of each beam that is kept; N/M are kept (as in search-and-learn)."""
    lookahead: int = 0
    """Greedy steps that are written after each beam before it is scored, and then dropped."""
    duplicates: Literal["merge", "keep"] = "merge"
    """Of beams with equal tokens, whether one goes on, or each."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_width < 1:
            raise ValueError(f"beam_width must be at least 1, not {self.beam_width}")
        if self.n > 1 and self.n % self.beam_width:
            raise ValueError(f"n={self.n} must be a multiple of beam_width={self.beam_width}, or 1")
        if self.lookahead < 0:
            raise ValueError(f"lookahead must be 0 or more, not {self.lookahead}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        most = super().most_tokens(sampling)
        return None if most is None else most * (1 + self.lookahead)

    async def grow(self, search: Search) -> None:
        beams = await self._judge(await search.first(self.n), search)
        ended: list[Node] = []
        while True:
            ended += [beam for beam in beams if not beam.open]
            active = [beam for beam in beams if beam.open]
            search.hold(ended + active)
            if not active:
                return
            places = self.n - len(ended)
            kept = top(active, -(-places // self.beam_width))
            parents = [beam for beam in kept for _ in range(self.beam_width)][:places]
            beams = await self._judge(await search.extend(parents), search)

    async def _judge(self, children: list[Candidate], search: Search) -> list[Node]:
        if self.duplicates == "merge":
            children = distinct(children)
        seen = await search.look_ahead(children, self.lookahead)
        return search.add(children, await search.session.score(seen))
