"""DVTS: each subtree decides for itself."""

from __future__ import annotations

import pytest
from search_worlds import World, answer, texts

TREE = {
    "": ["a\n\n", "b\n\n", "c\n\n", "d\n\n"],
    "a\n\n": ["\\boxed{1}", "\\boxed{2}"],
    "b\n\n": ["\\boxed{3}", "\\boxed{4}"],
    "c\n\n": ["\\boxed{5}", "\\boxed{6}"],
    "d\n\n": ["\\boxed{7}", "\\boxed{8}"],
}


def test_the_best_step_of_each_subtree_goes_on_though_others_have_better_ones():
    # (a, b) and (c, d): beam search would keep a and b.
    world = World(TREE, {"a\n\n": 0.9, "b\n\n": 0.8, "c\n\n": 0.1, "d\n\n": 0.2})
    solution = world.solve("dvts", n=4, beam_width=2)
    assert world.drawn[4:] == ["a\n\n", "a\n\n", "d\n\n", "d\n\n"]
    assert [text[-9:] for text in texts(solution)] == [f"\\boxed{{{i}}}" for i in (1, 2, 7, 8)]


def test_what_has_ended_keeps_its_place_and_the_best_of_the_others_goes_on():
    tree = {**TREE, "": ["\\boxed{9}", "b\n\n", "c\n\n", "d\n\n"]}
    world = World(tree, {"\\boxed{9}": 0.99, "b\n\n": 0.1, "c\n\n": 0.7, "d\n\n": 0.6})
    solution = world.solve("dvts", n=4, beam_width=2, select="best")
    assert world.drawn[4:] == ["b\n\n", "c\n\n", "c\n\n"]
    assert texts(solution)[0] == "\\boxed{9}"
    assert len(solution.candidates) == 4
    assert all(candidate.finished for candidate in solution.candidates)
    assert answer(solution) == "9"


def test_a_subtree_that_has_ended_costs_nothing_more():
    tree = {"": ["\\boxed{1}", "\\boxed{2}", "c\n\n", "d\n\n"], "c\n\n": ["e\n\n"]}
    world = World(tree, {"c\n\n": 0.9})
    world.solve("dvts", n=4, beam_width=2)
    assert world.calls == [4, 2, 2]


def test_n_must_be_a_multiple_of_the_width():
    with pytest.raises(ValueError, match="n=6 must be a multiple of beam_width=4, or 1"):
        World({}).solve("dvts", n=6, beam_width=4)
    with pytest.raises(ValueError, match="beam_width must be at least 1"):
        World({}).solve("dvts", beam_width=0)
