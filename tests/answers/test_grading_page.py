"""The examples of docs/grading.md."""

from __future__ import annotations

import pytest

from tts_bench.answers.equality import canonical, equal
from tts_bench.answers.extract import extract

EQUAL = [
    ("1/2", r"\frac12"), ("1/2", r"\frac 12"), ("0.5", r"\dfrac{1}{2}"), (".5", "1/2"),
    ("10080", r"10,\!080"), ("10080", "10{,}080"), ("10080", "10 080"), ("18.9", r"\$18.90"),
    ("864", r"864 \mbox{ inches}^2"), ("90", r"90^\circ"), ("18", "18 eggs"), ("50", r"50\%"),
    ("137.5", r"137 \frac{1}{2}"), (".0000672", r"6.72 \times 10^{-5}"), ("5", "x = 5"),
    ("3+2x", "f(x) = 2x+3"), ("5", "2 + 3 = 5"), ("-2 and 1", "1,-2"), (r"\{-2,1\}", "1,-2"),
    (r"-2, 4", r"1 \pm 3"), ("[-2,7]", r"x \in [-2,7]"), ("[-2,7]", r"-2 \le x \le 7"),
    ("10x - 14y - 8 = 0", "5x - 7y = 4"), ("evelyn", r"\text{Evelyn}"), ("C", r"\text{(C)}"),
    (r"\frac{1}{3}", "0.333333"), ("73", "073"), ("204", "204.0"), ("2,1", "1,1,2"),
    ("(1,2)", "1,2"), ("1,2", "(1,2)"), ("7", "x = 7"), ("7", "7 = x"), ("7", "f(2) = 7"),
    ("(1,2)", "y = 2, x = 1"), ("y = 2x + 3", "2x - y + 3 = 0"), ("2 million", "2000000"),
    (r"50\%", r"50 \text{ percent}"), (r"50\%", "0.5"), ("101_2", "(101)_2"),
    ("101_2", r"101_{\text{two}}"), ("2e", r"2\mathrm{e}"),
    (r"5.4 \text{ cents}", r"5.4 \text{ dollars}"),
    ("x = 5", "y = 5"), ("R", "r"), ("100200", "100,200"), (r"\sin 30^\circ", r"\frac{1}{2}"),
]  # fmt: skip
DIFFERENT = [
    (r"\frac{1}{3}", "0.33"), (r"\pi", "3.14"), ("[1,2]", "(1,2)"), ("7", "x + y = 7"),
    ("5", r"5 \text{ or more}"), ("5", r"\text{at least } 5"), ("0.5", "50"), ("50", "0.5"),
    ("101", "101_2"), ("5", "101_2"), ("101_3", "101_2"), ("4210", "4210_5"), ("555", "4210_5"),
    (r"\{1,2\}", r"\{\{1,2\}\}"), ("(1,2)", "(2,1)"), ("100, 200", "100,200"), ("xyz", "zyx"),
    ("(1,2)", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
]  # fmt: skip


@pytest.mark.parametrize(("reference", "answer"), EQUAL)
def test_what_the_page_calls_equal_is(reference, answer):
    assert equal(reference, answer)


@pytest.mark.parametrize(("reference", "answer"), DIFFERENT)
def test_what_the_page_calls_different_is(reference, answer):
    assert not equal(reference, answer)


def test_a_percentage_votes_as_its_number():
    assert canonical(r"50\%") == canonical("50") != canonical("0.5")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\fbox{5}", "5"),
        (r"\boxed 5", "5"),
        (r"\boxed{1} and \boxed{2}", "1, 2"),
        (r"\boxed{5}, as in \boxed{...}, \boxed{answer}, \boxed{} and \boxed", "5"),
        (r"\boxed{5} and \boxed{6", "5"),
        ("all in all\n#### 42\n", "42"),
        ("réponse : 42", "42"),
        ("The answer is:\n$$42$$", "42"),
        ("I think\nso 42", "42"),
        ("\\boxed{5}\nFinal Answer: 6", "6"),
        (r"so 5 and \boxed{6", None),
        ("5 it is\nor not", None),
        ("<think>5</think>6", "6"),
        ("[THINK]5[/THINK]6", "6"),
        (r"<think>\boxed{5}", None),
    ],
)
def test_the_answer_is_found_where_the_page_says(text, answer):
    assert extract(text) == answer
