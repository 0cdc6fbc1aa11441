"""What every step-wise search must keep."""

from __future__ import annotations

import random

import pytest
from search_worlds import PROBLEM, World, load, texts

from tts_bench.engine.base import Request
from tts_bench.strategy.tree import columns, whole_texts

NAMES = ["beam_search", "dvts", "rebase", "particle_filter", "mcts", "logprob_beam_search"]
VARIANTS = [
    *((name, {}) for name in NAMES),
    ("beam_search", {"lookahead": 2}),
    ("beam_search", {"duplicates": "keep", "step_tokens": 9}),
    ("particle_filter", {"resampling": "systematic"}),
    ("mcts", {"parallel": 3}),
    ("mcts", {"value": "confidence"}),
    ("logprob_beam_search", {"score": "sum"}),
]


@pytest.fixture(params=VARIANTS, ids=str)
def variant(request):
    return request.param


def rambling(prompt: str, request: Request) -> str:
    """Steps of various lengths, and an answer sooner or later."""
    rng = random.Random(request.seed)
    step = "x" * rng.randrange(1, 9)
    return f"{step} \\boxed{{{rng.randrange(3)}}}" if rng.random() < 0.3 else f"{step}\n\n"


def moody(text: str) -> float:
    return random.Random(text).random()


def attempt(variant, budget=None, seed=0, n=4, **sampling):
    name, params = variant
    world = World(rambling, moody, budget=budget, seed=seed, **sampling)
    return world, world.solve(name, n=n, **params)


def test_no_budget_is_exceeded_and_whatever_was_found_is_returned(variant):
    full, best = attempt(variant)
    # Every budget within the first steps, then every eleventh, and whether it is just enough.
    budgets = {*range(1, 60), *range(60, full.spent, 11), *range(full.spent - 1, full.spent + 2)}
    for budget in sorted(budgets):
        world, solution = attempt(variant, budget)
        assert 0 < world.spent <= budget
        assert solution.candidates
    assert attempt(variant, 10**7)[1] == best


def test_the_result_depends_on_the_seed_and_on_nothing_else(variant):
    _, first = attempt(variant)
    random.seed(123)
    assert attempt(variant)[1] == first
    assert any(attempt(variant, seed=seed)[1] != first for seed in (1, 2, 3))


def test_no_solution_is_longer_than_one_that_is_drawn_at_once(variant):
    world, solution = attempt(variant, max_tokens=12)
    assert max(candidate.generated_tokens for candidate in solution.candidates) <= 12
    for request in world.requests:
        written = len(request.prompt_ids) - len(PROBLEM.text)
        assert written + request.sampling.max_tokens <= 12


def test_what_is_left_open_at_the_end_is_nothing(variant):
    _, solution = attempt(variant, max_tokens=40)
    for candidate in solution.candidates:
        assert candidate.finished or candidate.generated_tokens == 40


def test_it_spends_no_more_than_was_forecast(variant):
    name, params = variant
    world = World(rambling, moody, max_tokens=20)
    world.solve(name, n=4, max_steps=5, **params)
    strategy = load(name)(n=4, max_steps=5, **params)
    assert world.spent <= strategy.most_tokens(world.session.sampling)


def test_the_tree_of_the_search_tells_every_candidate(variant):
    _, solution = attempt(variant)
    whole = whole_texts(columns(solution.tree))
    assert whole == [node.candidate.text for node in solution.tree]
    assert set(texts(solution)) <= set(whole)


def test_one_candidate_is_drawn_step_by_step(variant):
    _, solution = attempt(variant, n=1)
    assert len(solution.candidates) == 1


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mcts"])
def test_a_level_is_one_call(name):
    world, _ = attempt((name, {}), n=8)
    levels = [text.count("\n\n") for text in world.drawn]
    assert levels == sorted(levels)
    assert world.calls == [levels.count(level) for level in range(max(levels) + 1)]


@pytest.mark.parametrize("name", NAMES)
def test_wrong_sizes_are_refused(name):
    for params in ({"n": 0}, {"max_steps": 0}, {"step_tokens": 0}, {"delimiter": ""}):
        with pytest.raises(ValueError, match=f"{next(iter(params))} must"):
            World({}).solve(name, **params)
