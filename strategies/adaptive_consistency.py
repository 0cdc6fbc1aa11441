"""Adaptive consistency: draw until the leading answer is surely the most common one."""

from dataclasses import dataclass

from tts_bench import (
    Candidate,
    Problem,
    Sampling,
    Session,
    Solution,
    Strategy,
    answer_classes,
    first_sure,
    majority,
)


@dataclass(frozen=True)
class AdaptiveConsistency(Strategy):
    """Majority vote with the Beta stopping rule (Aggarwal et al. 2023, 2305.11860).

    The rule is read in the order of the draws, not in that in which they are finished, so that
    short answers do not decide; and the vote is that of the draws up to the earliest one with
    which the rule holds, so that the size of a batch does not change the answer. All draws that
    were made are paid for.
    """

    confidence: float = 0.95
    """Probability that the leader is more common than the runner-up, at which drawing ends."""
    max_n: int = 40
    """Most candidates drawn."""
    batch: int = 4
    """Candidates drawn at once. No smaller number than 4 can meet the default confidence."""

    def __post_init__(self) -> None:
        if not 0.5 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0.5 and 1, not {self.confidence}")
        for name in ("max_n", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        return self.max_n * sampling.max_tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        drawn: list[Candidate] = []
        stop = None
        while stop is None and len(drawn) < self.max_n and session.left != 0:
            drawn += await session.sample(min(self.batch, self.max_n - len(drawn)))
            stop = first_sure(answer_classes(drawn), self.confidence)
        voters = stop or len(drawn)
        chosen = majority(answer_classes(drawn[:voters]))
        return Solution(tuple(drawn), chosen, facts={"draws_used": voters})
