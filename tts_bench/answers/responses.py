"""Grading of responses that are whole solutions or bare answers: the core of `tts-bench grade`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tts_bench.answers.extract import extract, stated, what_is_said
from tts_bench.answers.grader import Grader
from tts_bench.answers.kinds import MATH
from tts_bench.answers.prose import is_prose
from tts_bench.stats.quantiles import wilson

_BARE_LENGTH = 200
_BARE_WORDS = 3


@dataclass(frozen=True, slots=True)
class GradedAnswer:
    """What was found in one response, and whether it equals the reference.

    `correct` is False where there is no answer and where grading timed out.
    """

    extracted: str | None
    correct: bool
    timed_out: bool


class Response(NamedTuple):
    """A response, and the right answer that it is graded by."""

    reference: str
    text: str | None
    """None if there is no response."""
    cut_off: bool = False
    problem: str = ""
    """The problem's text, for kinds of answers that need it."""


async def grade_responses(responses: Sequence[Response], grader: Grader) -> list[GradedAnswer]:
    """One verdict for each response, in order."""
    return list(await asyncio.gather(*(_grade(one, grader) for one in responses)))


async def _grade(response: Response, grader: Grader) -> GradedAnswer:
    answer = None
    if response.text is not None:
        if response.cut_off or grader.kind != MATH:
            answer = grader.kind.find(response.text, cut_off=response.cut_off)
        else:
            answer = find_answer(response.text)
    [correct] = await grader.grade(response.reference, [answer], response.problem)
    return GradedAnswer(answer, correct=correct is True, timed_out=correct is None)


def find_answer(response: str) -> str | None:
    """The answer in a response that may be a whole solution or nothing but an answer.

    An announced answer (a box, "the answer is", `####`) is taken. Without one, a single line of
    at most 200 characters and three words outside LaTeX is an answer itself, such as
    `18 eggs` or `Evelyn`. Anything else is a solution, and searched as `extract` does.
    """
    text = what_is_said(response).strip()
    if not text:
        return None
    if found := stated(text):
        return found
    is_line = "\n" not in text and len(text) <= _BARE_LENGTH
    # A box that is no answer was cut off.
    if not is_line or "\\boxed" in text:
        return extract(text)
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\\text\{[^{}]*\}|\\[A-Za-z]+", " ", text))
    if len(words) > _BARE_WORDS:
        return extract(text)
    return (extract(text) or text) if is_prose(text) else text


def summary(verdicts: Sequence[GradedAnswer]) -> dict[str, int | float | tuple[float, float]]:
    """Counts and accuracy with its Wilson 95 % interval.

    No answer and a timeout count as wrong. Raises ValueError where there is no verdict.
    """
    if not verdicts:
        raise ValueError("no verdicts to sum up")
    correct = sum(verdict.correct for verdict in verdicts)
    return {
        "n": len(verdicts),
        "correct": correct,
        "accuracy": correct / len(verdicts),
        "accuracy_ci95": wilson(correct / len(verdicts), len(verdicts)),
        "no_answer": sum(verdict.extracted is None for verdict in verdicts),
        "timed_out": sum(verdict.timed_out for verdict in verdicts),
    }
