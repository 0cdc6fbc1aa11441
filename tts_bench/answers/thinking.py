"""Where a reasoning model's thinking ends: what stands before is not its answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class ThinkingMarks:
    """The two texts between which a model thinks."""

    opening: str
    closing: str

    def __post_init__(self) -> None:
        if not (self.opening and self.closing) or self.opening == self.closing:
            raise ValueError("thinking needs an opening and a closing mark that differ")


KNOWN_MARKS: tuple[ThinkingMarks, ...] = (
    ThinkingMarks("<think>", "</think>"),
    ThinkingMarks("<thinking>", "</thinking>"),
    ThinkingMarks("<thought>", "</thought>"),
    ThinkingMarks("<seed:think>", "</seed:think>"),
    ThinkingMarks("[THINK]", "[/THINK]"),
    ThinkingMarks("<|begin_of_thought|>", "<|end_of_thought|>"),
    ThinkingMarks("◁think▷", "◁/think▷"),
    # Channels: thinking ends where the channel of the answer begins. A decoder that leaves out
    # special tokens leaves their names, run together.
    ThinkingMarks("<|channel|>analysis", "<|channel|>final<|message|>"),
    ThinkingMarks("<|channel|>commentary", "<|channel|>final<|message|>"),
    ThinkingMarks("assistantanalysis", "assistantfinal"),
)
"""Marks that published models write."""


def after_thinking(
    text: str, marks: Sequence[ThinkingMarks] = KNOWN_MARKS, *, opened: bool = False
) -> str | None:
    """What a text says after its last thinking; None if that was never closed.

    `opened` tells that the prompt has opened a thinking already. A text without any mark is
    all answer.
    """
    start = None if opened else 0
    # Most texts have no mark, and looking for each is quicker than for any.
    if any(pair.closing in text or pair.opening in text for pair in marks):
        closing = {pair.closing for pair in marks}
        for mark in _either(frozenset(closing | {pair.opening for pair in marks})).finditer(text):
            start = mark.end() if mark[0] in closing else None
    return None if start is None else text[start:]


@cache
def _either(marks: frozenset[str]) -> re.Pattern[str]:
    """Any of the marks; the longest first, for one may begin with another."""
    return re.compile("|".join(map(re.escape, sorted(marks, key=len, reverse=True))))


def opens_thinking(prompt: str, marks: Sequence[ThinkingMarks] = KNOWN_MARKS) -> bool:
    """Whether a prompt ends in an opening mark, as some chat templates do."""
    return prompt.rstrip().endswith(tuple(pair.opening for pair in marks))
