"""What the session offers to searches: limits of whole solutions, and a generator."""

from __future__ import annotations

import asyncio
import random

import pytest
from search_worlds import World


def test_a_whole_solution_is_bounded_whatever_its_parent_has():
    world = World({"": ["ab\n\n", "abcd\n\n"], "ab\n\n": ["x" * 50], "abcd\n\n": ["y" * 50]})

    async def go():
        parents = await world.session.sample(2, stop=("\n\n",))
        return await world.session.extend(parents, n=2, total_tokens=10)

    children = asyncio.run(go())
    texts = [child.text for child in children]
    assert texts == ["ab\n\nxxxxxx"] * 2 + ["abcd\n\nyyyy"] * 2
    assert {child.generated_tokens for child in children} == {10}
    assert all(child.finish_reason == "length" for child in children)


def test_max_tokens_bounds_the_continuation_all_the_same():
    world = World({"": ["ab\n\n"], "ab\n\n": ["x" * 50]})

    async def go():
        parents = await world.session.sample(1, stop=("\n\n",))
        return await world.session.extend(parents, max_tokens=3, total_tokens=10)

    assert asyncio.run(go())[0].generated_tokens == 7


def test_a_candidate_that_is_full_is_refused():
    world = World({"": ["x" * 50]})

    async def go():
        return await world.session.extend(
            await world.session.sample(1, max_tokens=10), total_tokens=10
        )

    with pytest.raises(ValueError, match="has 10 tokens already"):
        asyncio.run(go())


def test_only_what_a_limit_leaves_room_for_is_reserved():
    # 6 of 16 tokens are spent; the other 10 are shared by draws that need 4 each.
    world = World({"": ["abcd\n\n"], "abcd\n\n": ["y" * 50]}, budget=16)

    async def go():
        parents = await world.session.sample(1, stop=("\n\n",), max_tokens=8)
        return await world.session.extend(parents, n=2, total_tokens=10)

    assert [child.generated_tokens for child in asyncio.run(go())] == [10, 10]


def test_the_generator_is_that_of_seed_and_problem():
    draws = [World({}, seed=seed).session.rng.random() for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    random.seed(5)
    assert World({}).session.rng.random() == draws[0]
    session = World({}).session
    assert session.rng is session.rng


def test_how_the_suite_draws_is_known():
    assert World({}, max_tokens=7, stop=("#",)).session.sampling.stop == ("#",)
