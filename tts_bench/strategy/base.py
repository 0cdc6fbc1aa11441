"""What a strategy is, and the base of the flat ones."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tts_bench.errors import BudgetExhausted
from tts_bench.strategy.select import SELECTORS
from tts_bench.strategy.session import Session
from tts_bench.types import Candidate, Problem, Sampling, Score, Solution


class Strategy(abc.ABC):
    """A way to spend compute on a problem.

    Subclasses are frozen dataclasses: their fields are their parameters in a suite, and they
    keep no state between problems. A strategy sees the problem and the session, and nothing
    else: neither the engine, nor the verifier, nor the reference answer.
    """

    needs: ClassVar[Collection[str]] = ()
    """What it cannot do without, of `types.Need`: a suite whose engine cannot give it is refused.

    `exact_tokens` if it calls `extend` without a `reply`, `scores` if it asks the verifier,
    `logprobs` if it reads log-probabilities."""

    def needed(self) -> frozenset[str]:
        """What these parameters cannot do without; by default all `needs`."""
        return frozenset(self.needs)

    @abc.abstractmethod
    async def solve(self, problem: Problem, session: Session) -> Solution:
        """Attempt one problem, with model calls through the session alone."""

    def most_tokens(self, sampling: Sampling) -> int | None:
        """Upper bound of completion tokens for one problem, for the dry run's forecast.

        None if nothing but a budget bounds it.
        """
        return None

    def likely_tokens(self, sampling: Sampling) -> tuple[float, float] | None:
        """Least and most completion tokens that one problem is likely to take, for the dry run.

        `sampling.max_tokens` is the expected length of one solution here. None if nothing is known.
        By default from one solution to `most_tokens`.
        """
        most = self.most_tokens(sampling)
        return None if most is None else (float(min(sampling.max_tokens, most)), float(most))


class AllocatingStrategy(Strategy):
    """A strategy that shares one budget out among the problems of a suite.

    Every problem is probed before anything is decided: the one barrier between problems that
    there is, and only for cells of such strategies. What a probe draws is drawn again, from the
    generation store, by the strategy that then solves the problem, and is charged there.
    """

    @abc.abstractmethod
    async def probe_problem(self, problem: Problem, session: Session) -> Solution:
        """Look at one problem; the session is not that of the attempt, and is thrown away."""

    @abc.abstractmethod
    def allocate(self, probes: list[Solution | None]) -> list[Strategy]:
        """The strategy that solves each problem; None stands for a probe that failed."""


@dataclass(frozen=True)
class SampleAndSelect(Strategy):
    """Base of flat strategies: draw a pool of `n` whole solutions, then select one.

    A sweep over `n` draws once, at its largest value; accuracies at the smaller ones are
    expectations over the subsets of that pool: over all of them if `selector` names the rule, over
    seeded ones if a subclass brings a rule of its own, `choose`.
    """

    n: int = 16
    """Candidates drawn."""

    selector: ClassVar[str | None] = None
    """Name of a rule of `tts_bench.strategy.select`: best, majority, weighted or first.

    Not asked if a subclass has a `choose` of its own."""

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, not {self.n}")

    async def scores(self, candidates: list[Candidate], session: Session) -> list[Score]:
        """The scores that the selection reads; none by default (votes need none)."""
        return []

    def choose(self, candidates: Sequence[Candidate], scores: Sequence[Score]) -> int | None:
        """Index of the chosen candidate, or None if none deserves it.

        Override it for a rule of your own. `scores` are those of `scores` above, one for each
        candidate or none at all. The rule is also asked about subsets of the candidates, in any
        order, so it must depend on its arguments alone: `n` is not their number.
        """
        assert self.selector is not None, "a class without a selector has a rule of its own"
        values = [score.value for score in scores]
        return SELECTORS[self.selector].choose(answer_classes(candidates), values)

    @classmethod
    def has_own_rule(cls) -> bool:
        """Whether a subclass has replaced `choose`."""
        return cls.choose is not SampleAndSelect.choose

    def most_tokens(self, sampling: Sampling) -> int | None:
        """All candidates at full length."""
        return self.n * sampling.max_tokens

    def likely_tokens(self, sampling: Sampling) -> tuple[float, float] | None:
        """All candidates, no more and no less."""
        tokens = float(self.n * sampling.max_tokens)
        return tokens, tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        """Draw `n` candidates, score them, select."""
        candidates = await session.sample(self.n)
        if not candidates:
            raise BudgetExhausted("the budget does not cover one candidate")
        scores = await self.scores(candidates, session)
        return Solution(tuple(candidates), self.choose(candidates, scores), tuple(scores))


def answer_classes(candidates: Sequence[Candidate]) -> list[int]:
    """Number the answers' classes in order of first appearance; -1 if there is no answer."""
    numbers: dict[str, int] = {}
    return [
        -1
        if candidate.answer_class is None
        else numbers.setdefault(candidate.answer_class, len(numbers))
        for candidate in candidates
    ]
