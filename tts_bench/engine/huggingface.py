"""The tokenizer of every engine whose model comes with a Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import ModelError


class HuggingFaceTokenizer(Tokenizer):
    """A tokenizer of transformers behind the port."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._named: dict[tuple[str, ...], bool] = {}

    def __len__(self) -> int:
        """Number of tokens, added ones included."""
        return len(self._inner)

    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Token ids of plain text; `add_special_tokens` adds those that open a text."""
        encoded = self._inner(text, add_special_tokens=add_special_tokens, verbose=False)
        return tuple(encoded["input_ids"])

    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """Token ids of a chat up to the place at which the assistant's turn begins.

        Raises ModelError if there is no chat template, or if it refuses these messages.
        """
        name = self._inner.name_or_path
        if not self._inner.chat_template:
            raise ModelError(f"{name} has no chat template: set prompt.chat: false in the suite")
        try:
            ids = self._inner.apply_chat_template(
                [dict(message) for message in messages],
                **template_kwargs,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
            )
        except Exception as error:  # whatever a template raises: it is code of the model's author
            raise ModelError(f"the chat template of {name} failed: {error}") from error
        return tuple(ids)

    def decode(self, token_ids: Sequence[int], special_tokens: bool = False) -> str:
        """The text of token ids as it stands; without special tokens, unless asked for."""
        text: str = self._inner.decode(
            list(token_ids),
            skip_special_tokens=not special_tokens,
            clean_up_tokenization_spaces=False,
        )
        return text

    def names_special(self, strings: Sequence[str]) -> bool:
        """Whether any of the strings holds a special token, which a solution's text leaves out.

        Markers of a thinking format may be such tokens; they are then looked for among them.
        """
        key = tuple(strings)
        if key not in self._named:  # every request of a search asks
            self._named[key] = any(token in one for token in self._special for one in key)
        return self._named[key]

    def end_ids(self, *configs: Any) -> frozenset[int]:
        """Every id that ends a turn, by the tokenizer and the model's configurations together."""
        found = [self._inner.eos_token_id, *(getattr(c, "eos_token_id", None) for c in configs)]
        ids: set[int] = set()
        for value in found:
            ids.update(value if isinstance(value, list | tuple) else [value])
        return frozenset(int(value) for value in ids - {None})

    @cached_property
    def _special(self) -> tuple[str, ...]:
        added = self._inner.added_tokens_decoder.values()
        return tuple(token.content for token in added if token.special)
