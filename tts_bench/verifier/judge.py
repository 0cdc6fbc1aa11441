"""A model as a judge: it reads a solution against a rubric and writes a grade."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench.answers.thinking import after_thinking
from tts_bench.concurrency.in_flight import in_flight
from tts_bench.engine.base import Request
from tts_bench.errors import VerifierError
from tts_bench.types import Candidate, FinishReason, NoneOrMore, Problem, Sampling, Score
from tts_bench.verifier.asking import ChatVerifier, charge, draw_seed, fill
from tts_bench.verifier.base import Scoring

PROMPT = """Grade a solution of a problem in mathematics on a scale from {low} to {high}.

{high} means: the final answer is right, and every step that leads to it holds.
The middle of the scale means: the approach is sound, but a step has a slip or a gap.
{low} means: the final answer is wrong or missing, or the approach does not lead to it.

Problem:
{problem}

Solution:
{solution}

Work the problem out yourself first, then compare. Close with a line of its own that holds only \
"Grade: " and the number."""
RETRY_TEMPERATURE = 0.7
"""Lowest temperature of a retry: another seed changes nothing if drawing is greedy."""
_SCALE = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*-\s*(-?\d+(?:\.\d+)?)\s*")
_MARKUP = re.compile(r"\\boxed|[*_`\"$\[\]{}]")
_GRADE = re.compile(
    r"\b(?:grade|score|rating)\s*(?::|=|\bis\b|\bof\b)\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE
)
_OUT_OF = re.compile(r"\s*(?:/|out\s+of\b)\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
_GOES_ON = re.compile(r"\w|[.,]\d|\s*%|\s*(?:[-–—/]|(?:to|or)\b)\s*\d", re.IGNORECASE)
"""A number that is not the whole grade: "1e3", "7,5", "70 %", "1-10", "7 or 8"."""


@dataclass(frozen=True)
class JudgeVerifier(ChatVerifier):
    """Asks a model for a grade on a scale, which becomes a score in [0, 1].

    The lowest grade of the scale is 0, the highest 1. A text without a grade that can be read
    is drawn again, up to `retries` times with other seeds and at a temperature of 0.7 or more.
    Where none has one, the score is `unreadable`, or the scoring fails with VerifierError where
    that is None. Every text is charged.
    """

    prompt: str = PROMPT
    """The rubric; may hold `{problem}`, `{solution}`, `{low}` and `{high}`. It must ask for a
    line like "Grade: 7": the last "grade", "score" or "rating" of the text counts."""
    scale: str = "1-10"
    """Lowest and highest grade."""
    retries: NoneOrMore = 2
    unreadable: float | None = None
    """Score of a solution whose grade cannot be read."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens < 1 or self.retries < 0:
            raise ValueError("max_tokens must be at least 1, and retries 0 or more")
        if self.unreadable is not None and not 0 <= self.unreadable <= 1:
            raise ValueError(f"unreadable must be null or from 0 to 1, not {self.unreadable}")
        parse_scale(self.scale)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate; every first request goes out at once."""
        return await in_flight(self._score(problem, candidate) for candidate in candidates)

    async def _score(self, problem: Problem, candidate: Candidate) -> Scoring:
        low, high = parse_scale(self.scale)
        parts = {"problem": problem.text, "solution": candidate.text}
        parts |= {"low": f"{low:g}", "high": f"{high:g}", "steps": candidate.text}
        ids = self.encode(fill(self.prompt, parts))
        opened = self.asked.tokenizer.opens_thinking(ids)
        calls = []
        for attempt in range(1 + self.retries):
            least = RETRY_TEMPERATURE if attempt else 0.0
            law = Sampling(self.room(ids), max(self.temperature, least), self.top_p)
            request = Request(ids, law, draw_seed(self.seed, problem, candidate, attempt))
            done = await self.write(request)
            calls.append(charge(request, done))
            said = after_thinking(done.text, opened=opened) or ""
            grade = parse_grade(said, low, high, done.finish_reason)
            if grade is not None:
                return Scoring(Score((grade - low) / (high - low)), tuple(calls))
        if self.unreadable is None:
            shown = " ".join(done.text.split())[-80:]
            raise VerifierError(
                f"no grade from {self.scale} in {1 + self.retries} texts of the judge; the last"
                f" one ends {shown!r} (set `unreadable` for a score in this case)"
            )
        return Scoring(Score(self.unreadable), tuple(calls))


def parse_scale(scale: str) -> tuple[float, float]:
    """Lowest and highest grade of a scale such as "1-10"; ValueError if it is none."""
    found = _SCALE.fullmatch(scale)
    if found is None or not float(found[1]) < float(found[2]):
        raise ValueError(f"scale must be LOW-HIGH, for example 1-10, not {scale!r}")
    return float(found[1]), float(found[2])


def parse_grade(
    text: str, low: float, high: float, finish_reason: FinishReason = "stop"
) -> float | None:
    """The grade that a text gives last, or None if it cannot be read.

    None as well for a grade off the scale, a range, a grade on another scale ("3/5" from 1 to
    10), and a number at the end of a text that was cut off ("Grade: 1" may be becoming 10).

    >>> parse_grade("Grade: 3? No. **Grade:** 7/10", 1, 10)
    7.0
    """
    plain = _MARKUP.sub("", text)
    found = list(_GRADE.finditer(plain))
    if not found:
        return None
    grade, rest = float(found[-1][1]), plain[found[-1].end() :]
    if finish_reason == "length" and not rest.strip(" .,\n"):
        return None
    if out_of := _OUT_OF.match(rest):
        return grade if low <= grade <= high and float(out_of[1]) == high else None
    return grade if low <= grade <= high and not _GOES_ON.match(rest) else None
