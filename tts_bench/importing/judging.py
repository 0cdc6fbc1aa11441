"""Answers and verdicts of a recorded pool: ours, or those that were recorded."""

from __future__ import annotations

from collections.abc import Sequence

from tts_bench.answers.grader import Grader
from tts_bench.answers.kinds import AnswerKind
from tts_bench.importing.pools import RecordedPool
from tts_bench.importing.recording import Recording
from tts_bench.types import Pool


async def judge(pool: RecordedPool, recording: Recording, grader: Grader) -> Pool:
    """The pool's columns, with the answers and verdicts that count."""
    found = _answers(pool, recording, grader.kind)
    if found is None:
        # What votes together is not known: each completion stands for itself.
        found, classes = (None,) * len(pool), tuple(range(len(pool)))
    else:
        classes = await _classes(found, recording, grader)
    verdicts = (
        tuple(await grader.grade(pool.item.reference, found, pool.item.problem.text))
        if recording.graded
        else pool.verdict
    )
    return Pool(
        answer=found,
        answer_class=classes,
        correct=verdicts,
        score=pool.score,
        steps=pool.steps,
        tokens=pool.tokens,
        finish_reason=pool.finish_reason or (None,) * len(pool),
    )


def _answers(
    pool: RecordedPool, recording: Recording, kind: AnswerKind
) -> tuple[str | None, ...] | None:
    """What each completion answers; None if nothing tells."""
    if recording.answers == "recorded":
        return pool.answer or None
    if not pool.text:
        return None
    # As of a draw of a run: a text that was cut off vouches for a box alone.
    reasons = pool.finish_reason or (None,) * len(pool)
    return tuple(
        kind.find(text, cut_off=reason == "length")
        for text, reason in zip(pool.text, reasons, strict=True)
    )


async def _classes(
    answers: Sequence[str | None], recording: Recording, grader: Grader
) -> tuple[int, ...]:
    """The class of each answer, numbered by first appearance."""
    given = [answer for answer in answers if answer is not None]
    forms = iter(given if recording.literally else await grader.canonical(given))
    numbers: dict[str, int] = {}
    return tuple(
        -1 if answer is None else numbers.setdefault(next(forms), len(numbers))
        for answer in answers
    )
