"""From a problem and the steps of a solution to the token ids that a reward model reads."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import chain
from typing import Any

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.errors import ModelError, VerifierError
from tts_bench.verifier.backend import Reading
from tts_bench.verifier.formats import PROBLEM, STEP, Format, OutcomeFormat

REMEMBERED = 1 << 14
"""Pieces whose token ids are kept: a search sends every step again with each that follows."""


class Renderer:
    """Renders in one format with one tokenizer; to be used from one thread.

    The text ends at the last position that is read: nothing after it can change a causal
    model's numbers there. What was rendered for a prefix of the steps is a prefix again, but
    for a last piece that goes on.
    """

    def __init__(self, form: Format, tokenizer: Any, delimiter: str) -> None:
        """Raises ModelError if the tokenizer lacks the template or a token of the format."""
        self._form, self._tokenizer, self._delimiter = form, tokenizer, delimiter
        self._encoder = HuggingFaceTokenizer(tokenizer)
        self._pieces = functools.lru_cache(REMEMBERED)(self._encode)
        self._prompts = functools.lru_cache(REMEMBERED)(self._encode_prompt)
        self._answered = functools.lru_cache(REMEMBERED)(self._encode_turns)
        self._marker = self._marker_ids()
        self._prompts("")  # a template that is missing or broken fails at the start

    def render(self, problem: str, steps: Sequence[str]) -> Reading:
        """The text of these steps, read once for each of them. Raises VerifierError."""
        if self._form.layout == "turns":
            reading = self._turns(problem, steps)
        elif self._form.layout == "text":
            reading = self._text(problem, steps)
        else:
            reading = self._separate(problem, steps)
        if len(reading.positions) != len(steps):
            raise VerifierError(
                f"{len(reading.positions)} positions to read for {len(steps)} steps: does the"
                f" solution itself hold the marker {self._form.marker!r}?"
            )
        return reading

    def prompt_length(self, problem: str) -> int:
        """Tokens before the first step, where steps are encoded by themselves."""
        return len(self._prompts(problem))

    def token(self, text: str) -> int:
        """Id of a token of the format. Raises ModelError if the tokenizer has none."""
        ids = self._encode(text)
        shown = self._tokenizer.decode(ids[-1:], clean_up_tokenization_spaces=False)
        if shown.lstrip(" ") != text:  # a sentencepiece token may hold the space before it
            raise ModelError(
                f"{self._tokenizer.name_or_path}: its tokenizer has no token {text!r}, which the"
                " format needs"
            )
        return ids[-1]

    def _marker_ids(self) -> tuple[int, ...]:
        if self._form.layout == "turns":
            return ()
        if self._form.marker is None:
            return self._encode(self._delimiter)
        return (self.token(self._form.marker),)

    def _encode(self, text: str) -> tuple[int, ...]:
        return self._encoder.encode(text)

    def _bare(self, step: str) -> str:
        """A step without the delimiters and blank lines around it."""
        return step.replace(self._delimiter, "").strip("\n")

    def _encode_prompt(self, problem: str) -> tuple[int, ...]:
        text = self._prompt_text(problem)
        if self._form.layout == "turns" or self._form.chat:
            return self._chat([{"role": "user", "content": text}])
        # A beginning of text that the format spells out is not to be added a second time.
        return self._encoder.encode(text, "{bos}" not in self._form.prompt)

    def _prompt_text(self, problem: str) -> str:
        bos = self._tokenizer.bos_token or ""
        return self._form.prompt.replace("{bos}", bos).replace(PROBLEM, problem)

    def _chat(self, messages: list[dict[str, str]]) -> tuple[int, ...]:
        return self._encoder.encode_chat(_with_system(messages, self._form.system), {})

    def _separate(self, problem: str, steps: Sequence[str]) -> Reading:
        """Layout `pieces`: each step and each marker encoded by itself."""
        parts, positions = [self._prompts(problem)], []
        end = len(parts[0])
        for index, step in enumerate(steps):
            ids = self._pieces(self._form.step.replace(STEP, self._bare(step)))
            is_open = index == len(steps) - 1 and not step.endswith(self._delimiter)
            if self._form.close_last or not is_open:
                ids += self._marker
            parts.append(ids)
            end += len(ids)
            positions.append(end - 1)
        return Reading(tuple(chain.from_iterable(parts)), tuple(positions))

    def _text(self, problem: str, steps: Sequence[str]) -> Reading:
        """Layout `text`: one string, read wherever the marker's token stands in the solution."""
        written = (self._form.step.replace(STEP, self._bare(step)) for step in steps)
        text = self._prompt_text(problem) + "".join(written)
        ids = self._encoder.encode(text, add_special_tokens=True)
        # The problem's last token may merge with what follows, but no marker is part of that.
        first = len(self._prompts(problem)) - 1
        positions = [i for i in range(first, len(ids)) if ids[i] == self._marker[0]]
        return Reading(ids[: positions[-1] + 1] if positions else ids, tuple(positions))

    def _turns(self, problem: str, steps: Sequence[str]) -> Reading:
        """Layout `turns`: read where the model is about to answer each turn."""
        ids: tuple[int, ...] = ()
        positions = []
        for count in range(1, len(steps) + 1):
            longer = self._answered(problem, tuple(steps[:count]))
            if longer[: len(ids)] != ids:
                raise VerifierError("the chat template changes earlier turns when one is added")
            ids = longer
            positions.append(len(ids) - 1)
        return Reading(ids, tuple(positions))

    def _encode_turns(self, problem: str, steps: tuple[str, ...]) -> tuple[int, ...]:
        messages: list[dict[str, str]] = []
        for index, step in enumerate(steps):
            turn = self._form.step.replace(STEP, self._bare(step).strip())
            if index:
                messages.append({"role": "assistant", "content": self._form.right_token})
            else:
                turn = self._prompt_text(problem) + turn
            messages.append({"role": "user", "content": turn})
        return self._chat(messages)


class OutcomeRenderer:
    """Renders whole solutions for an outcome reward model; to be used from one thread."""

    def __init__(self, form: OutcomeFormat, tokenizer: Any) -> None:
        """Raises ModelError if the tokenizer lacks the template or the token of the format."""
        self._form, self._tokenizer = form, tokenizer
        self._encoder = HuggingFaceTokenizer(tokenizer)
        self._prompts = functools.lru_cache(REMEMBERED)(self._encode_prompt)
        self._prompts("")
        self._end = self._end_ids()

    def render(self, problem: str, solution: str) -> Reading:
        """Prompt and solution, read at the last token."""
        ids = self._prompts(problem) + self._encoder.encode(solution) + self._end
        return Reading(ids, (len(ids) - 1,))

    def _encode_prompt(self, problem: str) -> tuple[int, ...]:
        text = self._form.prompt.replace(PROBLEM, problem)
        if not self._form.chat:
            return self._encoder.encode(text, add_special_tokens=True)
        return self._encoder.encode_chat(self._messages(text), {})

    def _messages(self, text: str) -> list[dict[str, str]]:
        return _with_system([{"role": "user", "content": text}], self._form.system)

    def _end_ids(self) -> tuple[int, ...]:
        name = self._tokenizer.name_or_path
        if self._form.end == "text":
            return ()
        if self._form.end == "eos":
            if self._tokenizer.eos_token_id is None:
                raise ModelError(f"{name}: its tokenizer has no end-of-sequence token")
            return (self._tokenizer.eos_token_id,)
        probe = "0"
        messages = [*self._messages(probe), {"role": "assistant", "content": probe}]
        try:
            text: str = self._tokenizer.apply_chat_template(messages, tokenize=False)
        except Exception as error:  # whatever a template raises: it is code of the model's author
            raise ModelError(f"the chat template of {name} failed: {error}") from error
        return self._encoder.encode(text.rpartition(probe)[2])


def _with_system(messages: list[dict[str, str]], system: str | None) -> list[dict[str, str]]:
    return messages if system is None else [{"role": "system", "content": system}, *messages]
