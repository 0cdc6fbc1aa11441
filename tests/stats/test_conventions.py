"""Conventions of a vote: each choice counted by hand, and the defaults those of a run's rows."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from tts_bench.stats.conventions import (
    THIS,
    Convention,
    Draws,
    coverage,
    mean_of_draws,
    value_at,
)
from tts_bench.strategy.select import SELECTORS

FIRST = Convention(draws="first")
TWO_TWO = Draws(
    answers=("7", "8", None, "8", "7.0"),
    classes=(0, 1, -1, 1, 0),
    correct=(True, False, False, False, True),
    scores=(0.2, 0.9, 0.95, 0.1, 0.8),
)


@pytest.mark.parametrize("rule", ["majority", "best", "weighted"])
@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_the_defaults_are_those_of_a_runs_rows(rule, k):
    theirs = SELECTORS[rule].expected(TWO_TWO.classes, TWO_TWO.scores, TWO_TWO.correct, k, 3)
    assert value_at(rule, TWO_TWO, k, THIS, 3) == theirs


@pytest.mark.parametrize(("ties", "value"), [("expectation", 0.5), ("first", 1.0), ("none", 0.0)])
def test_a_tie_is_shared_goes_to_the_first_or_is_wrong(ties, value):
    assert value_at("majority", TWO_TWO, 2, replace(FIRST, ties=ties)).value == value


def test_the_first_k_are_not_all_subsets():
    assert value_at("majority", TWO_TWO, 1, FIRST).value == 1.0
    assert value_at("majority", TWO_TWO, 1, THIS).value == pytest.approx(0.4)
    assert mean_of_draws(TWO_TWO.correct, 2, FIRST) == 0.5
    assert mean_of_draws(TWO_TWO.correct, 2, THIS) == 0.4
    assert coverage(TWO_TWO, 2) == pytest.approx(0.7)
    assert coverage(replace(TWO_TWO, firsts=(0, 1, 2)), 1) == pytest.approx(1 / 3)


def test_a_missing_answer_abstains_or_is_chosen_and_wrong():
    mute = Draws((None, None, "7", "8"), (-1, -1, 0, 1), (False, False, True, False), (9, 8, 2, 1))
    at = {
        missing: [
            value_at(rule, mute, 4, replace(FIRST, missing=missing)).value
            for rule in ("majority", "best", "weighted")
        ]
        for missing in ("abstain", "class", "wrong")
    }
    # Two empty answers are a class of two; each on its own ties with 7 and 8 in a vote of four.
    assert at == {"abstain": [0.5, 1.0, 1.0], "class": [0.0, 0.0, 0.0], "wrong": [0.25, 0.0, 0.0]}


def test_a_pool_without_any_answer_is_wrong():
    none = Draws((None, None), (-1, -1), (False, False), (1.0, 2.0))
    for rule in ("majority", "best", "weighted"):
        for draws in ("first", "subsets"):
            assert value_at(rule, none, 2, replace(THIS, draws=draws)).value == 0


def test_a_weighted_vote_sums_scores_or_takes_their_mean():
    pool = Draws(("1", "1", "2"), (0, 0, 1), (False, False, True), (0.4, 0.4, 0.7))
    assert value_at("weighted", pool, 3, FIRST).value == 0
    assert value_at("weighted", pool, 3, replace(FIRST, votes="mean")).value == 1


def test_answers_are_one_by_value_or_by_how_they_are_written():
    pool = Draws(("1/2", "0.5", "3"), (0, 0, 1), (True, True, False))
    assert value_at("majority", pool, 3, FIRST).value == 1
    assert value_at("majority", pool, 3, replace(FIRST, answers="literal")).value == pytest.approx(
        2 / 3
    )


def test_answers_graded_apart_are_two_in_a_majority_and_the_last_counts_in_a_weighted_vote():
    pool = Draws(("7", "7", "8", "8", "7"), (0, 0, 1, 1, 0), (True, False, True, True, False))
    graded = replace(FIRST, answers="graded")
    # Two of 7 are wrong and one is right; two of 8 are right.
    assert value_at("majority", pool, 5, graded).value == 0.5
    assert value_at("majority", pool, 5, FIRST).value == 1
    scored = replace(pool, scores=(0.9, 0.1, 0.1, 0.1, 0.1))
    assert value_at("weighted", scored, 5, graded).value == 0
    assert value_at("weighted", scored, 5, FIRST).value == 1
    assert value_at("weighted", scored, 5, replace(graded, draws="subsets")).value == 0


def test_equal_scores_of_one_answer_are_no_tie():
    same = Draws(("1", "1", "2"), (0, 0, 1), (True, True, False), (0.9, 0.9, 0.1))
    assert value_at("best", same, 3, replace(FIRST, score_ties="none")).value == 1
    other = replace(same, scores=(0.9, 0.1, 0.9))
    assert value_at("best", other, 3, replace(FIRST, score_ties="none")).value == 0


@pytest.mark.parametrize("rule", ["majority", "best", "weighted"])
@pytest.mark.parametrize(
    "changes",
    [
        {"ties": "none", "score_ties": "none"},
        {"missing": "class"},
        {"missing": "wrong"},
        {"votes": "mean", "score_ties": "none"},
    ],
)
def test_subsets_are_the_mean_of_first_k_over_every_order(rule, changes):
    convention, k = replace(THIS, **changes), 3
    orders = [
        Draws(*([column[i] for i in order] for column in (
            TWO_TWO.answers, TWO_TWO.classes, TWO_TWO.correct, TWO_TWO.scores
        )))
        for order in itertools.permutations(range(5))
    ]  # fmt: skip
    mean = sum(
        value_at(rule, one, k, replace(convention, draws="first")).value for one in orders
    ) / len(orders)
    assert value_at(rule, TWO_TWO, k, convention).value == pytest.approx(mean)


@pytest.mark.parametrize("k", [0, 6])
def test_more_draws_than_there_are_cannot_be_chosen_from(k):
    with pytest.raises(ValueError, match="between 1 and 5"):
        value_at("majority", TWO_TWO, k, THIS)


def test_a_rule_by_scores_needs_them():
    with pytest.raises(ValueError, match="needs a score"):
        value_at("best", replace(TWO_TWO, scores=()), 2, THIS)
