"""The tokenizer of the tiny models: arithmetic in few tokens, any other text byte by byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

PAD, END = "<|pad|>", "<|end|>"
SPECIAL = (PAD, END, "<|system|>", "<|user|>", "<|assistant|>")
THINKING = ("<think>", "</think>")
"""Tokens like the others, so that decoding keeps them and a strategy can look for them."""

PIECES = (" + ", " - ", " * ", " = ", "\n\n", "\\boxed{", "Compute ", "Wait", ", check: ")
"""Texts of one token each, as are the numbers below 100: every step is equally long."""

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tokenizer() -> Any:
    """A fast byte-level BPE tokenizer; whatever it encodes, it decodes to the same text.

    Its merges are not learnt but made: one chain of merges for each of PIECES and for
    each number of two digits.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    fast_tokenizer: Any = PreTrainedTokenizerFast  # not all of it is typed
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = _merges()
    tokens = [*alphabet, *dict.fromkeys(left + right for left, right in merges)]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    # Without its regular expression: pieces may hold spaces and line ends.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in THINKING])
    return fast_tokenizer(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[token for token in SPECIAL if token not in (PAD, END)],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def write_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into a folder, which is made if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    build_tokenizer().save_pretrained(folder)


def _merges() -> list[tuple[str, str]]:
    """Pairs to merge, in order: every piece grows from its left, one byte at a time."""
    from tokenizers import pre_tokenizers

    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    merges: dict[tuple[str, str], None] = {}
    for piece in (*PIECES, *map(str, range(10, 100))):
        spelt = spell.pre_tokenize_str(piece)[0][0]
        merges.update({(spelt[:i], spelt[i]): None for i in range(1, len(spelt))})
    return list(merges)
