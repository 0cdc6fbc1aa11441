"""What counts as the answer of a whole text, and that it is right for the right reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.answers.equality import equal
from tts_bench.answers.extract import extract
from tts_bench.answers.prose import announced
from tts_bench.answers.responses import find_answer
from tts_bench.answers.thinking import after_thinking


def is_right(reference: str, response: str) -> bool:
    answer = find_answer(response)
    return answer is not None and equal(reference, answer)


def test_the_recorded_cases_are_as_people_expect(shared_data: Path):
    cases = shared_data.parent / "cases" / "grading.jsonl"
    if not cases.is_file():
        pytest.skip(f"no recorded cases at {cases}")
    rows = [json.loads(line) for line in cases.read_text("utf-8").splitlines()]
    wrong = [row for row in rows if is_right(row["gold"], row["pred"]) != row["expected"]]
    assert rows
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<think>so \boxed{7}, no</think> The answer is 12", "12"),
        (r"<think>so \boxed{7}", None),
        (r"[THINK]\boxed{7}[/THINK]\boxed{12}", "12"),
        (r"<think>a</think>\boxed{7}<think>no</think>\boxed{12}", "12"),
        (r"<|channel|>analysis<|message|>\boxed{7}<|channel|>final<|message|>\boxed{12}", "12"),
        (r"no thinking: \boxed{12}", "12"),
    ],
)
def test_an_answer_stands_after_the_last_thinking(text, answer):
    assert extract(text) == answer


def test_a_prompt_that_opened_the_thinking_leaves_no_answer_within_it():
    assert after_thinking("still thinking", opened=True) is None
    assert after_thinking("done</think>12", opened=True) == "12"


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        (r"5", r"2+3\mathrm{i}"),
        (r"2", r"2\mathrm{e}^3"),
        (r"\sin(x)=1/2", r"\cos(x)=1/2"),
        ("7", "x+y=7"),
        ("0", "5x-7y+11z+4=0"),
        (r"n\text{ is odd}", r"n\text{ is even}"),
        ("5", r"5\text{ or more}"),
        ("2", "2 million"),
        ("1/2004!", "1/2006!"),
    ],
)
def test_what_only_looks_alike_is_not_equal(reference, answer):
    assert not equal(reference, answer)


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("7", "x=7"),
        ("2,3,5", "2, 3, and 5"),
        ("113", r"\textbf{(113) }"),
        (r"0.\overline{3}", r"\frac13"),
        (r"\frac{\pi}{2}", r"\frac\pi2"),
        (r"\sqrt[3]{2}", r"\sqrt[3]2"),
        (r"x^4", "x⁴"),
        (r"\frac{3}{4}", "¾"),
        ("(3,4)", "（3，4）"),
        ("x^2", "x**2"),
    ],
)
def test_what_is_written_otherwise_is_equal(reference, answer):
    assert equal(reference, answer)


@pytest.mark.parametrize(
    "said",
    [
        "So the ANSWER is 12. By 3",
        "answers to both: 12. And 3",
        "The correct option is 12. Now 3",
        "My best choice: 12. Then 3",
        "So the right letter is 12. Line 3",
        "# Final Answer\n12\nstep 3",
        "reponse finale est 12. Alors 3",
        "Antwort ist 12. Danach 3",
        "Ergebnis: 12. Danach 3",
        "La respuesta es 12. Con 3",
        "risposta: 12. Con 3",
        "A resposta = 12. Com 3",
    ],
)
def test_every_announcement_in_plain_letters_is_looked_for(said: str) -> None:
    """Texts without any word of an announcement are not searched, so each must count as one."""
    assert announced(said) == "12"
    assert announced(said.upper()) == "12"
