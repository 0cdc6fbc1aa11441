"""Budget forcing: what is taken back, what is put in its place, what is counted."""

from __future__ import annotations

import pytest
from scripted_attempts import PROBLEM, Attempt, chosen, in_order

END = "</think>"
QUESTION = PROBLEM.text


def forced(*texts: str, **options) -> Attempt:
    return Attempt("budget_forcing", in_order(*texts), **options)


def test_the_end_is_taken_back_and_the_model_goes_on_behind_wait():
    attempt = forced(f"a{END}", f"b{END}", f"c{END}", "\\boxed{7}", waits=2)
    solution = attempt.run()
    assert attempt.prompts == [
        QUESTION,
        f"{QUESTION}aWait",
        f"{QUESTION}aWaitbWait",
        f"{QUESTION}aWaitbWaitc{END}",
    ]
    [candidate] = solution.candidates
    assert candidate.text == f"aWaitbWaitc{END}\\boxed{{7}}"
    assert candidate.token_ids == tuple(map(ord, candidate.text))
    assert chosen(solution) == "7"


def test_what_was_taken_back_is_paid_and_what_was_put_there_is_not():
    attempt = forced(f"aa{END}", f"b{END}", "\\boxed{7}", waits=1, wait="Hmm, wait")
    [candidate] = attempt.run().candidates
    thinking = len(f"aa{END}") + len(f"b{END}")
    assert attempt.paid == candidate.generated_tokens == thinking + len("\\boxed{7}")
    assert candidate.logprob == pytest.approx(-0.1 * attempt.paid)


def test_no_waits_is_plain_thinking_with_one_call_more_for_the_answer():
    attempt = forced(f"a{END}", "so \\boxed{3}", waits=0)
    assert chosen(attempt.run()) == "3"
    assert attempt.prompts == [QUESTION, f"{QUESTION}a{END}"]


def test_all_rounds_share_one_count_of_thinking_tokens():
    """Peers give every round the full limit and cut the text afterwards."""
    attempt = forced("x" * 30 + END, "y" * 30 + END, "z" * 99, "\\boxed{1}", **LIMIT)
    solution = attempt.run()
    assert [r.sampling.max_tokens for r in attempt.requests] == [100, 62, 24, 50]
    assert solution.facts == {"thinking_tokens": 100, "waits": 2}
    assert attempt.paid <= 100 + 50


LIMIT = {"waits": 9, "max_thinking_tokens": 100, "max_answer_tokens": 50}


def test_too_long_thinking_is_cut_closed_and_asked_for_its_answer():
    """The published snippet appends no end, asks for no answer and generates nothing anew."""
    attempt = forced("x" * 500, " 42", waits=0, max_thinking_tokens=10)
    solution = attempt.run()
    assert attempt.prompts[1] == f"{QUESTION}{'x' * 10}{END}\nFinal Answer:"
    assert chosen(solution) == "42"
    assert solution.candidates[0].finish_reason == "stop"


@pytest.mark.parametrize("half", range(1, len(END)))
def test_an_end_that_was_cut_in_half_is_written_once(half):
    attempt = forced("x" * 10 + END, " 42", waits=0, max_thinking_tokens=10 + half)
    attempt.run()
    assert attempt.prompts[1] == f"{QUESTION}{'x' * 10}{END}\nFinal Answer:"


def test_the_minimum_goes_beyond_the_waits():
    attempt = forced(*[f"ab{END}"] * 6, "\\boxed{1}", waits=0, min_thinking_tokens=45)
    solution = attempt.run()
    assert solution.facts == {"thinking_tokens": 50, "waits": 4}
    assert solution.candidates[0].text.startswith("ab" + "Waitab" * 4 + END)


def test_a_model_that_writes_nothing_more_is_not_waited_for_without_end():
    attempt = forced("", "", "", waits=1, min_thinking_tokens=100)
    assert attempt.run().chosen is None
    assert len(attempt.requests) == 2


def test_without_a_thinking_format_the_end_of_the_turn_is_taken_back():
    attempt = forced("so 1", " no, \\boxed{2}", end_of_thinking=None, waits=1)
    solution = attempt.run()
    assert attempt.prompts == [QUESTION, f"{QUESTION}so 1Wait"]
    assert solution.candidates[0].text == "so 1Wait no, \\boxed{2}"
    assert chosen(solution) == "2"


def test_without_a_thinking_format_a_cut_is_followed_by_the_answer_prompt_alone():
    options = {"end_of_thinking": None, "waits": 0, "max_thinking_tokens": 4}
    attempt = forced("so 1 and so on", " 42", answer_prompt=" So:", **options)
    attempt.run()
    assert attempt.prompts[1] == f"{QUESTION}so 1 So:"


def test_a_turn_that_ends_while_thinking_is_an_end_of_thinking():
    attempt = forced("\\boxed{1}", " it is \\boxed{2}", waits=1)
    solution = attempt.run()
    assert chosen(solution) == "2"
    assert len(attempt.requests) == 2  # no answer is asked for behind the end of the turn


def test_the_suites_stop_strings_end_the_turn_and_stay_in_force():
    attempt = forced("a\n\nQ:", f"b{END}", "\\boxed{2}\n\nQ:", waits=1, stop=["\n\nQ:"])
    solution = attempt.run()
    assert solution.candidates[0].text == f"aWaitb{END}\\boxed{{2}}\n\nQ:"
    assert [r.sampling.stop for r in attempt.requests] == [
        (END, "\n\nQ:"),
        (END, "\n\nQ:"),
        ("\n\nQ:",),
    ]


@pytest.mark.parametrize("budget", range(1, 60))
def test_a_budget_keeps_room_for_the_answer(budget):
    texts = ["x" * 99] * 4
    attempt = forced(*texts, allowance=budget, max_answer_tokens=10)
    solution = attempt.run()
    assert attempt.paid <= budget
    if budget > 20:
        assert solution.facts["thinking_tokens"] == budget - 10
        assert attempt.paid == budget


def test_a_full_context_is_no_place_to_ask_for_an_answer():
    """The engine cut it off although thinking tokens were left."""
    from tts_bench.engine.base import Completion

    def full(prompt, request):
        return Completion((65,) * 5, "A" * 5, -1.0, "length")

    attempt = Attempt("budget_forcing", full, max_thinking_tokens=50)
    assert attempt.run().chosen is None
    assert len(attempt.requests) == 1


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"waits": -1}, "waits"),
        ({"min_thinking_tokens": -1}, "min_thinking_tokens"),
        ({"max_thinking_tokens": 0}, "max_thinking_tokens"),
        ({"max_thinking_tokens": 5, "min_thinking_tokens": 6}, "max_thinking_tokens"),
        ({"max_answer_tokens": 0}, "max_answer_tokens"),
        ({"end_of_thinking": ""}, "end_of_thinking"),
    ],
)
def test_bad_parameters_are_named(params, name):
    with pytest.raises(ValueError, match=name):
        forced(**params)
