"""What step-wise searches share: how a step is drawn and judged, and how a search ends."""

from __future__ import annotations

import abc
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tts_bench.answers.extract import boxed
from tts_bench.errors import BudgetExhausted
from tts_bench.strategy.base import Strategy, answer_classes
from tts_bench.strategy.select import SELECTORS
from tts_bench.strategy.session import Session
from tts_bench.types import Candidate, Node, Problem, Sampling, Score, Solution


@dataclass(frozen=True)
class StepSearch(Strategy):
    """Base of strategies that draw a solution step by step and decide after each.

    A solution has at most the suite's `max_tokens`, as one that is drawn at once. It has ended
    where the model ended its turn or wrote a stop string of the suite; one that was cut off has
    not. Where the budget runs out, the choice is made among what there is.
    """

    needs: ClassVar[Collection[str]] = ("exact_tokens", "scores")

    n: int = 16
    """Candidates in the search at any time, and at its end."""
    delimiter: str = "\n\n"
    """What ends a step."""
    max_steps: int = 40
    """Most steps of a solution; the last one runs to the solution's end."""
    step_tokens: int | None = None
    """A step ends here at the latest, and the next one goes on from there; None: no limit."""
    select: Literal["best", "weighted", "majority"] = "weighted"
    """How the answer is chosen among the candidates at the end."""

    def __post_init__(self) -> None:
        for name in ("n", "max_steps", "step_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not self.delimiter:
            raise ValueError("delimiter must not be empty")

    @abc.abstractmethod
    async def grow(self, search: Search) -> None:
        """Grow candidates to their ends; `hold` them after every step."""

    def most_tokens(self, sampling: Sampling) -> int | None:
        """`n` steps at full length, `max_steps` times: what is dropped has been paid for."""
        step = min(self.step_tokens or sampling.max_tokens, sampling.max_tokens)
        return self.n * ((self.max_steps - 1) * step + sampling.max_tokens)

    def likely_tokens(self, sampling: Sampling) -> tuple[float, float] | None:
        """`n` solutions: every level draws `n` steps, and the levels add up to a solution."""
        tokens = float(self.n * sampling.max_tokens)
        return tokens, tokens

    async def solve(self, problem: Problem, session: Session) -> Solution:
        """Search until everything has ended or the budget is spent, then choose."""
        search = Search(session, self.delimiter, self.max_steps, self.step_tokens)
        try:
            await self.grow(search)
        except BudgetExhausted:
            if not search.held:
                raise
        return search.solution(self.select)


class Search:
    """One search: draws steps, has them judged, and notes the tree that they make."""

    def __init__(
        self, session: Session, delimiter: str, max_steps: int, step_tokens: int | None
    ) -> None:
        self.session = session
        self.held: list[Node] = []
        """The candidates among which the choice would be made now."""
        self._delimiter = delimiter
        self._max_steps = max_steps
        self._max_tokens = session.sampling.max_tokens
        self._step_tokens = step_tokens
        self._lengths: dict[int, int] = {}
        self._nodes: dict[int, Node] = {}

    async def first(self, n: int) -> list[Candidate]:
        """`n` first steps."""
        return self._measured(await self.session.sample(n, **self._step(1)))

    async def extend(self, parents: Sequence[Node]) -> list[Candidate]:
        """One step more for each node; a node that stands there k times gets k.

        In order, but those whose last step this is come after the others. The budget may
        grant fewer; raises BudgetExhausted where it grants none.
        """
        return await self._extend([node.candidate for node in parents])

    async def look_ahead(self, candidates: Sequence[Candidate], k: int) -> list[Candidate]:
        """Each candidate after up to `k` greedy steps more, as far as the budget reaches."""
        reached = list(candidates)
        for _ in range(k):
            going = [candidate for candidate in reached if self._goes_on(candidate)]
            if not going:
                break
            try:
                further = await self._extend(going, temperature=0.0)
            except BudgetExhausted:
                break
            by_parent = {candidate.parent: candidate for candidate in further}
            reached = [by_parent.get(candidate.id, candidate) for candidate in reached]
        return reached

    async def judge(self, candidates: Sequence[Candidate]) -> list[Node]:
        """The candidates as nodes of the tree, with the verifier's scores."""
        return self.add(candidates, await self.session.score(candidates))

    def add(self, candidates: Sequence[Candidate], scores: Sequence[Score]) -> list[Node]:
        """The candidates as nodes of the tree, with scores from elsewhere."""
        nodes = [
            Node(candidate, score, self._goes_on(candidate))
            for candidate, score in zip(candidates, scores, strict=True)
        ]
        self._nodes.update((node.candidate.id, node) for node in nodes)
        return nodes

    def parent(self, node: Node) -> Node | None:
        """The node that this one continues; None for a first step."""
        above = node.candidate.parent
        return None if above is None else self._nodes[above]

    def hold(self, nodes: Sequence[Node]) -> None:
        """Choose among these, should the budget end here or the search be over."""
        self.held = list(nodes)

    def solution(self, select: str) -> Solution:
        """What is held, and the choice among it."""
        candidates = [node.candidate for node in self.held]
        classes = [
            number if self._vouches(candidate) else -1
            for candidate, number in zip(candidates, answer_classes(candidates), strict=True)
        ]
        scores = tuple(node.score for node in self.held)
        chosen = SELECTORS[select].choose(classes, [score.value for score in scores])
        return Solution(tuple(candidates), chosen, scores, tuple(self._nodes.values()))

    def _step(self, number: int) -> dict[str, Any]:
        """Sampling of the step of this number; the last one is not stopped at a delimiter."""
        if number >= self._max_steps:
            return {}
        stop = tuple(dict.fromkeys((self._delimiter, *self.session.sampling.stop)))
        longest = self._step_tokens or self._max_tokens
        return {"stop": stop, "max_tokens": min(longest, self._max_tokens)}

    async def _extend(self, candidates: Sequence[Candidate], **sampling: Any) -> list[Candidate]:
        last = self._max_steps - 1
        found: list[Candidate] = []
        for group in (
            [candidate for candidate in candidates if len(candidate.path) < last],
            [candidate for candidate in candidates if len(candidate.path) >= last],
        ):
            if group:
                step = self._step(len(group[0].path) + 1) | sampling
                found += await self.session.extend(group, total_tokens=self._max_tokens, **step)
        return self._measured(found)

    def _measured(self, candidates: list[Candidate]) -> list[Candidate]:
        for candidate in candidates:
            self._lengths[candidate.id] = candidate.generated_tokens
        return candidates

    def _goes_on(self, candidate: Candidate) -> bool:
        """Whether a candidate is paused: at a delimiter, or where a step must end."""
        if candidate.generated_tokens >= self._max_tokens or len(candidate.path) >= self._max_steps:
            return False
        longest = self.session.max_model_len
        if longest and len(candidate.prompt_ids) + len(candidate.token_ids) >= longest:
            return False
        if candidate.finish_reason == "stop":
            return candidate.stop == self._delimiter
        # A step that ends short of its limit was cut off by the budget or the model's context.
        before = 0 if candidate.parent is None else self._lengths[candidate.parent]
        return candidate.generated_tokens - before == self._step_tokens

    def _vouches(self, candidate: Candidate) -> bool:
        """Whether its answer is one: the last number of a step says nothing, a box does."""
        return candidate.stop != self._delimiter or boxed(candidate.text) is not None
