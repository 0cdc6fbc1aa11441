"""Log-prob beam search: beam search that keeps what the policy itself finds most probable."""

from dataclasses import dataclass
from typing import Literal

from tts_bench import Candidate, Node, Score, Search, StepSearch, distinct, top


@dataclass(frozen=True)
class LogprobBeamSearch(StepSearch):
    """Beam search over steps by log-probability instead of a verifier's score.

    An anti-pattern, here to be measured: a policy's mistakes are probable to itself, or it would
    not make them, and a wider beam finds them more surely (Dalal et al., 2603.15377; for whole
    texts Stahlberg and Byrne 2019, 1908.10090). Its distance from beam search with a verifier
    is what the verifier is worth.
    """

    beam_width: int = 4
    """M, the children of each beam that is kept; N/M are kept."""
    score: Literal["mean", "sum"] = "mean"
    """Log-probability per token, or of the whole text (which favours short ones)."""
    select: Literal["best", "majority"] = "best"
    """How the answer is chosen; log-probabilities cannot weigh votes, for they are negative."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.beam_width < 1:
            raise ValueError(f"beam_width must be at least 1, not {self.beam_width}")
        if self.n > 1 and self.n % self.beam_width:
            raise ValueError(f"n={self.n} must be a multiple of beam_width={self.beam_width}, or 1")

    async def grow(self, search: Search) -> None:
        beams = self._judge(await search.first(self.n), search)
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
            beams = self._judge(await search.extend(parents), search)

    def _judge(self, children: list[Candidate], search: Search) -> list[Node]:
        merged = distinct(children)
        by_mean = self.score == "mean"
        scores = [Score(one.mean_logprob if by_mean else one.logprob) for one in merged]
        return search.add(merged, scores)
