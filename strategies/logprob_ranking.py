"""Log-prob ranking: draw N solutions and keep the one the policy finds most probable."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tts_bench import Candidate, SampleAndSelect, Score, Session


@dataclass(frozen=True)
class LogprobRanking(SampleAndSelect):
    """Keep the candidate with the highest log-probability under the policy itself.

    The sum favours short solutions, the mean (inverse perplexity) does not. No verifier is
    asked: this is the baseline that shows what ranking by the policy's own taste is worth.
    """

    needs: ClassVar = ("logprobs",)

    normalize: Literal["mean", "sum"] = "mean"
    """Divide by the number of generated tokens, or not."""

    selector: ClassVar[str] = "best"

    async def scores(self, candidates: list[Candidate], session: Session) -> list[Score]:
        if self.normalize == "mean":
            return [Score(candidate.mean_logprob) for candidate in candidates]
        return [Score(candidate.logprob) for candidate in candidates]
