"""A tokenizer whose answers are kept, so that a replay needs no model's files."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from tts_bench.engine.reopen import Reopened
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import ReplayMiss


class RememberedTokenizer(Tokenizer):
    """Answers from what is known, else asks the inner tokenizer; without one it is an error."""

    def __init__(self, inner: Tokenizer | None, known: Mapping[str, Any]) -> None:
        self._inner = inner
        self._known = dict(known)
        self._new: dict[str, Any] = {}

    def take_new(self) -> dict[str, Any]:
        """Texts and ids that were new since the last call, as JSON can hold them."""
        new, self._new = self._new, {}
        return new

    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """As the inner tokenizer. Raises ReplayMiss if that is absent and this is not known."""
        key = json.dumps(["text", text, add_special_tokens])
        return tuple(self._remember(key, lambda inner: inner.encode(text, add_special_tokens)))

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """As `encode`."""
        chat = [dict(message) for message in messages]
        key = json.dumps(["chat", chat, dict(template_kwargs)], sort_keys=True)
        ids = self._remember(key, lambda inner: inner.encode_chat(messages, template_kwargs))
        return tuple(ids)

    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        """As `encode`."""
        parts = ["decode", list(token_ids)]
        key = json.dumps([*parts, True] if special_tokens else parts)
        text: str = self._remember(key, lambda inner: inner.decode(token_ids, special_tokens))
        return text

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """As `encode`; kept under a digest of the ids, which would be long."""
        digest = hashlib.blake2b(ids_bytes(prompt_ids), digest_size=16)
        digest.update(ids_bytes(token_ids))
        key = json.dumps(["reopen", len(prompt_ids), digest.hexdigest(), markers, whole])

        def ask(inner: Tokenizer) -> list[Any]:
            left = inner.reopen(prompt_ids, token_ids, markers, whole)
            return [left.tokens, left.characters, left.rest_ids, left.rest]

        tokens, characters, rest_ids, rest = self._remember(key, ask)
        return Reopened(tokens, characters, tuple(rest_ids), rest)

    def _remember(self, key: str, ask: Callable[[Tokenizer], Any]) -> Any:
        if key not in self._known:
            if self._inner is None:
                raise ReplayMiss(f"the tokens of {key:.60} were never recorded")
            self._known[key] = self._new[key] = ask(self._inner)
        return self._known[key]


@lru_cache(maxsize=1024)
def ids_bytes(ids: tuple[int, ...]) -> bytes:
    """Token ids as 64-bit integers, to be hashed."""
    return array("q", ids).tobytes()
