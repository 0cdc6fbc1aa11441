"""A policy that adds up numbers step by step, for tests of step labels.

The problem `Add up 3 5 2 7.` is solved as `3 + 5 = 8`, `8 + 2 = 10`, `10 + 7 = 17`, `\\boxed{17}`,
a blank line behind each. From any prefix the policy goes on with the value that stands there, so
without slips a prefix reaches the right answer exactly if it is right.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
from dataclasses import dataclass

from tts_bench import Completion, Engine, EngineInfo, Request, ScriptedEngine, Tokenizer
from tts_bench.cost.flops import ModelShape

SHAPE = ModelShape(layers=1, hidden=4, heads=1, kv_heads=1, head_dim=4, intermediate=8, vocab=300)
STEP = re.compile(r"-?\d+ \+ \d+ = (-?\d+)\n\n")


def add_up(numbers: list[int], mistakes: dict[int, int] | None = None) -> list[str]:
    """The steps of a solution; `mistakes` adds to the result of a step."""
    value, steps = numbers[0], []
    for i, number in enumerate(numbers[1:]):
        total = value + number + (mistakes or {}).get(i, 0)
        steps.append(f"{value} + {number} = {total}\n\n")
        value = total
    return [*steps, f"\\boxed{{{value}}}"]


def note(path: str, seed: int) -> None:
    with open(path, "a") as log:
        log.write(f"{seed}\n")


@dataclass(frozen=True)
class Adder(Engine):
    """The policy; `slip` is the rate of wrong sums, `luck` that of right answers from nowhere.

    ADDER_LOG names a file that gets a line for each request. At request ADDER_DIE_AFTER this
    process dies, as of kill -9; at ADDER_TERM_AFTER it is told to stop, as by a scheduler; and
    requests whose seed ADDER_FAIL_AT divides fail.
    """

    model: str = "adder"
    slip: float = 0.0
    luck: float = 0.0
    max_model_len: int = 4096

    def __post_init__(self) -> None:
        object.__setattr__(self, "_inner", ScriptedEngine(self._write, SHAPE, self.max_model_len))
        object.__setattr__(self, "_count", [0])

    def _write(self, prompt: str, request: Request) -> str:
        rng = random.Random(request.seed)
        numbers = [int(n) for n in re.findall(r"\d+", prompt.split(".")[0])]
        values = [int(value) for value in STEP.findall(prompt)]
        if rng.random() < self.luck:
            return f"\\boxed{{{sum(numbers)}}}"
        rest = [values[-1] if values else numbers[0], *numbers[len(values) + 1 :]]
        slips = {i: 1 for i in range(len(rest) - 1) if rng.random() < self.slip}
        return "".join(add_up(rest, slips))

    def settings_key(self) -> str:
        return f"adder {self.slip} {self.luck}"

    async def start(self) -> EngineInfo:
        return await self._inner.start()

    @property
    def tokenizer(self) -> Tokenizer:
        return self._inner.tokenizer

    async def close(self) -> None:
        pass

    async def generate(self, request: Request) -> Completion:
        self._count[0] += 1
        if self._count[0] == int(os.environ.get("ADDER_DIE_AFTER", "0")):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._count[0] == int(os.environ.get("ADDER_TERM_AFTER", "0")):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        if "ADDER_LOG" in os.environ:
            note(os.environ["ADDER_LOG"], request.seed)
        divisor = int(os.environ.get("ADDER_FAIL_AT", "0"))
        if divisor and request.seed % divisor == 0:
            raise RuntimeError("scripted failure")
        return await self._inner.generate(request)


class JudgeOfSums(Adder):
    """Reads the numbered steps that a judge is shown, and names the first whose sum is wrong."""

    def _write(self, prompt: str, request: Request) -> str:
        rng = random.Random(request.seed)
        shown = prompt.split("Solution:")[1]
        steps = re.findall(r"\[(\d+)\] (-?\d+) \+ (\d+) = (-?\d+)", shown)
        wrong = [n for n, a, b, c in steps if int(a) + int(b) != int(c)]
        if rng.random() < self.slip:
            return "I cannot tell."
        if rng.random() < self.luck:
            return "First wrong step: 99"
        return f"I redid every sum.\nFirst wrong step: {wrong[0] if wrong else 'none'}"
