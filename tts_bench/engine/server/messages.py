"""A chat as ids and back, without loss: for endpoints that take messages and give text.

An id is a Unicode code point; a few beyond them mark where a speaker's turn begins and where
thinking does. They are no tokens of the model, whose number only the endpoint knows.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tts_bench.engine.reopen import Reopened
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError, ModelError, NotGiven

_ROLES = ("system", "user", "assistant")
_FIRST = sys.maxunicode + 1
_TURN = {role: _FIRST + i for i, role in enumerate(_ROLES)}
_SPEAKER = {mark: role for role, mark in _TURN.items()}
THINKING = _FIRST + len(_ROLES)
ANSWERING = THINKING + 1
_TEXT = {THINKING: "<think>\n", ANSWERING: "\n</think>\n\n"}
VOCABULARY = ANSWERING + 1
"""Ids from 0 on that mean something."""


class MessageTokenizer(Tokenizer):
    """Turns messages into ids from which `messages` makes the same messages again."""

    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Code points."""
        return tuple(map(ord, text))

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """Each turn after its speaker's mark, and the mark of the assistant's next one."""
        if template_kwargs:
            raise ModelError(
                "a chat endpoint applies its own template: leave template_kwargs out (vLLM takes"
                " them as engine.extra_body: {chat_template_kwargs: ...})"
            )
        ids: list[int] = []
        for message in messages:
            if message["role"] not in _TURN:
                raise ModelError(f"no chat endpoint knows a role {message['role']!r} here")
            ids += [_TURN[message["role"]], *map(ord, message["content"])]
        return (*ids, _TURN["assistant"])

    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        """The text; thinking stands between marks that answers are read after."""
        return "".join(_shown(one, special_tokens) for one in token_ids)

    def added_text(
        self, prompt_ids: Sequence[int], token_ids: Sequence[int], special_tokens: bool = False
    ) -> str:
        """The text of `token_ids`: no id's text depends on those before it."""
        return self.decode(token_ids, special_tokens)

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """Take the marker back; the end of a turn is no id here."""
        if not markers:
            return Reopened(len(token_ids), len(self.decode(token_ids)))
        return super().reopen(prompt_ids, token_ids, markers, whole)


def written(thinking: str, text: str) -> tuple[int, ...]:
    """Ids of what a model thought and then wrote."""
    ids = tuple(map(ord, text))
    if not thinking:
        return ids
    thought = (THINKING, *map(ord, thinking))
    return (*thought, ANSWERING, *ids) if text else thought


def messages(ids: Sequence[int]) -> list[dict[str, str]]:
    """The messages of a chat whose next turn is the assistant's, without what was thought.

    Raises NotGiven for ids that go on within a turn, and EngineError for what is no chat.
    """
    if not ids or not all(0 <= one < VOCABULARY for one in ids):
        raise EngineError("the prompt is no chat: it is empty, or has ids that mean nothing")
    turns: list[tuple[str, list[int]]] = []
    for one in ids:
        if one in _SPEAKER:
            turns.append((_SPEAKER[one], []))
        elif not turns:
            raise NotGiven("a chat endpoint takes messages: it needs prompt.chat: true")
        else:
            turns[-1][1].append(one)
    if turns[-1] != ("assistant", []):
        raise NotGiven(
            "it goes on from the exact tokens of a text, and a chat endpoint takes messages and"
            " begins every turn anew (`extend` needs a `reply` there)"
        )
    return [{"role": role, "content": _said(turn)} for role, turn in turns[:-1]]


def _said(turn: Sequence[int]) -> str:
    """A turn's text after its thinking, which endpoints do not want back."""
    if THINKING in turn:
        turn = turn[turn.index(ANSWERING) + 1 :] if ANSWERING in turn else ()
    return "".join(map(chr, turn))


def _shown(one: int, special: bool) -> str:
    if one in _SPEAKER:
        return f"<|{_SPEAKER[one]}|>" if special else ""
    return _TEXT.get(one) or chr(one)
