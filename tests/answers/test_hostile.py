"""Untrusted text costs time in proportion to its length, and never ends in a traceback.

Measured in processor time, so that a busy machine makes no difference.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

import pytest
from hostile_texts import HostileText, hostile_texts

from tts_bench.answers.equality import canonical_quick, equal_quick
from tts_bench.answers.notation import plain
from tts_bench.answers.responses import find_answer
from tts_bench.dataset.items import integer
from tts_bench.labelling.judge import first_wrong_step
from tts_bench.steps import split_steps
from tts_bench.tiny.worked_arithmetic import check_each_step
from tts_bench.types import Candidate
from tts_bench.verifier.judge import parse_grade

Search = Callable[[str], object]

TEXTS = hostile_texts()
FLOOR = 0.002
"""Seconds of which a growth says nothing."""
MOST_GROWTH = 30
"""Of the time for ten times the text; a quadratic cost grows by a hundred."""
BOUND = 0.3
"""Seconds for an answer of the longest that is read as a formula."""


def _reply(text: str) -> Candidate:
    return Candidate(0, (), (), text, None, None, 0.0, 0, "stop")


SEARCHES: Sequence[Search] = [
    find_answer,
    split_steps,
    lambda text: check_each_step("Compute 1 + 1.", text),
    lambda text: parse_grade(text, 1, 10),
    lambda text: first_wrong_step(_reply(text), 5),
    integer,
    plain,
]


def seconds(search: Search, text: str) -> float:
    start = time.process_time()
    search(text)
    return time.process_time() - start


def grows_too_fast(search: Search, text: HostileText, length: int) -> bool:
    """Whether ten times the text costs too much more; what seems so is measured again."""
    short, long = text.of_length(length), text.of_length(10 * length)
    few, many = seconds(search, short), seconds(search, long)
    if many > MOST_GROWTH * max(few, FLOOR):
        few = max(seconds(search, short) for _ in range(3))
        many = min(seconds(search, long) for _ in range(3))
    return many > MOST_GROWTH * max(few, FLOOR)


def faults(texts: Sequence[HostileText], length: int) -> list[HostileText]:
    return [text for text in texts for one in SEARCHES if grows_too_fast(one, text, length)]


def test_a_search_of_quadratic_cost_is_found() -> None:
    quadratic = re.compile(r"\s*x").search
    assert grows_too_fast(quadratic, HostileText("", " "), 1_000)


def test_there_are_enough_texts_and_they_differ() -> None:
    assert len(TEXTS) >= 200
    assert len({text.of_length(1000) for text in TEXTS}) > 0.95 * len(TEXTS)


def test_time_grows_with_the_text_up_to_10000_characters() -> None:
    assert faults(TEXTS, 1_000) == []


def test_time_grows_with_the_text_up_to_100000_characters() -> None:
    assert faults(TEXTS[::16], 10_000) == []


@pytest.mark.parametrize("length", [100, 1000])
def test_reading_an_answer_is_bounded_and_raises_nothing(length: int) -> None:
    for text in TEXTS:
        answer = text.of_length(length)[:1000]
        for read in (canonical_quick, lambda one: equal_quick("12", one)):
            if seconds(read, answer) > BOUND:
                assert min(seconds(read, answer) for _ in range(3)) < BOUND, text


@pytest.mark.parametrize("digits", [900, 4_300, 5_000, 50_000])
@pytest.mark.parametrize("form", ["{}", "-{}", "{}.5", "\\frac{{{}}}{{3}}", "{}/7", "0.{}", "x={}"])
def test_integers_of_many_digits_equal_themselves_alone(form: str, digits: int) -> None:
    written, other = form.format("7" * digits), form.format("7" * (digits - 1) + "8")
    assert equal_quick(written, written) is True
    assert equal_quick(written, other) is False


def test_integers_of_many_digits_are_no_steps_and_no_verdicts() -> None:
    long = "7" * 5_000
    assert check_each_step("Compute 1 + 1.", f"{long} + 1 = {long}\n\n") == [False]
    assert first_wrong_step(_reply(f"First wrong step: {long}"), 5) is None
    assert parse_grade(f"Grade: {long}", 1, 10) is None
    assert integer(long) == long
