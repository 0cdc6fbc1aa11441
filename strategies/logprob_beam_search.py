"""Log-prob beam search: beam search that keeps what the policy itself finds most probable."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tts_bench import BeamStepSearch, Candidate, Node, Score, Search, distinct


@dataclass(frozen=True)
class LogprobBeamSearch(BeamStepSearch):
    """Beam search over steps by log-probability instead of a verifier's score.

    An anti-pattern, here to be measured: a policy's mistakes are probable to itself, or it would
    not make them, and a wider beam finds them more surely (Dalal et al., 2603.15377; for whole
    texts Stahlberg and Byrne 2019, 1908.10090). Its distance from beam search with a verifier
    is what the verifier is worth. It is a strategy of its own and no option of `beam_search`,
    because its scores are negative: votes cannot be weighted by them, and it asks no verifier.
    """

    needs: ClassVar = ("exact_tokens", "logprobs")

    score: Literal["mean", "sum"] = "mean"
    """Log-probability per token, or of the whole text (which favours short ones)."""
    select: Literal["best", "majority"] = "best"
    """How the answer is chosen; log-probabilities cannot weigh votes, for they are negative."""

    async def judge(self, children: list[Candidate], search: Search) -> list[Node]:
        """The policy's own log-probability of each beam."""
        merged = distinct(children)
        by_mean = self.score == "mean"
        scores = [Score(one.mean_logprob if by_mean else one.logprob) for one in merged]
        return search.add(merged, scores)
