"""A trace: one written solution, cut into the steps that are to be labelled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tts_bench.answers.extract import stated
from tts_bench.errors import UsageError
from tts_bench.steps import split_steps
from tts_bench.types import Problem


@dataclass(frozen=True, slots=True)
class Trace:
    """A solution's complete steps, and what is known of it.

    Joined, the steps are the solution's text, except that of a solution that was cut off the
    last piece is left out: it is no step yet, and there is no answer to judge it by.
    """

    problem: Problem
    reference: str | None
    """The reference answer; None if no labeller that needs one will see the trace."""
    steps: tuple[str, ...]
    cut_off: bool
    where: str
    """Where it was read, for messages."""

    @property
    def id(self) -> str:
        """Digest of problem and steps: the same trace in two files has the same id."""
        return trace_id(self.problem.id, self.steps)

    def prefix(self, steps: int) -> str:
        """The text of the first `steps` steps."""
        return "".join(self.steps[:steps])

    @property
    def unsettled(self) -> int:
        """Steps that the trace's own final answer does not settle: all but the last.

        Of a trace that was cut off, all: it has no final answer.
        """
        return len(self.steps) - (not self.cut_off)


def trace_id(problem_id: str, steps: Sequence[str]) -> str:
    """16 hex digits of the SHA-256 of a problem's id and the steps of a solution."""
    return hashlib.sha256(json.dumps([problem_id, *steps]).encode()).hexdigest()[:16]


def is_cut_off(text: str, delimiter: str, finish_reason: object) -> bool:
    """Whether a text ended before its solution did.

    So it did if it was cut off (`length`), and where it ends after a step without having
    announced an answer: a search leaves such texts when its budget is spent.
    """
    paused = text.endswith(delimiter) and stated(text) is None
    return finish_reason == "length" or paused


def complete_steps(text: str, delimiter: str, cut_off: bool) -> tuple[str, ...]:
    """The steps of a text; without the last piece where the text was cut off within it."""
    steps = split_steps(text, delimiter)
    if cut_off and steps and not steps[-1].endswith(delimiter):
        steps.pop()
    return tuple(steps)


class Distinct(NamedTuple):
    """Traces without repeats, and how many were left out for what reason."""

    traces: tuple[Trace, ...]
    copies: int
    empty: int
    """Traces without a single complete step."""


def distinct(traces: Iterable[Trace]) -> Distinct:
    """Keep one of each: sampling repeats itself, and a copy teaches and costs nothing new.

    Raises UsageError if nothing is left.
    """
    kept: dict[str, Trace] = {}
    copies = empty = 0
    for trace in traces:
        if not trace.steps:
            empty += 1
        elif kept.setdefault(trace.id, trace) is not trace:
            copies += 1
    if not kept:
        raise UsageError(f"no solution to label: {empty} solutions, none with a complete step")
    return Distinct(tuple(kept.values()), copies, empty)
