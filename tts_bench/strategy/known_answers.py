"""Answers of texts that were read already: strategies that share a draw share what it says."""

from __future__ import annotations

from tts_bench.answers.kinds import AnswerKind
from tts_bench.engine.base import Completion

_MOST = 1 << 16


class KnownAnswers:
    """Reads answers as one kind has it, those of one stored completion once.

    Strategies at one problem follow each other, so what was read first is forgotten first.
    """

    def __init__(self, kind: AnswerKind, most: int = _MOST) -> None:
        self.kind = kind
        self._most = most
        self._known: dict[tuple[str, bool], str | None] = {}

    def of(self, done: Completion, thinking: bool) -> str | None:
        """The answer of a completion that is the whole text (see `AnswerKind.find`)."""
        if not done.key:
            return self.read(done.text, done, thinking)
        key = (done.key, thinking)
        if key not in self._known:
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = self.read(done.text, done, thinking)
        return self._known[key]

    def read(self, text: str, done: Completion, thinking: bool) -> str | None:
        """The answer of a text that a completion has ended; of one that was cut off, only a box.

        The last number of an unfinished calculation is nobody's answer, and "the answer is 1" may
        have been about to become 12.
        """
        return self.kind.find(text, cut_off=done.finish_reason == "length", thinking=thinking)
