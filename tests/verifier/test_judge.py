from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from asked_engines import noting
from counted_verifier import candidate, policy

from tts_bench.engine.base import Completion
from tts_bench.errors import VerifierError
from tts_bench.types import Candidate, Problem
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.judge import JudgeVerifier, parse_grade, parse_scale

PROBLEM = Problem("p", "What is {solution} + 1?")


def scored(verifier: JudgeVerifier, candidates: Sequence[Candidate]) -> list[Scoring]:
    async def go() -> list[Scoring]:
        await verifier.start(policy())
        try:
            return await verifier.score(PROBLEM, candidates)
        finally:
            await verifier.close()

    return asyncio.run(asyncio.wait_for(go(), 600))


@pytest.mark.parametrize(
    ("text", "grade"),
    [
        ("Grade: 7", 7),
        ("grade: 7.", 7),
        ("Grade:7\n\n", 7),
        ("Grade: 7.5", 7.5),
        ("**Grade:** 7", 7),
        ("**Grade: 7**", 7),
        ("Grade: **7**/10", 7),
        ("Grade: [[7]]", 7),
        ("Grade: $\\boxed{7}$", 7),
        ("Score: 7/10", 7),
        ("Rating: 7 out of 10.", 7),
        ("The grade is 7, as the sum is off.", 7),
        ("I give a score of 3.", 3),
        ("Grade = 10", 10),
        ("Grade: 1", 1),
        ("Grade: 2. No, I was too strict.\nGrade: 9", 9),
        ("In grade 5 one learns this. Grade: 4", 4),
        ("Grade: 8 (there are 3 slips)", 8),
    ],
)
def test_grades_that_are_read(text, grade):
    assert parse_grade(text, 1, 10) == grade


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "Grade:",
        "Grade: seven",
        "Grade: A",
        "The solution is correct.",
        "In grade 5 one learns this.",
        "Grade: 11",
        "Grade: 0",
        "Grade: -3",
        "Grade: 100",
        "Grade: 1-10",
        "Grade: 7-8",
        "Grade: 7 – 8",
        "Grade: 7 to 8",
        "Grade: 7 or 8",
        "Grade: 7,5",
        "Grade: 3/5",
        "Grade: 4 out of 5",
        "Grade: 70/100",
        "Grade: 7. On reflection, grade: 12",
        "Grade: nan",
        "Grade: 1e3",
        "Grade: 7 %",
    ],
)
def test_grades_that_cannot_be_read_are_none(text):
    assert parse_grade(text, 1, 10) is None


def test_the_last_number_of_a_text_that_was_cut_off_is_no_grade():
    assert parse_grade("Grade: 1", 1, 10, "length") is None
    assert parse_grade("Grade: 1\n", 1, 10, "length") is None
    assert parse_grade("Grade: 10, because", 1, 10, "length") == 10


@pytest.mark.parametrize(
    ("scale", "bounds"),
    [("1-10", (1, 10)), (" 0 - 1 ", (0, 1)), ("-1-1", (-1, 1)), ("0-2.5", (0, 2.5))],
)
def test_scales(scale, bounds):
    assert parse_scale(scale) == bounds


@pytest.mark.parametrize("scale", ["", "10", "10-1", "1-1", "1 to 10", "a-b"])
def test_what_is_no_scale_is_refused(scale):
    with pytest.raises(ValueError, match="LOW-HIGH"):
        JudgeVerifier(scale=scale)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unreadable": 1.5}, "from 0 to 1"),
        ({"retries": -1}, "retries 0 or more"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"prompt": "Grade {solution}"}, "must hold"),
    ],
)
def test_senseless_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        JudgeVerifier(**settings)


@pytest.mark.parametrize(
    ("scale", "text", "value"),
    [("1-10", "Grade: 7", 6 / 9), ("1-5", "Grade: 5", 1.0), ("0-4", "Grade: 0", 0.0)],
)
def test_the_scale_becomes_0_to_1(scale, text, value):
    engine, notes = noting(lambda *_: text)
    [made] = scored(JudgeVerifier(engine=engine, scale=scale), [candidate("It is 2.")])
    assert made.score.value == pytest.approx(value)
    low, _, high = scale.partition("-")
    assert f"from {low} to {high}" in notes.prompts[0]


def test_the_prompt_holds_problem_and_solution_as_they_are():
    engine, notes = noting(lambda *_: "Grade: 3")
    judge = JudgeVerifier(engine=engine, prompt="P {problem} S {solution} {low}{high} {x}")
    scored(judge, [candidate("\\frac{1}{2} {problem}")])
    # Placeholders within the problem or the solution are their text, and nothing else.
    assert notes.prompts == ["P What is {solution} + 1? S \\frac{1}{2} {problem} 110 {x}\n"]


def test_an_unreadable_text_is_drawn_again_with_another_seed_and_every_text_is_charged():
    texts = iter(["hm", "Grade: 99", "Grade: 10"])
    engine, notes = noting(lambda *_: next(texts))
    [made] = scored(JudgeVerifier(engine=engine), [candidate()])
    assert made.score.value == 1.0
    assert [call.completion_tokens for call in made.calls] == [2, 9, 9]
    assert [one.sampling.temperature for one in notes.requests] == [0.0, 0.7, 0.7]
    assert len({one.seed for one in notes.requests}) == 3
    assert len({call.prompt_ids for call in made.calls}) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("Grade: 3 </think> Grade: 10", 1.0), ("Grade: 3", 0.25), ("Grade: 3 </think> so", 0.25)],
)
def test_a_grade_within_a_thinking_that_the_prompt_has_opened_is_none(text, value):
    engine, _ = noting(lambda *_: text)
    settings = {"chat": False, "retries": 0, "unreadable": 0.25}
    judge = JudgeVerifier(engine=engine, prompt="{problem} {solution}\n<think>", **settings)
    [made] = scored(judge, [candidate()])
    assert made.score.value == value


def test_what_stays_unreadable_is_an_error_that_shows_the_text():
    engine, notes = noting(lambda *_: "I would rather\nnot say.")
    with pytest.raises(VerifierError, match=r"no grade from 1-10 in 3 texts .*rather not say\."):
        scored(JudgeVerifier(engine=engine), [candidate()])
    assert len(notes.requests) == 3


def test_what_stays_unreadable_is_the_score_that_the_suite_names():
    engine, _ = noting(lambda *_: "no")
    [made] = scored(JudgeVerifier(engine=engine, retries=1, unreadable=0.5), [candidate()])
    assert made.score.value == 0.5
    assert len(made.calls) == 2


def test_a_text_that_was_cut_off_in_its_grade_is_drawn_again():
    engine, notes = noting(lambda *_: "Grade: 10")
    judge = JudgeVerifier(engine=engine, max_tokens=8, retries=0, unreadable=0.25)
    [made] = scored(judge, [candidate()])
    assert made.score.value == 0.25  # "Grade: 1", of 8 characters
    assert notes.requests[0].sampling.max_tokens == 8


def test_equal_runs_are_equal_in_any_order():
    def answer(prompt, request):
        return f"Grade: {request.seed % 9 + 1}"

    some = [candidate(text) for text in "abcdef"]
    forward = scored(JudgeVerifier(engine=noting(answer)[0]), some)
    backward = scored(JudgeVerifier(engine=noting(answer)[0]), some[::-1])
    assert forward == backward[::-1]
    assert len({made.score.value for made in forward}) > 1


def test_the_recipe_holds_rubric_scale_and_engine():
    recipes = {
        JudgeVerifier().settings_key(),
        JudgeVerifier(scale="1-5").settings_key(),
        JudgeVerifier(prompt="{problem} {solution}").settings_key(),
        JudgeVerifier(engine=noting(lambda *_: "")[0]).settings_key(),
    }
    assert len(recipes) == 4


def test_completions_of_an_engine_are_charged_as_they_are():
    done = Completion(tuple(range(5)), "Grade: 2", -1.0, "stop", None, 11)
    engine, _ = noting(lambda *_: done)
    [made] = scored(JudgeVerifier(engine=engine), [candidate()])
    [call] = made.calls
    assert (call.completion_tokens, call.cached_prompt_tokens, call.logits) == (5, 11, None)


@pytest.mark.slow
def test_a_real_model_is_asked_in_its_own_chat(smollm2: Path):
    from transformers_runs import engine as transformers_engine

    judge = JudgeVerifier(engine=transformers_engine(smollm2), max_tokens=32, unreadable=0.5)
    [made] = scored(judge, [candidate("1 + 1 = 2.")])
    assert 0 <= made.score.value <= 1
    assert made.calls[0].completion_tokens > 0
