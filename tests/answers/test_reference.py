r"""References: answers stay as they are, worked solutions give theirs or are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.answers.reference import read_reference

SOLUTIONS = [
    (r"We get $\boxed{12}$.", "12"),
    (r"First \boxed{3}, then $\boxed{\frac{1}{2}}$", r"\frac{1}{2}"),
    ("He pays 2 * 600 = <<2*600=1200>>1200.\n#### 1,200", "1200"),
    ("so 2 * 3\n#### 72", "72"),
    ("#### 72", "72"),
    ("Some steps.\n#### (1,2)", "(1,2)"),
    ("Add 3 to 4. The answer is 7.", "7"),
    ("The final answer is: $x^2$", "x^2"),
    ("Adding them, we get 7.\nTherefore, the answer is 7", "7"),
    ("We get 12.", "12"),
    ("12 * 4 = 48, so 48 / 16 = 3", "3"),
    ("答案是6。", "6"),
]
ANSWERS = [
    "12",
    "-3.5",
    "1,200",
    r"\frac{1}{2}",
    "x = 5",
    "x = 1\ny = 2",
    "Evelyn",
    "18 eggs",
    "(B)",
    r"\text{June 20}",
    "all real numbers except 0",
    "The set of all positive integers",
    r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}",
    "\\begin{pmatrix}\n1 \\\\\n2\n\\end{pmatrix}",
    r"(-\infty, 2) \cup (3, \infty)",
]
UNMARKED = [
    "We add 3 and 4 and find the sum to be seven.",
    "First we add 3 and 4.\nThen we multiply the sum by 2 to find 14.",
    "Let x be the number of eggs. Then x + 3 = 9.",
    r"The sum of all of these numbers is $\boxed{12",
    "首先我们把三和四相加得到七，然后再把这个和乘以二。\n于是得到这个问题所要求的最后的数值十四。",
]


@pytest.mark.parametrize(("text", "answer"), SOLUTIONS)
def test_a_worked_solution_gives_its_final_answer(text: str, answer: str) -> None:
    assert read_reference(text) == (answer, True)


@pytest.mark.parametrize("text", ANSWERS)
def test_an_answer_alone_stays_as_it_is(text: str) -> None:
    assert read_reference(text) == (text, False)


@pytest.mark.parametrize("text", UNMARKED)
def test_a_solution_without_a_marked_answer_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no final answer is marked"):
        read_reference(text)


def test_references_of_published_sets_stay_as_they_are(shared_data: Path) -> None:
    for name in ("math500", "aime2024", "aime2025", "amc23"):
        lines = (shared_data / f"{name}.jsonl").read_text("utf-8").splitlines()
        for answer in (str(json.loads(line)["answer"]) for line in lines):
            assert read_reference(answer) == (answer.strip(), False)


def test_published_solutions_give_the_published_answers(shared_data: Path) -> None:
    lines = (shared_data / "math500.jsonl").read_text("utf-8").splitlines()
    for row in map(json.loads, lines):
        assert read_reference(row["solution"]).of_solution
    for row in map(json.loads, (shared_data / "gsm8k_test.jsonl").read_text("utf-8").splitlines()):
        answer = row["answer"].rpartition("####")[2].strip().replace(",", "")
        assert read_reference(row["answer"]) == (answer, True)
