"""Self-refine: draft, feedback, revision, by one model in one conversation."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tts_bench import (
    Candidate,
    Problem,
    Sampling,
    Score,
    Session,
    Solution,
    Strategy,
    answer_classes,
    best,
    majority,
)

FEEDBACK = (
    "Check the solution above step by step. Name every mistake, and say how it is to be put"
    " right. If there is none, say so. Do not write a new solution yet."
)
REVISE = (
    "Now write the whole solution again, with all mistakes put right, and end with the final"
    " answer in the form that the problem asks for."
)


@dataclass(frozen=True)
class SelfRefine(Strategy):
    """Sequential revision without an outside opinion (Madaan et al. 2023, 2303.17651).

    Each round asks for feedback on the last solution and then for a revised one, as further
    turns of the conversation. Feedback is paid for, and is no candidate.
    """

    needs: ClassVar = ("scores",)

    rounds: int = 2
    """How often the draft is revised."""
    choose: Literal["last", "best", "majority"] = "last"
    """Which solution counts: the last one with an answer, the one that the verifier scores
    highest, or the answer that most of them give."""
    feedback_tokens: int = 512
    """Longest feedback."""

    def __post_init__(self) -> None:
        for name in ("rounds", "feedback_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    def needed(self) -> frozenset[str]:
        return frozenset(self.needs if self.choose == "best" else ())

    def most_tokens(self, sampling: Sampling) -> int | None:
        return sampling.max_tokens + self.rounds * (self.feedback_tokens + sampling.max_tokens)

    async def solve(self, problem: Problem, session: Session) -> Solution:
        solutions = await session.sample(1)
        for _ in range(self.rounds):
            if session.left == 0:
                break
            feedback = await session.extend(
                solutions[-1:], reply=FEEDBACK, max_tokens=self.feedback_tokens
            )
            if session.left == 0:
                break
            solutions += await session.extend(feedback, reply=REVISE)
        scores = await session.score(solutions) if self.choose == "best" else []
        return Solution(tuple(solutions), self._choice(solutions, scores), tuple(scores))

    def _choice(self, solutions: list[Candidate], scores: list[Score]) -> int | None:
        answered = [one.answer is not None for one in solutions]
        if self.choose == "majority":
            return majority(answer_classes(solutions))
        if self.choose == "best":
            return best([score.value for score in scores], answered)
        return max((i for i, has in enumerate(answered) if has), default=None)
