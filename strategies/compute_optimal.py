"""Compute-optimal sampling: one number of draws for the whole suite, shared out by a probe."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from tts_bench import (
    AllocatingStrategy,
    Candidate,
    Problem,
    Sampling,
    Session,
    Solution,
    Strategy,
    answer_classes,
    best,
    leading_share,
    majority,
    share_out,
    weighted,
)


@dataclass(frozen=True)
class ComputeOptimal(AllocatingStrategy):
    """Draw for each problem as long as one more draw promises more than for any other.

    Every problem is probed; the rest of `n` draws per problem, over the whole suite, goes where
    the next draw is most likely to be the first right one, the leading answer of the probe
    being taken for the right one. The allocation of Damani et al. 2024 (2410.04707), with the
    probe in place of their trained predictor. The probe's draws are used and paid for, once.
    """

    needs: ClassVar = ("scores",)

    n: int = 16
    """Candidates drawn per problem, on average over the suite."""
    probe: int = 4
    """Candidates that every problem gets before anything is decided."""
    max_n: int = 64
    """Most candidates that one problem gets."""
    selector: Literal["majority", "best", "weighted"] = "majority"
    """How the answer is chosen; all but `majority` ask the verifier."""

    def __post_init__(self) -> None:
        if self.probe < 1:
            raise ValueError(f"probe must be at least 1, not {self.probe}")
        if self.n < 1:
            raise ValueError(f"n must be at least 1, not {self.n}")
        if self.max_n < self.n:
            raise ValueError(f"max_n must be at least as large as n ({self.n}), not {self.max_n}")

    def needed(self) -> frozenset[str]:
        return frozenset(() if self.selector == "majority" else self.needs)

    def most_tokens(self, sampling: Sampling) -> int | None:
        return self.n * sampling.max_tokens

    async def probe_problem(self, problem: Problem, session: Session) -> Solution:
        candidates = await session.sample(min(self.probe, self.n))
        return Solution(tuple(candidates), None)

    def allocate(self, probes: list[Solution | None]) -> list[Strategy]:
        """What each problem gets; one whose probe failed gets what the probe would have."""
        probe = min(self.probe, self.n)
        successes = [
            0.0 if one is None else probe * leading_share(answer_classes(list(one.candidates)))
            for one in probes
        ]
        draws = share_out(successes, probe, self.n * len(probes), self.max_n)
        return [replace(self, n=n) for n in draws]

    async def solve(self, problem: Problem, session: Session) -> Solution:
        candidates = await session.sample(self.n)
        scores = [] if self.selector == "majority" else await session.score(candidates)
        chosen = self._choice(candidates, [score.value for score in scores])
        return Solution(tuple(candidates), chosen, tuple(scores), facts={"n": self.n})

    def _choice(self, candidates: list[Candidate], values: list[float]) -> int | None:
        if self.selector == "best":
            return best(values, [one.answer is not None for one in candidates])
        classes = answer_classes(candidates)
        return majority(classes) if self.selector == "majority" else weighted(classes, values)
