"""Steps: cutting loses nothing, folding follows the definitions, the first drop is found."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.steps import aggregate, find_error_step, first_error, split_steps

SCORES = [0.9, 0.5, 0.8]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ("one", ["one"]),
        ("one\n\ntwo", ["one\n\n", "two"]),
        ("one\n\ntwo\n\n", ["one\n\n", "two\n\n"]),
        ("one\n\n\n\ntwo", ["one\n\n\n\n", "two"]),
        ("one\n\n \n\ntwo\n\n  ", ["one\n\n \n\n", "two\n\n  "]),
        ("\n\none\n\ntwo", ["\n\none\n\n", "two"]),
        ("one\n\n\ntwo", ["one\n\n", "\ntwo"]),
        ("line\nof one\n\ntwo", ["line\nof one\n\n", "two"]),
        (" \n\n ", []),
    ],
)
def test_a_text_is_cut_behind_each_delimiter_and_blank_pieces_are_no_steps(
    text: str, steps: list[str]
):
    assert split_steps(text) == steps


def test_any_delimiter_will_do_but_the_empty_one():
    assert split_steps("a\nb\n", "\n") == ["a\n", "b\n"]
    assert split_steps("a ки b ки ки", " ки") == ["a ки", " b ки ки"]
    with pytest.raises(ValueError, match="delimiter"):
        split_steps("a", "")


@given(st.text(alphabet="ab \n", max_size=40), st.sampled_from(["\n", "\n\n", "b", "ab"]))
def test_joining_the_steps_gives_the_text_back(text: str, delimiter: str):
    steps = split_steps(text, delimiter)
    if steps:
        assert "".join(steps) == text
    else:
        assert not text.replace(delimiter, "").strip()
    assert all(step.replace(delimiter, "").strip() for step in steps)
    assert all(step.endswith(delimiter) or delimiter in step for step in steps[:-1])


def test_aggregates_follow_their_definitions():
    assert aggregate(SCORES, "last") == 0.8
    assert aggregate(SCORES, "min") == 0.5
    assert aggregate(SCORES, "prod") == pytest.approx(0.36)
    assert aggregate(SCORES, "mean") == pytest.approx(2.2 / 3)
    assert aggregate(SCORES, "gmean") == pytest.approx(0.36 ** (1 / 3))
    assert aggregate(SCORES, "max") == max(SCORES)


def test_a_geometric_mean_of_many_scores_is_no_zero_by_rounding():
    assert aggregate([0.01] * 400, "gmean") == pytest.approx(0.01)
    assert aggregate([0.5, 0.0], "gmean") == 0.0
    with pytest.raises(ValueError, match="below 0, -1"):
        aggregate([0.5, -1], "gmean")


def test_a_score_of_zero_is_a_score():
    assert aggregate([0.9, 0.0], "last") == 0.0
    assert aggregate([0.0, 0.9], "min") == 0.0
    assert aggregate([0.0, 0.9], "prod") == 0.0
    assert aggregate([0.0, 0.9], "mean") == pytest.approx(0.45)


def test_what_cannot_be_aggregated_is_an_error():
    with pytest.raises(ValueError, match="no step scores"):
        aggregate([], "prod")
    with pytest.raises(ValueError, match="median"):
        aggregate(SCORES, "median")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="step 1"):
        aggregate([0.5, math.nan], "min")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_for_probabilities_the_aggregates_are_ordered(scores: list[float]):
    product, least = aggregate(scores, "prod"), aggregate(scores, "min")
    assert product <= least <= aggregate(scores, "mean") * (1 + 1e-12)
    assert least <= aggregate(scores, "last")


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ([0.95, 0.88, 0.72, 0.05, 0.02], 3),
        ([0.9, 0.8, 0.7], -1),
        ([0.8, 0.4], -1),  # exactly half is no fall below it
        ([0.8, 0.39], 1),
        ([0.9, 0.2, 0.9, 0.1], 1),
        ([0.9, 0.0, 0.0], 1),
        ([], -1),
    ],
)
def test_the_first_fall_below_half_of_the_score_before_is_the_error(scores: list[float], step: int):
    assert find_error_step(scores) == step


def test_the_first_step_is_compared_with_a_right_problem():
    assert find_error_step([0.1, 0.9]) == 0
    assert find_error_step([0.5, 0.5]) == -1
    # Not with the last step, which is where index -1 would look.
    assert find_error_step([0.6, 0.9, 2.0]) == -1
    assert find_error_step([0.1, 0.09], before=0) == -1


def test_the_drop_can_be_chosen():
    assert find_error_step([0.9, 0.6], drop=0.5) == -1
    assert find_error_step([0.9, 0.6], drop=0.8) == 1
    with pytest.raises(ValueError, match="step 0"):
        find_error_step([math.inf])


def test_the_first_wrong_label():
    assert first_error([True, False, True]) == 1
    assert first_error([True]) == first_error([]) == -1
