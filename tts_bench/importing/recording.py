"""What of a recording counts: its answers and verdicts, or ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tts_bench.errors import UsageError

Whose = Literal["ours", "recorded"]
Verdicts = Literal["ours", "recorded", "both"]
"""`both`: ours count, and recorded ones are kept beside them."""
Sameness = Literal["ours", "text"]


@dataclass(frozen=True)
class Recording:
    """Which of a recording's columns are taken at their word. Raises UsageError."""

    answers: Whose = "ours"
    """`ours`: extracted from the texts."""
    verdicts: Verdicts = "both"
    same: Sameness | None = None
    """Which answers vote together: equal ones, or those of the same text; None: by `answers`."""
    no_answer: frozenset[str] = frozenset()
    """Recorded answers that say that there is none."""

    def __post_init__(self) -> None:
        if self.no_answer and self.answers == "ours":
            raise UsageError("--no-answer is for recorded answers: add --answers recorded")

    @property
    def by_text(self) -> bool:
        """Whether answers vote together only if they are the same text."""
        return (self.same or ("text" if self.answers == "recorded" else "ours")) == "text"

    @property
    def graded(self) -> bool:
        """Whether answers are compared with the reference here."""
        return self.verdicts != "recorded"

    @property
    def verdicts_kept(self) -> bool:
        """Whether recorded verdicts are read."""
        return self.verdicts != "ours"


AS_OURS = Recording()
"""Answers and verdicts of ours; recorded verdicts are kept beside them."""
