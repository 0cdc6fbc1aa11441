"""One strategy on one problem, with an engine that reads from a script, and all it did at hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.base import Request
from tts_bench.engine.scripted import Script, ScriptedEngine
from tts_bench.prompt import Prompt
from tts_bench.strategy.session import Session
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.types import Problem, Sampling, Solution
from tts_bench.verifier.base import Verifier
from tts_bench.verifier.confidence import ConfidenceVerifier

PROBLEM = Problem("p", "What is 1 + 1?")


def in_order(*texts: str) -> Script:
    """A script that writes these texts, one after the other."""
    left = iter(texts)
    return lambda prompt, request: next(left)


class Attempt:
    """A strategy, its session, and every request that it made (`prompts` are their texts)."""

    def __init__(
        self,
        strategy: str,
        script: Script,
        *,
        allowance: int | None = None,
        problem: Problem = PROBLEM,
        seed: int = 0,
        max_tokens: int = 400,
        stop: Sequence[str] = (),
        chat: bool = False,
        verifier: Verifier | None = None,
        engine: Callable[[Script], ScriptedEngine] = ScriptedEngine,
        registry: Registry | None = None,
        **params: Any,
    ) -> None:
        self.problem, self.requests, self.prompts = problem, list[Request](), list[str]()
        self.ledger = Ledger(Meter(None), Meter(None, has_model=False), Budget(allowance))
        self.strategy = (registry or Registry()).load(STRATEGIES, strategy)(**params)
        playing = engine(self._recorded(script))
        self.session = Session(
            Prompt(chat=chat).dialogue(problem, playing.tokenizer),
            engine=playing,
            verifier=verifier or ConfidenceVerifier(),
            ledger=self.ledger,
            sampling=Sampling(max_tokens, stop=tuple(stop)),
            seed=seed,
            canonicalize=self._canonicalize,
        )

    def _recorded(self, script: Script) -> Script:
        def recorded(prompt: str, request: Request) -> Any:
            self.requests.append(request)
            self.prompts.append(prompt)
            return script(prompt, request)

        return recorded

    @staticmethod
    async def _canonicalize(answers: Sequence[str]) -> list[str]:
        await asyncio.sleep(0)
        return list(answers)

    async def solve(self) -> Solution:
        return await self.strategy.solve(self.problem, self.session)

    def run(self) -> Solution:
        return asyncio.run(self.solve())

    @property
    def paid(self) -> int:
        """Completion tokens that the ledger has charged."""
        return self.ledger.policy.usage.completion_tokens


def chosen(solution: Solution) -> str | None:
    """The answer that was chosen."""
    return None if solution.chosen is None else solution.candidates[solution.chosen].answer
