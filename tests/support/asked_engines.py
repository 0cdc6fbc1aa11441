"""Engines for tests of verifiers that ask one: what is asked is noted, answers are scripted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.scripted import ScriptedEngine

Answer = Callable[[str, Request], "str | Completion"]


@dataclass
class Notes:
    """What an engine was asked, in order."""

    requests: list[Request] = field(default_factory=list)
    prompts: list[str] = field(default_factory=list)


def noting(answer: Answer, **fields: object) -> tuple[ScriptedEngine, Notes]:
    """A scripted engine (a token is a character) and its notes."""
    notes = Notes()

    def script(prompt: str, request: Request) -> str | Completion:
        notes.requests.append(request)
        notes.prompts.append(prompt)
        return answer(prompt, request)

    return ScriptedEngine(script, **fields), notes  # type: ignore[arg-type]


def decided(*probabilities: float, cached: int = 0) -> Completion:
    """One token, with these probabilities of the tokens that were asked about."""
    logprobs = tuple(map(math.log, probabilities))
    return Completion((63,), "?", -1.0, "length", None, cached, "", logprobs)


@dataclass(frozen=True)
class ModelOnPaper(ScriptedEngine):
    """A scripted engine that names a model: its folder needs a tokenizer and no more."""

    model: str = ""
