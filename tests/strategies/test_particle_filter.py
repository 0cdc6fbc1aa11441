"""Particle filtering: what survives a resampling, and when there is none."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from search_worlds import World, module, texts

MODULE = module("particle_filter")


def test_a_weight_is_the_odds_of_the_score():
    assert MODULE.odds(0.5) == 1.0
    assert MODULE.odds(0.8) == pytest.approx(4.0)
    assert math.log(MODULE.odds(0.2)) == pytest.approx(-1.386294, rel=1e-6)
    assert 0 < MODULE.odds(0.0) < MODULE.odds(1.0) < math.inf


@pytest.mark.parametrize("score", [-0.1, 1.5])
def test_a_score_that_is_no_probability_is_refused(score):
    with pytest.raises(ValueError, match="scores between 0 and 1"):
        World({"": ["a\n\n"]}, lambda _: score).solve("particle_filter", n=2)


def test_systematic_copies_differ_from_their_share_by_less_than_one():
    rng = random.Random(0)
    for _ in range(500):
        n = rng.randrange(1, 20)
        weights = [rng.random() ** 3 + 1e-9 for _ in range(n)]
        counts = Counter(MODULE.systematic(list(range(n)), weights, rng))
        assert sum(counts.values()) == n
        for i, weight in enumerate(weights):
            share = n * weight / sum(weights)
            assert math.floor(share - 1e-9) <= counts[i] <= math.ceil(share + 1e-9)


@pytest.mark.parametrize("name", ["multinomial", "systematic"])
def test_copies_are_as_many_as_their_weights_on_average(name):
    rng, weights, counts = random.Random(1), [1.0, 2.0, 5.0, 0.0], Counter()
    for _ in range(5000):
        counts.update(getattr(MODULE, name)([0, 1, 2, 3], weights, rng))
    for i, weight in enumerate(weights):
        # Standard deviation of a multinomial share: at most 0.5 / sqrt(20000).
        assert counts[i] / 20000 == pytest.approx(weight / 8, abs=0.015)


def test_a_hopeless_particle_is_replaced_by_copies_of_a_good_one():
    tree = {"": ["a\n\n", "b\n\n"], "a\n\n": ["\\boxed{1}", "\\boxed{2}", "\\boxed{3}"]}
    for resampling in ("multinomial", "systematic"):
        world = World(tree, {"a\n\n": 1.0, "b\n\n": 0.0})
        solution = world.solve("particle_filter", n=4, resampling=resampling)
        assert world.drawn[4:] == ["a\n\n"] * 4
        # Copies go on differently.
        assert len(set(texts(solution))) == 3


def test_what_has_ended_is_resampled_while_others_go_on():
    tree = {"": ["\\boxed{9}", "a\n\n"], "a\n\n": ["\\boxed{1}"]}
    lost = World(tree, {"\\boxed{9}": 0.0, "a\n\n": 1.0}).solve("particle_filter", n=2)
    assert texts(lost) == ["a\n\n\\boxed{1}"] * 2
    world = World(tree, {"\\boxed{9}": 1.0, "a\n\n": 0.0})
    spread = world.solve("particle_filter", n=2)
    assert texts(spread) == ["\\boxed{9}"] * 2
    assert world.calls == [2]
    # Copies are one candidate, which coverage counts once.
    assert spread.candidates[0] is spread.candidates[1]


def test_nothing_is_resampled_once_all_have_ended():
    world = World({"": ["\\boxed{1}", "\\boxed{2}"]}, {"\\boxed{1}": 1.0, "\\boxed{2}": 0.0})
    solution = world.solve("particle_filter", n=2)
    assert texts(solution) == ["\\boxed{1}", "\\boxed{2}"]


def test_the_resampling_that_is_asked_for_is_the_one_that_is_done():
    tree = {"": [f"{i}\n\n" for i in range(8)]}

    def survivors(resampling):
        world = World(tree)
        world.solve("particle_filter", n=8, max_steps=2, resampling=resampling)
        return set(world.drawn[8:])

    # Of equal weights, systematic resampling loses none, and eight draws with repetition do.
    assert len(survivors("systematic")) == 8
    assert len(survivors("multinomial")) < 8


def test_the_generator_is_the_sessions_own():
    tree = {"": [f"{i}\n\n" for i in range(8)]}

    def survivors(seed):
        world = World(tree, seed=seed)
        world.solve("particle_filter", n=8, max_steps=2)
        return world.drawn[8:]

    random.seed(1)
    first = survivors(0)
    random.seed(2)
    assert survivors(0) == first
    assert survivors(1) != first
