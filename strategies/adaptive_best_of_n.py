"""Adaptive best-of-N: a few draws tell how hard a problem is, and that how many it gets."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from tts_bench import (
    Problem,
    Sampling,
    Score,
    Session,
    Solution,
    Strategy,
    answer_classes,
    best,
    leading_share,
)


@dataclass(frozen=True)
class AdaptiveBestOfN(Strategy):
    """Best-of-N whose N depends on a probe of the problem.

    The probe's *ease* is the weight of its leading answer: the sum of the verifier's scores of
    the candidates that give it, divided by the size of the probe. It is high where candidates
    agree and the verifier thinks that they are right. The probe is part of what a problem gets:
    its draws are used and paid for, once.
    """

    needs: ClassVar = ("scores",)

    probe: int = 4
    """Candidates that are drawn for every problem."""
    easy: float = 0.75
    """From this ease on a problem gets `n_easy` candidates."""
    hard: float = 0.3
    """Up to this ease it gets `n_hard`; `n_medium` in between."""
    n_easy: int = 4
    n_medium: int = 16
    n_hard: int = 32
    difficulty: Literal["scores", "agreement"] = "scores"
    """`agreement` weighs all candidates of the probe alike, for verifiers whose scores are no
    probabilities."""

    def __post_init__(self) -> None:
        if self.probe < 1:
            raise ValueError(f"probe must be at least 1, not {self.probe}")
        if not 0 <= self.hard < self.easy <= 1:
            raise ValueError(
                f"hard and easy must be 0 <= hard < easy <= 1, not {self.hard} and {self.easy}"
            )
        for name in ("n_easy", "n_medium", "n_hard"):
            if getattr(self, name) < self.probe:
                least = f"at least as large as probe ({self.probe})"
                raise ValueError(f"{name} must be {least}, not {getattr(self, name)}")

    def most_tokens(self, sampling: Sampling) -> int | None:
        return max(self.n_easy, self.n_medium, self.n_hard) * sampling.max_tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        candidates = await session.sample(self.probe)
        scores = await session.score(candidates)
        ease = leading_share(answer_classes(candidates), self._weights(scores))
        n = self._candidates_at(ease)
        if n > len(candidates) and session.left != 0:
            more = await session.sample(n - len(candidates))
            candidates += more
            scores += await session.score(more)
        answered = [one.answer is not None for one in candidates]
        chosen = best([score.value for score in scores], answered)
        return Solution(tuple(candidates), chosen, tuple(scores), facts={"ease": ease, "n": n})

    def _candidates_at(self, ease: float) -> int:
        if ease >= self.easy:
            return self.n_easy
        return self.n_hard if ease <= self.hard else self.n_medium

    def _weights(self, scores: list[Score]) -> list[float] | None:
        if self.difficulty == "agreement":
            return None
        weights = [score.value for score in scores]
        strange = next((value for value in weights if not 0 <= value <= 1), None)
        if strange is not None:
            raise ValueError(f"a score of {strange} is no probability: set difficulty: agreement")
        return weights
