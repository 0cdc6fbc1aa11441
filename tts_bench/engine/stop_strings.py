"""Looks for the strings at which a text is to stop, while it grows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench.engine.tokenizer import TAIL_TOKENS, Tokenizer


@dataclass(frozen=True, slots=True)
class StopStrings:
    """Looks for stop strings at the end of a text that grows token by token."""

    tokenizer: Tokenizer
    strings: tuple[str, ...]
    special: bool = False
    """Whether special tokens are part of the text that is looked at."""

    def found(self, token_ids: Sequence[int]) -> str | None:
        """The stop string that the last token completed; the one that ends first, of several.

        Only the tail is decoded: every token holds at least one byte of what it completes, and
        a few more tokens keep what is cut at the tail's start away from the match.
        """
        if not self.strings:
            return None
        longest = max(len(stop.encode()) for stop in self.strings)
        tail = self.tokenizer.decode(token_ids[-(longest + TAIL_TOKENS) :], self.special)
        ends = [(tail.index(s) + len(s), s) for s in self.strings if s in tail]
        return min(ends)[1] if ends else None
