from __future__ import annotations

import random

import pytest

from tts_bench.dataset.arithmetic import LEVELS, Arithmetic, draw_problem
from tts_bench.steps import split_steps
from tts_bench.tiny.worked_arithmetic import CAREFUL, Care, check_steps, write_solution

PROBLEM = "Compute 6 * 8 - 19 + 2 * 5."
RIGHT = "<think>6 * 8 = 48\n\n48 - 19 = 29\n\n2 * 5 = 10\n\n29 + 10 = 39\n\n</think>\\boxed{39}"


def solution(*steps: str, answer: int) -> str:
    return "<think>" + "".join(f"{step}\n\n" for step in steps) + f"</think>\\boxed{{{answer}}}"


def test_a_careful_solution_computes_one_operation_per_step():
    assert write_solution(PROBLEM, CAREFUL, random.Random(0)) == RIGHT
    assert check_steps(PROBLEM, RIGHT) == [True] * 5


def test_careful_solutions_end_with_the_reference_on_all_levels():
    rng = random.Random(1)
    for item in Arithmetic(problems=200, seed=5).load():
        text = write_solution(item.problem.text, CAREFUL, rng)
        assert text.endswith(f"\\boxed{{{item.reference}}}")
        assert len(split_steps(text)) == LEVELS[item.problem.level or 0].operations + 1
        assert all(check_steps(item.problem.text, text))


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        # A slip: all that follows in the pass is off the track, though consistent with it.
        (
            solution("6 * 8 = 48", "48 - 19 = 39", "2 * 5 = 10", "39 + 10 = 49", answer=49),
            [True, False, False, False, False],
        ),
        # Two slips that cancel out make a right answer of wrong reasoning.
        (
            solution("6 * 8 = 48", "48 - 19 = 39", "2 * 5 = 10", "39 + 10 = 39", answer=39),
            [True, False, False, False, False],
        ),
        # A wrong operand, a missing step, an answer other than the last value.
        (solution("6 * 8 = 48", "48 - 18 = 30", answer=30), [True, False, False]),
        (solution("6 * 8 = 48", "48 - 19 = 29", answer=29), [True, True, False]),
        (RIGHT.replace("{39}", "{38}"), [True, True, True, True, False]),
        # Words, and steps beyond the last operation.
        ("<think>Let us see.\n\n</think>\\boxed{39}", [False, False]),
        (RIGHT.replace("</think>", "39 + 1 = 40\n\n</think>"), [True] * 4 + [False] * 2),
        # Cut off in the middle of a step.
        ("<think>6 * 8 = 48\n\n48 - 1", [True, False]),
    ],
)
def test_every_kind_of_error_is_found_where_it_is_made(text: str, labels: list[bool]):
    assert check_steps(PROBLEM, text) == labels


def test_a_second_pass_mends_a_slip():
    first = ["6 * 8 = 48", "48 - 19 = 39", "2 * 5 = 10", "39 + 10 = 49"]
    second = ["Wait, check: 6 * 8 = 48", "48 - 19 = 29", "2 * 5 = 10", "29 + 10 = 39"]
    labels = check_steps(PROBLEM, solution(*first, *second, answer=39))
    assert labels == [True, False, False, False, True, True, True, True, True]


def test_a_value_outside_the_usual_range_goes_on():
    text = solution("6 * 8 = 48", "48 - 19 = -3", "2 * 5 = 10", "-3 + 10 = 7", answer=7)
    assert check_steps(PROBLEM, text) == [True, False, False, False, False]


def test_slips_come_at_their_rates():
    # 42 - 17 is a difference with a long borrow: forgotten in 6 of 10, and no other slip.
    care = Care(easy=0, hard=0, forgotten=0, forgotten_long=0.6, recheck=0)
    rng = random.Random(3)
    texts = [write_solution("Compute 42 - 17.", care, rng) for _ in range(4000)]
    forgotten = sum(text.endswith("\\boxed{35}") for text in texts)
    assert forgotten + sum(text.endswith("\\boxed{25}") for text in texts) == 4000
    assert forgotten / 4000 == pytest.approx(0.6, abs=0.04)  # five standard errors


@pytest.mark.parametrize(("problem", "wrong"), [("Compute 17 + 25.", 32), ("Compute 30 - 4.", 36)])
def test_forgotten_carries_and_borrows(problem: str, wrong: int):
    care = Care(easy=0, hard=0, forgotten=1, forgotten_long=0, recheck=0)
    assert write_solution(problem, care, random.Random(0)).endswith(f"\\boxed{{{wrong}}}")


def test_every_slip_changes_the_value():
    care = Care(easy=1, hard=1, forgotten=0, forgotten_long=0, recheck=0)
    rng = random.Random(4)
    for level in LEVELS.values():
        for _ in range(50):
            problem, _ = draw_problem(rng, level)
            assert not any(check_steps(problem, write_solution(problem, care, rng)))


def test_passes_are_counted_and_rechecks_slip_less():
    care = Care(easy=0.5, hard=0.5, forgotten=0, forgotten_long=0, recheck=1, rechecked=0, passes=3)
    rng = random.Random(5)
    for item in Arithmetic(problems=20).load():
        text = write_solution(item.problem.text, care, rng)
        assert text.count("Wait, check: ") == 2
        assert check_steps(item.problem.text, text)[-1]


def test_each_further_pass_is_more_careful():
    care = Care(easy=0, hard=0, forgotten=0, forgotten_long=0.8, recheck=1, rechecked=0.5, passes=3)
    rng = random.Random(6)
    passes = [check_steps("Compute 42 - 17.", write_solution("Compute 42 - 17.", care, rng))[:3]
              for _ in range(4000)]  # fmt: skip
    rates = [1 - sum(labels[i] for labels in passes) / 4000 for i in range(3)]
    assert rates == pytest.approx([0.8, 0.4, 0.2], abs=0.04)  # five standard errors
