"""The port of tokenizers: text to token ids, and back."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from tts_bench.answers.thinking import opens_thinking
from tts_bench.engine.reopen import Reopened, reopen
from tts_bench.errors import ModelError, ReplayMiss

TAIL_TOKENS = 8
"""Tokens of the prompt that decide how the first generated ones are spelt, and that hold a mark."""
_SAID = "§"
"""Stands for an assistant's turn if only what the template writes after one is wanted."""


class Tokenizer(abc.ABC):
    """Text to token ids and back, as one model spells it; to be used from one thread.

    Subclasses give `encode`, `encode_chat` and `decode`; all else follows from these.
    """

    @abc.abstractmethod
    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Token ids of plain text; `add_special_tokens` adds those that open a text."""

    @abc.abstractmethod
    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """Token ids of a chat up to the place at which the assistant's turn begins.

        Raises ModelError if there is no chat template, or if it refuses these messages.
        """

    @abc.abstractmethod
    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        """The text of token ids as it stands; without special tokens, unless asked for."""

    def added_text(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], special_tokens: bool = False
    ) -> str:
        """What `token_ids` add to the text of the prompt.

        Decoded together with the prompt's tail: some tokenizers drop a leading space at the
        start of a text, and a character may be cut in two by the prompt's end.
        """
        tail = tuple(prompt_ids[-TAIL_TOKENS:])
        before = self.decode(tail, special_tokens)
        after = self.decode((*tail, *token_ids), special_tokens)
        return after[added_from(before, after) :]

    def opens_thinking(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt ends with a mark that opens a thinking, as some chat templates do.

        In a replay of what was recorded before this was asked, it does not.
        """
        try:
            end = self.decode(tuple(prompt_ids[-TAIL_TOKENS:]), special_tokens=True)
        except ReplayMiss:
            return False
        return opens_thinking(end)

    def encode_turn(self, text: str, template_kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        """Token ids that end the assistant's turn, say `text` as the user, and hand over again.

        They continue a candidate's exact tokens: the turns before are never rendered again.
        Raises ModelError if there is no template, or if it does not show a turn as it stands.
        """
        roles = ("user", "assistant", "user")
        chat = [
            {"role": role, "content": content}
            for role, content in zip(roles, ("?", _SAID, text), strict=True)
        ]
        ids, said = self.encode_chat(chat, template_kwargs), self.encode(_SAID)
        places = range(len(ids) - len(said) + 1)
        found = [at for at in places if ids[at : at + len(said)] == said]
        if not found:
            raise ModelError("the chat template does not show an assistant's turn as it stands")
        return ids[found[0] + len(said) :]

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """Take back what ended a completion of the prompt, to go on from there.

        That is the last of the `markers`, which are its stop strings; or, if not `whole`, the
        beginning of one that was cut off; or, without markers, its last token, which ended the
        turn. All other text stays.
        """
        if not markers:
            kept = token_ids[:-1]
            return Reopened(len(kept), len(self.added_text(prompt_ids, kept)))
        return reopen(
            token_ids,
            markers,
            whole,
            show=lambda ids: self.added_text(prompt_ids, ids, special_tokens=True),
            plain=lambda ids: self.added_text(prompt_ids, ids),
            encode=self.encode,
        )


def added_from(before: str, after: str) -> int:
    """Where what was added begins in `after`, the text of `before`'s tokens and of more.

    That may lie within `before`: a character that it ends with may have been cut in two.
    """
    pairs = zip(before, after, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
