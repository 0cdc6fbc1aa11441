"""What of a recording counts: its answers and verdicts, or ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tts_bench.errors import UsageError

Whose = Literal["ours", "recorded"]
Verdicts = Literal["ours", "recorded", "both"]
"""`both`: ours count, and recorded ones are kept beside them."""
Equal = Literal["equivalent", "literal"]


@dataclass(frozen=True)
class Recording:
    """Which of a recording's columns are taken at their word. Raises UsageError."""

    answers: Whose = "ours"
    """`ours`: extracted from the texts."""
    verdicts: Verdicts = "both"
    equal: Equal | None = None
    """Which answers vote together: those of equal value, or those written alike; None: `literal`
    for recorded answers, else `equivalent`."""
    kind: str = "math"
    """The name of the kind of answers by which ours are found and graded."""
    no_answer: frozenset[str] = frozenset()
    """Recorded answers that say that there is none."""

    def __post_init__(self) -> None:
        if self.no_answer and self.answers == "ours":
            raise UsageError("--no-answer is for recorded answers: add --answers recorded")

    @property
    def literally(self) -> bool:
        """Whether answers vote together only if they are written alike."""
        return (self.equal or ("literal" if self.answers == "recorded" else "")) == "literal"

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
