"""Engines for tests: played by functions, deterministic in the request alone."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from dataclasses import dataclass, replace

from tts_bench import Completion, Engine, EngineInfo, Request, ScriptedEngine, Tokenizer


def solve(prompt: str, request: Request) -> str:
    """Right more often on easy problems; wrong, missing and truncated answers otherwise."""
    rng = random.Random(request.seed)
    expression = re.search(r"Compute (.*)\.", prompt)
    assert expression is not None
    right = eval(expression[1], {"__builtins__": {}})
    hard = len(re.findall(r"[-+*]", expression[1]))
    if request.sampling.temperature == 0 or rng.random() < 1 / (1 + 0.5 * hard):
        return f"It is \\boxed{{{right}}}."
    if rng.random() < 0.1:
        return "I do not know"
    return f"It is \\boxed{{{right + rng.choice([-1, 1, 2, 10])}}}." + "x" * rng.randrange(9)


def _number(variable: str) -> int | None:
    return int(os.environ[variable]) if variable in os.environ else None


@dataclass(frozen=True)
class Arithmetic(Engine):
    """The script above, as an engine that a suite can name.

    Environment variables, which are no part of the suite, make it misbehave:
    SCRIPTED_DIE_AFTER kills this very process at that request (as kill -9 does),
    SCRIPTED_INTERRUPT_AFTER presses Ctrl-C there (or sends the signal SCRIPTED_SIGNAL, and once
    more while it is closed with SCRIPTED_TWICE), and SCRIPTED_FAIL_AT makes requests fail
    whose seed it divides. SCRIPTED_REVISION is the revision that it says it is of.
    """

    model: str = "scripted"
    max_model_len: int = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inner", ScriptedEngine(solve, max_model_len=self.max_model_len))
        object.__setattr__(self, "_count", [0])

    def settings_key(self) -> str:
        return "arithmetic"

    async def start(self) -> EngineInfo:
        info = await self._inner.start()
        return replace(info, revision=os.environ.get("SCRIPTED_REVISION", ""))

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    async def close(self) -> None:
        if "SCRIPTED_TWICE" in os.environ:
            os.kill(os.getpid(), signal.Signals[os.environ["SCRIPTED_SIGNAL"]])
            await asyncio.sleep(60)

    async def generate(self, request: Request) -> Completion:
        self._count[0] += 1
        if self._count[0] == _number("SCRIPTED_DIE_AFTER"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._count[0] == _number("SCRIPTED_INTERRUPT_AFTER"):
            os.kill(os.getpid(), signal.Signals[os.environ.get("SCRIPTED_SIGNAL", "SIGINT")])
            await asyncio.sleep(60)
        divisor = _number("SCRIPTED_FAIL_AT")
        if divisor and request.seed % divisor == 0:
            raise RuntimeError("scripted failure")
        return await self._inner.generate(request)


def reason(prompt: str, request: Request) -> str:
    """Up to two steps, and then what `solve` says."""
    rng = random.Random(request.seed)
    if prompt.count("so far") < 2 and rng.random() < 0.7:
        return f"so far {rng.randrange(9)}\n\n"
    return solve(prompt, request)


@dataclass(frozen=True)
class Stepwise(Arithmetic):
    """The same in steps, of which each says something."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_inner", ScriptedEngine(reason, max_model_len=self.max_model_len))

    def settings_key(self) -> str:
        return "stepwise"
