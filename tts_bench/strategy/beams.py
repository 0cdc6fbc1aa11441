"""Beams: what searches share that keep the best part of a fixed number of prefixes."""

from __future__ import annotations

import abc
from dataclasses import dataclass

from tts_bench.strategy.step_search import Search, StepSearch
from tts_bench.strategy.tree import top
from tts_bench.types import Candidate, Node


@dataclass(frozen=True)
class BeamStepSearch(StepSearch):
    """Base of beam searches: keep the best 1/M of N beams after each step, continue each M times.

    A beam that has ended leaves the search with its place and waits for the final choice, so the
    search ends with N candidates. Subclasses say what a beam is worth.
    """

    beam_width: int = 4
    """M, the children of each beam that is kept; N/M are kept (as in search-and-learn)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_width < 1:
            raise ValueError(f"beam_width must be at least 1, not {self.beam_width}")
        if self.n > 1 and self.n % self.beam_width:
            raise ValueError(f"n={self.n} must be a multiple of beam_width={self.beam_width}, or 1")

    @abc.abstractmethod
    async def judge(self, children: list[Candidate], search: Search) -> list[Node]:
        """Add the new steps to the search's tree, each with its score; some may be left out."""

    async def grow(self, search: Search) -> None:
        """Keep, continue and judge until every beam has ended."""
        beams = await self.judge(await search.first(self.n), search)
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
            beams = await self.judge(await search.extend(parents), search)
