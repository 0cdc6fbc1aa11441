"""From a problem to the token ids of its prompt; the chat template is applied here, once."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tts_bench.engine.tokenizer import Tokenizer
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
        """The user's turn, with an instruction as a paragraph of its own after it."""
        text = self.template.replace(PLACEHOLDER, problem.text)
        return f"{text}\n\n{instruction}" if instruction else text

    def encode(
        self, problem: Problem, tokenizer: Tokenizer, instruction: str = ""
    ) -> tuple[int, ...]:
        """Token ids of the whole prompt, up to where the model goes on."""
        text = self.text(problem, instruction)
        if self.chat:
            ids = tokenizer.encode_chat(self._messages(text), self.template_kwargs)
        else:
            # An instruction must not be taken for the beginning of what the model writes.
            ids = tokenizer.encode(f"{text}\n\n" if instruction else text, add_special_tokens=True)
        return ids + tokenizer.encode(self.prefill) if self.prefill else ids

    def dialogue(self, problem: Problem, tokenizer: Tokenizer) -> Dialogue:
        """The dialogue that this prompt opens about a problem."""
        return Dialogue(problem, self.encode(problem, tokenizer), self, tokenizer)

    def _messages(self, text: str) -> list[Mapping[str, str]]:
        user = {"role": "user", "content": text}
        if self.system is None:
            return [user]
        return [{"role": "system", "content": self.system}, user]


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What is said to the model about one problem: its prompt, and what may follow that."""

    problem: Problem
    prompt_ids: tuple[int, ...] = field(repr=False)
    """Token ids of the prompt, up to where the model goes on."""
    prompt: Prompt
    tokenizer: Tokenizer

    @property
    def opens_thinking(self) -> bool:
        """Whether the prompt has opened a thinking, as some chat templates do."""
        return self.tokenizer.opens_thinking(self.prompt_ids)

    def opening(self, instruction: str = "") -> tuple[int, ...]:
        """Token ids of the prompt, with an instruction after the problem if there is one."""
        if not instruction:
            return self.prompt_ids
        return self.prompt.encode(self.problem, self.tokenizer, instruction)

    def reply(self, text: str) -> tuple[int, ...]:
        """Token ids that end the model's turn, hold the user's next one and hand over again.

        Without a chat template, or if the template changes earlier turns in a way that leaves
        no such ids, the turn is a paragraph of plain text.
        """
        if self.prompt.chat:
            with contextlib.suppress(ModelError):
                return self.tokenizer.encode_turn(text, self.prompt.template_kwargs)
        return self.tokenizer.encode(f"\n\n{text}\n\n")
