"""REBASE: places shared out by the softmax of the scores."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from search_worlds import World, module, texts

widths = module("rebase").widths


def test_shares_are_rounded_up_from_the_best_step_down():
    # Weights 1, e^-1, e^-2: 8 / 1.5032 = 5.3 -> 6; of the 2 left 0.3679 / 0.5032 = 1.5 -> 2.
    assert widths([1.0, 0.8, 0.6], 8, 0.2) == [6, 2, 0]
    assert widths([0.6, 1.0, 0.8], 8, 0.2) == [0, 6, 2]


def test_equal_scores_share_equally():
    assert widths([0.5] * 4, 8, 0.2) == [2, 2, 2, 2]
    assert widths([0.3] * 3, 7, 0.2) == [3, 2, 2]


@pytest.mark.parametrize("balance", [0.01, 0.2, 5.0])
def test_widths_sum_to_what_is_left_however_scores_lie(balance):
    rng = random.Random(0)
    for _ in range(500):
        scores = [rng.choice([rng.random(), 0.0, 1.0, -400.0]) for _ in range(rng.randrange(1, 9))]
        budget = rng.randrange(1, 40)
        found = widths(scores, budget, balance)
        assert sum(found) == budget
        assert min(found) >= 0
        # A better step never has fewer.
        ranked = [width for _, width in sorted(zip(scores, found, strict=True), reverse=True)]
        if len(set(scores)) == len(scores):
            assert ranked == sorted(ranked, reverse=True)


def test_better_steps_have_more_children_and_what_has_ended_frees_no_place():
    tree = {"": ["\\boxed{9}", "a\n\n", "b\n\n", "c\n\n"]}
    world = World(tree, {"\\boxed{9}": 0.99, "a\n\n": 1.0, "b\n\n": 0.8, "c\n\n": 0.6})
    solution = world.solve("rebase", n=4)
    # Three places: 3 / 1.5032 = 1.996 -> 2, then 1.
    assert Counter(world.drawn[4:]) == {"a\n\n": 2, "b\n\n": 1}
    assert len(solution.candidates) == 4
    assert texts(solution)[0] == "\\boxed{9}"


def test_the_balance_must_be_positive():
    with pytest.raises(ValueError, match="balance must be more than 0"):
        World({}).solve("rebase", balance=0.0)
