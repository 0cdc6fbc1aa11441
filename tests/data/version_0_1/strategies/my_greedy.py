"""Greedy decoding: one solution at temperature 0, the baseline of every curve."""

from dataclasses import dataclass

from tts_bench import Problem, Sampling, Session, Solution, Strategy


@dataclass(frozen=True)
class Greedy(Strategy):
    """Decode once, always taking the most probable token."""

    def most_tokens(self, sampling: Sampling) -> int | None:
        return sampling.max_tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        candidates = await session.sample(1, temperature=0.0)
        answered = candidates[0].answer is not None
        return Solution(tuple(candidates), chosen=0 if answered else None)
