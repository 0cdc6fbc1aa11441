"""Early-stopping consistency: draw window after window until one agrees entirely."""

from dataclasses import dataclass

from tts_bench import (
    Candidate,
    Problem,
    Sampling,
    Session,
    Solution,
    Strategy,
    answer_classes,
    first_agreed,
    majority,
)


@dataclass(frozen=True)
class EarlyStoppingConsistency(Strategy):
    """Majority vote that ends with a window of equal answers (Li et al. 2024, 2401.10480).

    The vote is that of all draws. A window that a budget has cut short stops nothing.
    """

    window: int = 5
    """Candidates drawn at once, which must all agree to end the drawing."""
    max_n: int = 40
    """Most candidates drawn."""

    def __post_init__(self) -> None:
        if self.window < 2:
            raise ValueError(f"window must be at least 2, not {self.window}")
        if self.max_n < 1:
            raise ValueError(f"max_n must be at least 1, not {self.max_n}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        return self.max_n * sampling.max_tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        drawn: list[Candidate] = []
        agreed = None
        while agreed is None and len(drawn) < self.max_n and session.left != 0:
            drawn += await session.sample(min(self.window, self.max_n - len(drawn)))
            agreed = first_agreed(answer_classes(drawn), self.window)
        chosen = majority(answer_classes(drawn))
        return Solution(tuple(drawn), chosen, facts={"draws_used": len(drawn)})
