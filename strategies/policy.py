"""A compute-optimal policy: the strategy that paid most at this difficulty and budget."""

from dataclasses import dataclass
from typing import ClassVar

from tts_bench import Problem, Sampling, Session, Solution, Strategy, load_policy


@dataclass(frozen=True)
class Policy(Strategy):
    """Do what a policy file says for the problem's difficulty (Snell et al. 2024, 2408.03314).

    `tts-bench policy RUN --write FILE` makes the file. Difficulty is the data set's level, or
    predicted by the mean verifier score of a probe, which is charged beside what follows.
    """

    needs: ClassVar = ("scores",)

    file: str
    """The policy file."""
    budget: float
    """FLOPs per problem; the file's largest budget up to it is used."""

    def __post_init__(self) -> None:
        if not self.budget > 0:
            raise ValueError(f"budget must be more than 0, not {self.budget}")
        load_policy(self.file, self.budget)

    def needed(self) -> frozenset[str]:
        policy = load_policy(self.file, self.budget)
        probe = frozenset(() if policy.file.by == "level" else self.needs)
        return probe.union(*(strategy.needed() for strategy in policy.strategies))

    def most_tokens(self, sampling: Sampling) -> int | None:
        policy = load_policy(self.file, self.budget)
        most = [strategy.most_tokens(sampling) for strategy in policy.strategies]
        known = [tokens for tokens in most if tokens is not None]
        probe = policy.file.probe * sampling.max_tokens
        return probe + max(known) if len(known) == len(most) else None

    async def solve(self, problem: Problem, session: Session) -> Solution:
        policy = load_policy(self.file, self.budget)
        if policy.file.by == "level":
            return await policy.for_level(problem).solve(problem, session)
        probe = await session.sample(policy.file.probe)
        scores = await session.score(probe)
        mean = sum(score.value for score in scores) / len(scores)
        return await policy.for_score(mean).solve(problem, session)
