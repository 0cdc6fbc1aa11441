"""MCTS: simulations that can be followed by hand."""

from __future__ import annotations

import math

import pytest
from search_worlds import World, answer, load, module, texts

from tts_bench.engine.base import Completion

MODULE = module("mcts")
TREE = {
    "": ["a\n\n", "b\n\n"],
    "a\n\n": ["\\boxed{1}", "\\boxed{2}"],
    "b\n\n": ["\\boxed{3}", "\\boxed{4}"],
}
SCORES = {
    "a\n\n": 0.6,
    "b\n\n": 0.5,
    "a\n\n\\boxed{1}": 0.2,
    "a\n\n\\boxed{2}": 0.3,
    "b\n\n\\boxed{3}": 0.9,
    "b\n\n\\boxed{4}": 0.1,
}


def found(n: int, **params) -> tuple[World, list[str]]:
    world = World(TREE, SCORES)
    return world, [text[-2] for text in texts(world.solve("mcts", n=n, children=2, **params))]


def test_simulations_go_where_puct_says():
    # With priors 0.5 and c = 1.25:
    # 1: a 0.6 + 0.625 before b 0.5 + 0.625; there 2 (0.3) before 1; Q(a) = 0.9 / 2.
    # 2: a 0.45 + 0.625 sqrt(2) / 2 = 0.892, b 0.5 + 0.625 sqrt(2) = 1.384; there 3: Q(b) = 0.7.
    # 3: a 0.45 + 0.625 sqrt(3) / 2 = 0.991, b 0.7 + 0.541 = 1.241; there 4, 3 being found.
    # 4: nothing is left but 1.
    for n, solutions in [(1, "2"), (2, "23"), (3, "234"), (4, "2341")]:
        assert "".join(found(n)[1]) == solutions


def test_without_exploration_the_mean_value_alone_decides():
    # After 2 (0.3): Q(a) = 0.45 < 0.5 = Q(b); after 3 (0.9): Q(b) = 0.7; after 4: 1.5 / 3 > Q(a).
    assert "".join(found(4, exploration=0.0)[1]) == "2341"
    scores = {**SCORES, "a\n\n\\boxed{2}": 0.6}  # Q(a) stays 0.6 and wins again
    world = World(TREE, scores)
    solution = world.solve("mcts", n=2, children=2, exploration=0.0)
    assert [text[-2] for text in texts(solution)] == ["2", "1"]


def test_a_tree_that_is_found_out_ends_the_search():
    world, solutions = found(50)
    assert sorted(solutions) == ["1", "2", "3", "4"]
    assert world.calls == [2, 2, 2]


def test_each_step_is_drawn_and_scored_once():
    world, _ = found(4)
    assert sorted(world.scored) == sorted(SCORES)


def test_simulations_at_once_spread_out_and_draw_in_one_call():
    world, solutions = found(2, parallel=2)
    assert world.calls == [2, 4]
    assert solutions == ["2", "3"]


def test_simulations_at_once_find_nothing_twice():
    for parallel in (2, 3, 8):
        assert sorted(found(8, parallel=parallel)[1]) == ["1", "2", "3", "4"]


def test_puct_by_hand():
    mcts = load("mcts")(exploration=2.0)
    world = World({})
    node = world.solve("mcts", n=1).tree[0]  # its score is 0.5
    place, step = MODULE.Branch(None, visits=9), MODULE.Branch(node, 0.25, visits=2, total=1.0)
    assert step.value == pytest.approx(1.5 / 3)
    assert mcts.puct(place, step) == pytest.approx(0.5 + 2 * 0.25 * 3 / 3)


def test_priors_are_the_steps_probabilities_per_token():
    def step(text: str, mean: float) -> Completion:
        return Completion(tuple(map(ord, text)), text, mean * len(text), "stop", "\n\n")

    # b is longer, and likelier per token: 0.8 / (0.8 + 0.2).
    world = World({"": [step("a\n\n", math.log(0.2)), step("bbbbbb\n\n", math.log(0.8))]})
    tree = world.solve("mcts", n=1, children=2).tree
    assert world.drawn[2] == "bbbbbb\n\n"
    assert MODULE.likelihood(tree[1].candidate, None) == pytest.approx(0.8)


def test_twins_are_one_step():
    world = World({"": ["a\n\n"] * 4, "a\n\n": ["\\boxed{1}"] * 4})
    solution = world.solve("mcts", n=8, children=4)
    assert texts(solution) == ["a\n\n\\boxed{1}"]
    assert world.scored == ["a\n\n", "a\n\n\\boxed{1}"]


def test_confidence_asks_no_verifier():
    world = World(TREE, SCORES)
    solution = world.solve("mcts", n=4, children=2, value="confidence")
    assert not world.scored
    assert [score.value for score in solution.scores] == pytest.approx([math.exp(-0.1)] * 4)


def test_a_budget_that_ends_the_first_simulation_leaves_its_steps():
    world = World(TREE, SCORES, budget=6)
    solution = world.solve("mcts", n=4, children=2)
    assert texts(solution) == ["a\n\n", "b\n\n"]
    assert answer(solution) is None


@pytest.mark.parametrize("params", [{"children": 0}, {"parallel": 0}, {"exploration": -1.0}])
def test_wrong_parameters_are_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        World({}).solve("mcts", **params)
