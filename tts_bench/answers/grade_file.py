"""Grade a JSONL file of responses: the core of `tts-bench grade`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_bench.answers.extract import extract, stated
from tts_bench.answers.grader import Grader
from tts_bench.errors import UsageError, did_you_mean

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


@dataclass(frozen=True, slots=True)
class _Row:
    reference: str
    answer: str | None


async def grade_file(
    path: Path, reference_field: str, response_field: str, grader: Grader
) -> list[GradedAnswer]:
    """One verdict for each line of a JSONL file, in order; empty lines are skipped.

    Raises UsageError, with file and line, where the file cannot be read, is empty, or a line is
    no JSON object or lacks a field. A response may be null, or missing from some lines.
    """
    rows = read_rows(path, reference_field, response_field)
    return list(await asyncio.gather(*(_grade(row, grader) for row in rows)))


async def _grade(row: _Row, grader: Grader) -> GradedAnswer:
    [correct] = await grader.grade(row.reference, [row.answer])
    return GradedAnswer(row.answer, correct=correct is True, timed_out=correct is None)


def find_answer(response: str) -> str | None:
    """The answer in a response that may be a whole solution or nothing but an answer.

    An announced answer (a box, "the answer is", `####`) is taken. Without one, a single line of
    at most 200 characters and three words outside LaTeX is an answer itself, such as
    `18 eggs` or `Evelyn`. Anything else is a solution, and searched as `extract` does.
    """
    text = response.strip()
    if not text:
        return None
    if announced := stated(text):
        return announced
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\\text\{[^{}]*\}|\\[A-Za-z]+", " ", text))
    is_line = "\n" not in text and len(text) <= _BARE_LENGTH
    cut_off = "\\boxed" in text
    bare = is_line and len(words) <= _BARE_WORDS and not cut_off
    return text if bare else extract(text)


def read_rows(path: Path, reference_field: str, response_field: str) -> list[_Row]:
    """References and answers of a JSONL file. Raises UsageError as `grade_file` does."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read {path}: {reason}") from error
    records = [
        (f"{path}:{number}", _record(line, f"{path}:{number}"))
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not records:
        raise UsageError(f"{path}: no lines to grade")
    if not any(response_field in record for _, record in records):
        _field(records[0][1], response_field, records[0][0])
    rows = []
    for where, record in records:
        reference = _text(_field(record, reference_field, where))
        if not reference:
            raise UsageError(f"{where}: field {reference_field!r} holds no reference answer")
        response = _text(_field({response_field: None, **record}, response_field, where))
        rows.append(_Row(reference, None if response is None else find_answer(response)))
    return rows


def _record(line: str, where: str) -> Mapping[str, Any]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        raise UsageError(f"{where}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(record, dict):
        raise UsageError(f"{where}: expected a JSON object, found {type(record).__name__}")
    return record


def _field(record: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in record:
        hint = did_you_mean(name, record) or f". Fields: {', '.join(map(repr, record)) or 'none'}"
        raise UsageError(f"{where}: no field {name!r}{hint}")
    value = record[name]
    if isinstance(value, bool | dict | list):
        raise UsageError(f"{where}: field {name!r} must be text or a number, not {value!r:.60}")
    return value


def _text(value: object) -> str | None:
    return None if value is None else str(value).strip()


def summary(verdicts: Sequence[GradedAnswer]) -> dict[str, int | float | tuple[float, float]]:
    """Counts and accuracy with its Wilson 95 % interval (Wilson 1927, JASA 22:209).

    No answer and a timeout count as wrong. Raises ValueError where there is no verdict.
    """
    from scipy.stats import binomtest

    correct = sum(verdict.correct for verdict in verdicts)
    interval = binomtest(correct, len(verdicts)).proportion_ci(0.95, method="wilson")
    return {
        "n": len(verdicts),
        "correct": correct,
        "accuracy": correct / len(verdicts),
        "accuracy_ci95": (float(interval.low), float(interval.high)),
        "no_answer": sum(verdict.extracted is None for verdict in verdicts),
        "timed_out": sum(verdict.timed_out for verdict in verdicts),
    }
