"""Hand-made trees of solutions on which the right behaviour of a search can be told by hand."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import MappingProxyType, ModuleType
from typing import Any

from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.base import Completion, Request
from tts_bench.engine.scripted import Script, ScriptedEngine
from tts_bench.prompt import Prompt
from tts_bench.strategy.session import Session
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.types import Candidate, Problem, Sampling, Score, Solution
from tts_bench.verifier.confidence import ConfidenceVerifier

PROBLEM = Problem("p", "Q:")


@cache
def load(name: str) -> Any:
    """The class of a strategy."""
    return Registry().load(STRATEGIES, name)


def module(name: str) -> ModuleType:
    """The file of a strategy."""
    return sys.modules[load(name).__module__]


class World:
    """A policy that continues each text as a table says, and a verifier that reads a table.

    The k-th draw from a text is the k-th entry of its list, over and over; a greedy draw is the
    first one. A text that the table lacks ends there. What is not in `scores` is worth 0.5.
    Instead of either table a function may be given.
    """

    def __init__(
        self,
        continuations: Mapping[str, Sequence[str | Completion]] | Script,
        scores: Mapping[str, float] | Callable[[str], float] = MappingProxyType({}),
        *,
        budget: int | None = None,
        seed: int = 0,
        max_model_len: int | None = None,
        **sampling: Any,
    ) -> None:
        self.continuations = continuations
        self.scores = scores if callable(scores) else lambda text: scores.get(text, 0.5)
        self.drawn: list[str] = []
        """Texts that were continued, in order."""
        self.requests: list[Request] = []
        self.calls: list[int] = []
        """Sizes of the calls of `sample` and `extend`."""
        self.scored: list[str] = []
        self._counts: Counter[str] = Counter()
        self.ledger = Ledger(Meter(None), Meter(None, has_model=False), Budget(budget))
        engine = _Batches(self)
        self.session = Session(
            Prompt(chat=False).dialogue(PROBLEM, engine.tokenizer),
            engine=engine,
            verifier=ConfidenceVerifier(),
            ledger=self.ledger,
            sampling=Sampling(**{"max_tokens": 1000, **sampling}),
            seed=seed,
            canonicalize=_same,
            max_model_len=max_model_len,
        )
        self.session.score = self._score  # type: ignore[method-assign]

    @property
    def spent(self) -> int:
        """Completion tokens."""
        return self.ledger.policy.usage.completion_tokens

    async def _score(self, candidates: Sequence[Candidate]) -> list[Score]:
        self.session.check(candidates)
        self.scored += [candidate.text for candidate in candidates]
        return [Score(self.scores(candidate.text)) for candidate in candidates]

    def write(self, prompt: str, request: Request) -> str | Completion:
        text = prompt.removeprefix(PROBLEM.text)
        self.drawn.append(text)
        self.requests.append(request)
        if callable(self.continuations):
            return self.continuations(prompt, request)
        options = self.continuations.get(text, [""])
        if request.sampling.temperature == 0:
            return options[0]
        self._counts[text] += 1
        return options[(self._counts[text] - 1) % len(options)]

    def solve(self, name: str, **params: Any) -> Solution:
        """What the strategy comes to here."""
        solution: Solution = asyncio.run(load(name)(**params).solve(PROBLEM, self.session))
        return solution


class _Batches(ScriptedEngine):
    """Notes how many requests come at once."""

    def __init__(self, world: World) -> None:
        super().__init__(world.write)
        object.__setattr__(self, "_world", world)

    async def generate_all(self, requests: Sequence[Request]) -> list[Completion]:
        self._world.calls.append(len(requests))  # type: ignore[attr-defined]
        return await super().generate_all(requests)


async def _same(answers: Sequence[str]) -> list[str]:
    return list(answers)


def texts(solution: Solution) -> list[str]:
    """Texts of the candidates."""
    return [candidate.text for candidate in solution.candidates]


def answer(solution: Solution) -> str | None:
    """The chosen answer."""
    return None if solution.chosen is None else solution.candidates[solution.chosen].answer
