"""Token-budget prompting and self-refinement: what is asked, what is read, what is paid."""

from __future__ import annotations

import pytest
from scripted_attempts import PROBLEM, Attempt, chosen, in_order

from tts_bench.engine.base import Completion


def test_the_estimate_is_asked_for_paid_and_told():
    attempt = Attempt("token_budget", in_order("[[50]]", "1+1, so \\boxed{2}"))
    solution = attempt.run()
    estimate, solve = attempt.prompts
    assert estimate.startswith(f"{PROBLEM.text}\n\n")
    assert "[[number]]" in estimate
    assert "fewer than 50 tokens" in solve
    assert attempt.paid == len("[[50]]") + len("1+1, so \\boxed{2}")
    assert solution.facts == {"tokens_allowed": 50, "tokens_used": len("1+1, so \\boxed{2}")}
    assert chosen(solution) == "2"
    assert len(solution.candidates) == 1  # the estimate is no candidate


def test_a_given_budget_takes_one_call():
    attempt = Attempt("token_budget", in_order("\\boxed{2}"), budget=77)
    attempt.run()
    [prompt] = attempt.prompts
    assert "fewer than 77 tokens" in prompt


@pytest.mark.parametrize(
    ("reply", "allowed"),
    [
        ("[[1,200]]", 1200),
        ("I think [[ 80 ]].", 80),
        ("[[10]] no, [[30]]", 30),
        ("about 50", 256),
        ("[[fifty]]", 256),
        ("[[0]]", 256),
        ("", 256),
        ("[[5", 5),
    ],
)
def test_an_estimate_without_a_number_falls_back(reply, allowed):
    attempt = Attempt("token_budget", in_order(reply, "\\boxed{2}"))
    assert attempt.run().facts["tokens_allowed"] == allowed


def test_an_instruction_is_part_of_the_users_turn():
    attempt = Attempt("token_budget", in_order("\\boxed{2}"), budget=9, chat=True)
    attempt.run()
    assert attempt.prompts == [f"{PROBLEM.text}\n\n{_solve(9)}\n"]


def _solve(budget):
    return f"Think step by step, and use fewer than {budget} tokens in all."


def refined(*texts, **options):
    return Attempt("self_refine", in_order(*texts), **options)


def test_each_turn_stands_behind_the_exact_ones_before():
    attempt = refined("\\boxed{1}", "wrong", "\\boxed{2}", "fine", "\\boxed{3}", rounds=2)
    solution = attempt.run()
    for shorter, longer in zip(attempt.requests, attempt.requests[1:], strict=False):
        assert longer.prompt_ids[: len(shorter.prompt_ids)] == shorter.prompt_ids
    assert [one.answer for one in solution.candidates] == ["1", "2", "3"]
    assert chosen(solution) == "3"
    last = solution.candidates[-1]
    assert last.token_ids == tuple(map(ord, last.text))
    assert attempt.paid == last.generated_tokens == 3 * len("\\boxed{1}") + len("wrongfine")


def test_an_answer_of_an_earlier_turn_is_not_the_revisions():
    attempt = refined("\\boxed{1}", "\\boxed{9}?", "I give up", rounds=1)
    solution = attempt.run()
    assert [one.answer for one in solution.candidates] == ["1", None]
    assert chosen(solution) == "1"  # the last one that has an answer


def test_the_choice_by_majority_and_by_the_verifier():
    texts = ["\\boxed{1}", "f", "\\boxed{1}", "f", "\\boxed{2}"]
    assert chosen(refined(*texts).run()) == "2"
    assert chosen(refined(*texts, choose="majority").run()) == "1"

    sure = iter([-1.0, -9.0, -0.1, -9.0, -9.0])

    def script(prompt, request):
        text = texts.pop(0)
        return Completion(tuple(map(ord, text)), text, next(sure), "stop")

    solution = Attempt("self_refine", script, choose="best").run()
    assert len(solution.scores) == 3
    assert chosen(solution) == "1"


@pytest.mark.parametrize("budget", [9, 10, 15, 30, 60])
def test_a_spent_budget_ends_the_rounds(budget):
    attempt = refined(*["\\boxed{1}"] * 9, allowance=budget, rounds=4)
    assert chosen(attempt.run()) == "1"
    assert attempt.paid <= budget


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("token_budget", {"budget": 0}, "budget"),
        ("token_budget", {"estimate_tokens": 0}, "estimate_tokens"),
        ("token_budget", {"fallback": 0}, "fallback"),
        ("self_refine", {"rounds": 0}, "rounds"),
        ("self_refine", {"feedback_tokens": 0}, "feedback_tokens"),
    ],
)
def test_bad_parameters_are_named(name, params, field):
    with pytest.raises(ValueError, match=field):
        Attempt(name, in_order(), **params)
