"""From a problem to the token ids of its prompt; the chat template is applied here, once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tts_bench.engine.base import Engine
from tts_bench.errors import ModelError
from tts_bench.types import Problem

PLACEHOLDER = "{problem}"


@dataclass(frozen=True)
class Prompt:
    """How a problem is put to the model; the suite's `prompt:` block.

    `template` must hold `{problem}`, which is replaced literally (other braces, as LaTeX has
    them, are left alone).
    """

    template: str = PLACEHOLDER
    system: str | None = None
    chat: bool = True
    """Apply the model's chat template; False sends the text as it is (base models)."""
    prefill: str = ""
    """Text with which the model's answer is made to begin."""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Passed to the chat template, for example `enable_thinking: false`."""

    def __post_init__(self) -> None:
        if PLACEHOLDER not in self.template:
            raise ValueError(f"template must hold {PLACEHOLDER}")
        if self.system is not None and not self.chat:
            raise ValueError("system needs chat: true; put it into the template instead")

    def text(self, problem: Problem, instruction: str = "") -> str:
        """The user's turn, with an instruction as a paragraph of its own behind it."""
        text = self.template.replace(PLACEHOLDER, problem.text)
        return f"{text}\n\n{instruction}" if instruction else text

    def encode(self, problem: Problem, engine: Engine, instruction: str = "") -> tuple[int, ...]:
        """Token ids of the whole prompt, up to where the model goes on."""
        text = self.text(problem, instruction)
        if self.chat:
            ids = engine.encode_chat(self._messages(text), self.template_kwargs)
        else:
            # An instruction must not be taken for the beginning of what the model writes.
            ids = engine.encode(f"{text}\n\n" if instruction else text, add_special_tokens=True)
        return ids + engine.encode(self.prefill) if self.prefill else ids

    def encode_reply(self, text: str, engine: Engine) -> tuple[int, ...]:
        """Token ids of a further turn of the user's, from the end of the model's turn on.

        Without a chat template, and where the template changes earlier turns in a way that
        leaves no such ids, the turn is a paragraph of plain text.
        """
        if self.chat:
            with contextlib.suppress(ModelError):
                return engine.encode_turn(text, self.template_kwargs)
        return engine.encode(f"\n\n{text}\n\n")

    def _messages(self, text: str) -> list[Mapping[str, str]]:
        user = {"role": "user", "content": text}
        if self.system is None:
            return [user]
        return [{"role": "system", "content": self.system}, user]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What may be said to the model about one problem, besides the problem itself."""

    prompt: Prompt
    problem: Problem
    engine: Engine

    def opening(self, instruction: str) -> tuple[int, ...]:
        """Token ids of the problem's prompt with an instruction behind the problem."""
        return self.prompt.encode(self.problem, self.engine, instruction)

    def reply(self, text: str) -> tuple[int, ...]:
        """Token ids that end the model's turn, hold the user's next one and hand over again."""
        return self.prompt.encode_reply(text, self.engine)
