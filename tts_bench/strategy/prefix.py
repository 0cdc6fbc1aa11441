"""Where a draw begins: all that stands before the tokens that are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tts_bench.engine.base import Completion
from tts_bench.engine.tokenizer import TAIL_TOKENS, Tokenizer, added_from
from tts_bench.types import CUT, Candidate


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prompt and the solution so far: what of a candidate stays, and what was put after it."""

    prompt_ids: tuple[int, ...]
    parent: Candidate | None = None
    token_ids: tuple[int, ...] = ()
    text: str = ""
    turn: int = 0
    """Where in `text` the policy's present turn begins: answers of earlier turns are not its."""

    @classmethod
    def after(cls, parent: Candidate, turn: int) -> Prefix:
        """After a candidate, whose present turn begins at that character of its text."""
        return cls(parent.prompt_ids, parent, parent.token_ids, parent.text, turn)

    def without_end(self, tokenizer: Tokenizer, stops: tuple[str, ...]) -> Prefix:
        """Without what ended the candidate: its stop string or the end of its turn.

        `stops` are the strings that it was to stop at: of a candidate that was cut off while it
        wrote one, the written part goes. Other text never goes.
        """
        parent = self.parent
        if parent is None or (parent.finish_reason == "length" and not stops):
            return self
        whole = parent.finish_reason == "stop"
        if whole:
            stops = () if parent.stop is None else (parent.stop,)
        left = tokenizer.reopen(self.prompt_ids, self.token_ids, stops, whole)
        return replace(
            self,
            token_ids=self.token_ids[: left.tokens] + left.rest_ids,
            text=self.text[: left.characters] + left.rest,
        )

    def then(self, token_ids: tuple[int, ...], text: str) -> Prefix:
        """With more put after it."""
        return replace(self, token_ids=self.token_ids + token_ids, text=self.text + text)

    def text_with(self, done: Completion, tokenizer: Tokenizer) -> str:
        """The text of the solution so far and of what was drawn after it.

        A draw that was cut within a character ends with a mark for it, which the tokens after
        it may complete: what these add holds the whole character then, and the mark goes.
        """
        if not self.text.endswith(CUT):
            return self.text + done.text
        tail = (self.prompt_ids + self.token_ids)[-TAIL_TOKENS:]
        before = tokenizer.decode(tail)
        lost = len(before) - added_from(before, tokenizer.decode(tail + done.token_ids))
        return self.text[: max(0, len(self.text) - lost)] + done.text

    def next_turn(self, token_ids: tuple[int, ...], text: str) -> Prefix:
        """With another speaker's turn put after it, and a new one of the policy's begun."""
        prefix = self.then(token_ids, text)
        return replace(prefix, turn=len(prefix.text))
