"""Text to token ids and back, with a tokenizer of transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts_bench.engine import reopen as reopening
from tts_bench.engine.reopen import Reopened
from tts_bench.errors import ModelError

TAIL_TOKENS = 8
"""Tokens of the prompt that decide how the first generated ones are spelt."""


def encode(tokenizer: Any, text: str, add_special_tokens: bool) -> tuple[int, ...]:
    """Token ids of plain text; `add_special_tokens` as the tokenizer does at a beginning."""
    encoded = tokenizer(text, add_special_tokens=add_special_tokens, verbose=False)
    return tuple(encoded["input_ids"])


def encode_chat(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
) -> tuple[int, ...]:
    """Token ids of a chat up to where the assistant's turn begins.

    Raises ModelError where there is no chat template, or where it refuses these messages.
    """
    if not tokenizer.chat_template:
        raise ModelError(
            f"{tokenizer.name_or_path} has no chat template: set prompt.chat: false in the suite"
        )
    try:
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            **template_kwargs,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
    except Exception as error:  # whatever a template raises: it is code from the model's author
        raise ModelError(
            f"the chat template of {tokenizer.name_or_path} failed: {error}"
        ) from error
    return tuple(ids)


def added_text(
    tokenizer: Any,
    prompt_ids: Sequence[int],
    token_ids: Sequence[int],
    special: bool = False,
) -> str:
    """What `token_ids` add to the text of the prompt; without special tokens, unless asked for.

    Decoded together with the prompt's tail: some tokenizers drop a leading space at the start
    of a text, and a character may be cut in two by the prompt's end.
    """
    tail = list(prompt_ids[-TAIL_TOKENS:])
    before = decode(tokenizer, tail, special)
    after = decode(tokenizer, [*tail, *token_ids], special)
    return after[added_from(before, after) :]


def added_from(before: str, after: str) -> int:
    """Where what was added begins in `after`, the text of `before`'s tokens and of more.

    That may lie within `before`: a character that it ends with may have been cut in two.
    """
    pairs = zip(before, after, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))


def decode(tokenizer: Any, token_ids: Sequence[int], special: bool = False) -> str:
    """The text of token ids as it stands; without special tokens, unless they are asked for."""
    text: str = tokenizer.decode(
        list(token_ids), skip_special_tokens=not special, clean_up_tokenization_spaces=False
    )
    return text


def reopen(
    tokenizer: Any,
    prompt_ids: tuple[int, ...],
    token_ids: tuple[int, ...],
    markers: tuple[str, ...],
    whole: bool,
) -> Reopened:
    """Take back the marker that ended a completion, or its end-of-turn token (see `Engine`)."""
    if not markers:
        kept = token_ids[:-1]
        return Reopened(len(kept), len(added_text(tokenizer, prompt_ids, kept)))
    return reopening.reopen(
        token_ids,
        markers,
        whole,
        show=lambda ids: added_text(tokenizer, prompt_ids, ids, special=True),
        plain=lambda ids: added_text(tokenizer, prompt_ids, ids),
        encode=lambda text: encode(tokenizer, text, add_special_tokens=False),
    )


def names_special(tokenizer: Any, strings: Sequence[str]) -> bool:
    """Whether any of the strings holds a special token, which the text of a solution leaves out.

    Markers of a thinking format may be such tokens; they are then looked for among them.
    """
    added = tokenizer.added_tokens_decoder.values()
    return any(token.special and token.content in one for token in added for one in strings)


def end_ids(tokenizer: Any, *configs: Any) -> frozenset[int]:
    """Every id that ends a turn, by the tokenizer and the model's configurations together."""
    found = [tokenizer.eos_token_id, *(getattr(c, "eos_token_id", None) for c in configs)]
    ids: set[int] = set()
    for value in found:
        ids.update(value if isinstance(value, list | tuple) else [value])
    return frozenset(int(value) for value in ids - {None})


@dataclass(frozen=True, slots=True)
class StopStrings:
    """Looks for stop strings at the end of a text that grows token by token."""

    tokenizer: Any
    strings: tuple[str, ...]
    special: bool = False
    """Whether special tokens are part of the text that is looked at (see `names_special`)."""

    def found(self, token_ids: Sequence[int]) -> str | None:
        """The stop string that the last token completed; the one that ends first, of several.

        Only the tail is decoded: every token holds at least one byte of what it completes, and
        a few more tokens keep what is cut at the tail's start away from the match.
        """
        if not self.strings:
            return None
        longest = max(len(stop.encode()) for stop in self.strings)
        tail = decode(self.tokenizer, token_ids[-(longest + TAIL_TOKENS) :], self.special)
        ends = [(tail.index(s) + len(s), s) for s in self.strings if s in tail]
        return min(ends)[1] if ends else None
