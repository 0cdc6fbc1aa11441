"""Grading a file of responses: what is taken as the answer, and what a user is told."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tts_bench.answers.grade_file import GradedAnswer, find_answer, grade_file, summary
from tts_bench.answers.grader import Grader
from tts_bench.errors import UsageError


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def _grade(path: Path, response_field: str = "pred") -> list[GradedAnswer]:
    async def main() -> list[GradedAnswer]:
        async with Grader(workers=1, timeout=60) as grader:
            return await grade_file(path, "gold", response_field, grader)

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


def test_every_line_gets_its_verdict_in_order(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"gold": r"\frac{1}{2}", "pred": "0.5"},
        {"gold": r"\sqrt{8}", "pred": r"Hence \boxed{2\sqrt{2}}."},
        {"gold": 42, "pred": 42},
        {"gold": "7", "pred": None},
        {"gold": "7"},
        {"gold": "7", "pred": "8"},
    ]
    assert _grade(_write(tmp_path / "a.jsonl", rows)) == [
        GradedAnswer("0.5", True, False),
        GradedAnswer(r"2\sqrt{2}", True, False),
        GradedAnswer("42", True, False),
        GradedAnswer(None, False, False),
        GradedAnswer(None, False, False),
        GradedAnswer("8", False, False),
    ]


def test_math500_solutions_grade_as_correct(tmp_path: Path, shared_data: Path) -> None:
    lines = (shared_data / "math500.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    path = _write(
        tmp_path / "a.jsonl", [{"gold": r["answer"], "pred": r["solution"]} for r in rows]
    )
    assert summary(_grade(path))["correct"] == 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"gold": "1", "pred": "1"}\n{oops\n', ":2: not JSON"),
        ('{"gold": "1", "pred": "1"}\n\n[1]\n', ":3: expected a JSON object, found list"),
        ('{"golden": "1", "pred": "1"}', "no field 'gold'. Did you mean 'golden'?"),
        ('{"gold": "1", "prediction": "1"}', "no field 'pred'. Did you mean 'prediction'?"),
        ('{"a": "1", "b": "1"}', "no field 'pred'. Fields: 'a', 'b'"),
        ('{"gold": "", "pred": "1"}', ":1: field 'gold' holds no reference answer"),
        ('{"gold": "1", "pred": ["1"]}', ":1: field 'pred' must be text or a number"),
        ("", "no lines to grade"),
        ("\n\n", "no lines to grade"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        _grade(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        _grade(tmp_path / "none.jsonl")


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
