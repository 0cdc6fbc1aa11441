"""Kinds of answers: letters of multiple choice, and what a kind of one's own may do wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from tts_bench.answers.equality import canonical, equal
from tts_bench.answers.extract import boxed, extract
from tts_bench.answers.grader import Grader, GradingLimits
from tts_bench.answers.kinds import MATH, AnswerKind, ChoiceAnswers
from tts_bench.errors import UsageError

CHOICE = ChoiceAnswers()


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("C", "C"), ("(B)", "B"), ("c", "C"), ("C. 12", "C"), ("so\n\n**D**", "D"),
        (r"\boxed{C}", "C"), (r"\boxed{\text{(C)}}", "C"), (r"\boxed{\textbf{(B)}\ 25} ml", "B"),
        (r"\boxed{B) 12} or so", "B"), ("The answer is (c), because", "C"), ("Answer: C", "C"),
        ("**Answer:** B", "B"), ("**Answer: B**", "B"), ("Answer: $D$", "D"), ("ANSWER: d", "D"),
        ("The correct option is D because", "D"), ('Action: Answer("C")', "C"),
        ("the answer is A: $x$.\nIt was B.", "A"), ("Answer: A. No: the answer is B.", "B"),
        ("Final answer: option (E)", "E"), ("The answer is A because 2 > 1", "A"),
        ("<think>Answer: B</think>Answer: C", "C"), ("The answer is J", "J"),
        ("The answer is a prime number", None), ("I think so", None), ("A prime", None),
        ('It is A: no.\nAnswer("None of the above")', None), ("Answer: 12", None), ("", None),
        ("Answer: K", None), ("Because of this", None), ("The answer is I am not sure", None),
    ],
)  # fmt: skip
def test_a_letter_is_found_where_it_is_stated(text: str, letter: str | None):
    assert CHOICE.find(text) == letter


def test_a_choice_that_was_cut_off_counts_in_a_box_alone():
    assert CHOICE.find("The answer is C", cut_off=True) is None
    assert CHOICE.find(r"\boxed{C}, since", cut_off=True) == "C"


@pytest.mark.parametrize("reference", ["C", "(C)", "C) 12", r"\text{(C)}", " c "])
def test_a_reference_is_a_letter(reference: str):
    assert CHOICE.read_reference(reference) == "C"
    assert CHOICE.grade(reference, "C", "")
    assert not CHOICE.grade(reference, "D", "")


def test_letters_are_those_of_the_setting():
    assert ChoiceAnswers("ABCD").find("Answer: E") is None
    with pytest.raises(ValueError, match="must be capital letters, not 'abc'"):
        ChoiceAnswers("abc")
    with pytest.raises(ValueError, match="holds no choice of ABCD: '12'"):
        ChoiceAnswers("ABCD").read_reference("12")


def graded(kind: AnswerKind, *answers: str | None, **settings: Any) -> list[bool | None]:
    async def go() -> list[bool | None]:
        async with Grader(kind=kind, **settings) as grader:
            return await grader.grade("C", list(answers), "the problem")

    return asyncio.run(go())


def test_choices_are_graded_without_a_worker():
    class NoWork:
        def __call__(self, question: object) -> None:
            raise AssertionError

    assert graded(CHOICE, "C", "(c)", "B", None, work=NoWork()) == [True, True, False, False]


def test_mathematics_is_found_and_compared_as_ever():
    for text in (r"so \boxed{\frac12}", "The answer is 7.", "x\n#### 5", "nothing"):
        assert MATH.find(text) == extract(text)
        assert MATH.find(text, cut_off=True) == boxed(text)
    assert MATH.ask("1/2", "0.5", "") is equal("1/2", "0.5") is True
    assert MATH.ask(None, "2/4", "") == canonical("2/4")
    assert MATH.quick("x+1", "1+x", "") is None


@dataclass(frozen=True)
class Odd(AnswerKind):
    """Does at each answer what the answer says."""

    def extract(self, text: str) -> Any:
        return {"number": 7, "empty": ""}.get(text, text) if text != "raise" else 1 / 0

    def grade(self, reference: str, answer: str, problem: str) -> Any:
        if answer == "hang":
            while True:
                pass
        return {"raise": lambda: 1 / 0, "word": lambda: "yes", "quit": lambda: exit(3)}.get(
            answer, lambda: answer == problem
        )()


def test_a_kind_of_ones_own_is_graded_in_a_worker_and_sees_the_problem():
    assert graded(Odd(), "the problem", "other", None, workers=1) == [True, False, False]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("raise", "answers Odd: grade raised ZeroDivisionError: division by zero at 'raise'"),
        ("word", "answers Odd: grade must return true or false, not 'yes'"),
        ("quit", "answers Odd: grade raised SystemExit: 3"),
    ],
)
def test_what_a_kind_does_wrong_is_one_line(answer: str, message: str):
    with pytest.raises(UsageError, match=message):
        graded(Odd(), answer, workers=1)


def test_a_kind_that_hangs_is_ended_and_the_answer_is_not_graded():
    limits = GradingLimits(cpu_seconds=0.2)
    assert graded(Odd(), "hang", "the problem", workers=1, limits=limits) == [None, True]


def test_what_is_found_is_a_text_or_nothing():
    assert Odd().find("empty") is None
    with pytest.raises(UsageError, match="extract must return a text or None, not 7"):
        Odd().find("number")
    with pytest.raises(UsageError, match=r"extract raised ZeroDivisionError: .* at 'raise'"):
        Odd().find("raise")
