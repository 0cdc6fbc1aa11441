"""Grading responses: what is taken as the answer, and what comes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tts_bench.answers.grader import Grader, GradingLimits
from tts_bench.answers.responses import (
    GradedAnswer,
    Response,
    find_answer,
    grade_responses,
    summary,
)
from tts_bench.dataset.responses import read_responses


def _grade(pairs: list[tuple[str, str | None]]) -> list[GradedAnswer]:
    async def main() -> list[GradedAnswer]:
        async with Grader(workers=1, limits=GradingLimits(60)) as grader:
            return await grade_responses([Response(*pair) for pair in pairs], grader)

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        (r"\frac{1}{2}", r"\frac{1}{2}"),
        ("Evelyn", "Evelyn"),
        ("x = 5 or x = -2", "x = 5 or x = -2"),
        (r"864 \mbox{ inches}^2", r"864 \mbox{ inches}^2"),
        (r"(3, \text{not a real number})", r"(3, \text{not a real number})"),
        (r"We add.\nSo \boxed{7}", "7"),
        ("The answer is 12.", "12"),
        ("First 3.\nThen 4 more.\nThat leaves 9 in the box.", "9"),
        ("So in the end she has 18 eggs left.", "18"),
        (r"5 + \boxed{1", None),
        ("I do not know how to solve this", None),
        ("  ", None),
    ],
)
def test_a_response_is_an_answer_or_a_solution(response: str, answer: str | None) -> None:
    assert find_answer(response) == answer


def test_every_response_gets_its_verdict_in_order() -> None:
    pairs = [
        (r"\frac{1}{2}", "0.5"),
        (r"\sqrt{8}", r"Hence \boxed{2\sqrt{2}}."),
        ("42", "42"),
        ("7", None),
        ("7", "8"),
    ]
    assert _grade(pairs) == [
        GradedAnswer("0.5", True, False),
        GradedAnswer(r"2\sqrt{2}", True, False),
        GradedAnswer("42", True, False),
        GradedAnswer(None, False, False),
        GradedAnswer("8", False, False),
    ]


def test_math500_solutions_grade_as_correct(shared_data: Path) -> None:
    pairs = read_responses(shared_data / "math500.jsonl", "answer", "solution", str)
    assert summary(_grade([one[:2] for one in pairs]))["correct"] == 500


def test_summary_counts_and_gives_the_wilson_interval() -> None:
    verdicts = [GradedAnswer("1", True, False)] * 6 + [GradedAnswer(None, False, False)] * 3
    verdicts.append(GradedAnswer("2", False, True))
    found = summary(verdicts)
    assert {key: found[key] for key in ("n", "correct", "no_answer", "timed_out")} == {
        "n": 10, "correct": 6, "no_answer": 3, "timed_out": 1,
    }  # fmt: skip
    assert found["accuracy"] == 0.6
    # By hand: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n), z = 1.959964.
    assert found["accuracy_ci95"] == pytest.approx((0.312674, 0.831820), abs=1e-5)
