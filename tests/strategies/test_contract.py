"""What every strategy must keep, whichever it is.

Set TTS_BENCH_TEST_STRATEGIES to a folder to hold your own strategies to it as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import os
import random
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from scripted_attempts import Attempt as ScriptedAttempt

from tts_bench.cost.ledger import Budget
from tts_bench.dataset.base import Item
from tts_bench.engine.base import Completion, Request
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.errors import BudgetExhausted, EngineError
from tts_bench.prompt import Prompt
from tts_bench.run.attempt import AttemptContext
from tts_bench.strategy.base import AllocatingStrategy
from tts_bench.suite.cells import Cell
from tts_bench.suite.fields import field_types
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.types import Problem, Sampling, Solution
from tts_bench.verifier.base import VerifierInfo
from tts_bench.verifier.confidence import ConfidenceVerifier

FOLDERS = [Path(folder) for folder in [os.environ.get("TTS_BENCH_TEST_STRATEGIES")] if folder]
REGISTRY = Registry(FOLDERS)
NAMES = [name for name, where in REGISTRY.names(STRATEGIES).items() if where.endswith(".py")]
PROBLEMS = [Problem(f"p{i}", f"What is {i} + 1?") for i in range(24)]
REQUIRED = {
    "policy": {"file": str(Path(__file__).parents[1] / "support" / "policy.yaml"), "budget": 1.0}
}
"""Parameters of strategies that have no default for all of them."""
SECONDS = 60
"""Longer than anything here takes; a strategy that waits for ever fails then."""


def mixed(prompt: str, request: Request) -> str:
    """Solutions in steps: right, wrong, without an answer, or with one that is never closed."""
    rng = random.Random(f"{request.seed} {prompt}")
    steps = "".join(f"So {rng.randrange(9)} it is.\n\n" for _ in range(rng.randrange(3)))
    ends = ["\\boxed{2}", "\\boxed{2}", "\\boxed{3}", "no idea", "it is \\boxed{4"]
    return steps + rng.choice(ends)


def answering(prompt: str, request: Request) -> str:
    """The same steps with an answer in every text."""
    steps, _, _ = mixed(prompt, request).rpartition("\n\n")
    return f"{steps}\n\n\\boxed{{{1 + request.seed % 3}}}" if steps else "\\boxed{2}"


class Varied(ScriptedEngine):
    """Each completion has a confidence of its own, so that scores differ."""

    async def generate(self, request: Request) -> Completion:
        done = await super().generate(request)
        return replace(done, logprob=-random.Random(done.text).random() * len(done.token_ids))


class Shuffled(Varied):
    """Completions are finished in an order of their own, the short ones mostly first."""

    async def generate(self, request: Request) -> Completion:
        done = await super().generate(request)
        for _ in range(len(done.token_ids) % 7 + random.Random(request.seed).randrange(5)):
            await asyncio.sleep(0)
        return done


def attempt(name: str, script=mixed, **options) -> ScriptedAttempt:
    needed = REQUIRED.get(name, {})
    settings = {"max_tokens": 60, "engine": Varied, "registry": REGISTRY, **needed, **options}
    return ScriptedAttempt(name, script, **settings)


def solve(name: str, script=mixed, **options) -> Solution:
    return attempt(name, script, **options).run()


def sizes(name: str) -> dict[str, int]:
    """`n=1` for the strategies that have an n."""
    return {"n": 1} if "n" in REGISTRY.load(STRATEGIES, name).__dataclass_fields__ else {}


@pytest.fixture(params=NAMES)
def name(request) -> str:
    return request.param


async def solve_all(name: str, engine: type[ScriptedEngine], width: int) -> list[Solution]:
    free = asyncio.Semaphore(width)

    async def one(problem: Problem) -> Solution:
        async with free:
            return await attempt(name, problem=problem, engine=engine).solve()

    return await asyncio.gather(*(one(problem) for problem in PROBLEMS))


def test_the_same_seed_gives_the_same_solution_whatever_is_finished_first(name):
    alone = asyncio.run(solve_all(name, Varied, 1))
    assert alone == asyncio.run(solve_all(name, Varied, 64))
    assert alone == asyncio.run(solve_all(name, Shuffled, 64))


def test_seeds_tell_solutions_apart_where_anything_is_sampled(name):
    solutions = [solve(name, seed=seed) for seed in range(8)]
    if name != "greedy":
        assert len({repr(solution) for solution in solutions}) > 1


def test_it_chooses_one_of_its_own_candidates_that_has_an_answer(name):
    trial = attempt(name, answering)
    solution = trial.run()
    trial.session.check(solution.candidates)
    assert solution.chosen is not None
    assert solution.candidates[solution.chosen].answer is not None


@pytest.mark.parametrize("budget", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 377, 1597])
def test_it_never_spends_more_than_its_budget(name, budget):
    trial = attempt(name, allowance=budget)
    with contextlib.suppress(BudgetExhausted):
        trial.run()
    assert 0 < trial.paid <= budget


def test_it_survives_one_candidate(name):
    assert solve(name, **sizes(name)).candidates


def speechless(prompt: str, request: Request) -> str:
    """Texts without an answer, and nothing at all where one is asked for ("Answer:")."""
    return "" if prompt.endswith(":") else "First this.\n\nI cannot say."


def test_no_answer_anywhere_is_no_choice(name):
    solution = solve(name, speechless)
    assert solution.chosen is None
    assert solution.candidates


def test_equal_scores_are_no_trouble(name):
    solution = solve(name, lambda *_: "\\boxed{5}", engine=ScriptedEngine)
    assert solution.candidates[solution.chosen].answer == "5"


def test_every_text_truncated_is_no_trouble(name):
    solution = solve(name, lambda *_: "step by step " * 100)
    assert solution.chosen is None
    assert all(one.finish_reason == "length" for one in solution.candidates)


def test_empty_texts_are_no_trouble(name):
    assert solve(name, lambda *_: "").chosen is None


class Failing:
    """Plays `mixed` until call `at`, which fails."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self, prompt: str, request: Request) -> str:
        self.calls += 1
        if self.calls == self.at:
            raise EngineError("scripted failure")
        return mixed(prompt, request)


class NoGrader:
    async def grade(self, reference, answers, problem=""):
        return [answer == reference for answer in answers]


async def canonical(answers):
    return list(answers)


def graded(name: str, script) -> str:
    """Status of the attempt, as a run makes it."""
    cell = Cell(
        name, name, REGISTRY.load(STRATEGIES, name)(**REQUIRED.get(name, {})), Sampling(60), {}
    )
    problem = PROBLEMS[0]
    context = AttemptContext(
        engine=Varied(script),
        shape=None,
        verifier=ConfidenceVerifier(),
        verifier_info=VerifierInfo("confidence"),
        grader=NoGrader(),
        canonicalize=canonical,
        budget=Budget(),
        prompt=Prompt(chat=False),
    )
    item = Item(problem, "1")

    async def make() -> str:
        made, _ = await asyncio.wait_for(context.attempt(cell, item, 0), SECONDS)
        if made.status == "error":
            assert made.error == "EngineError: scripted failure"
            assert not made.correct
        return made.status

    return asyncio.run(make())


def test_an_engine_that_fails_at_any_call_makes_the_attempt_an_error(name):
    whole = Failing(0)
    assert graded(name, whole) in ("ok", "no_answer")
    for call in range(1, min(whole.calls, 60) + 1):
        assert graded(name, Failing(call)) == "error", f"call {call} of {whole.calls}"


def numbers(name: str) -> list[tuple[str, object]]:
    """Every number among the parameters, with a value that none can have."""
    types = field_types(REGISTRY.load(STRATEGIES, name))
    kinds = {field: {kind, *get_args(kind)} for field, kind in types.items()}
    return [(field, -1) for field, kind in kinds.items() if int in kind] + [
        (field, math.nan) for field, kind in kinds.items() if float in kind
    ]


def test_a_number_that_makes_no_sense_is_refused_by_its_name(name):
    cls = REGISTRY.load(STRATEGIES, name)
    for field, value in numbers(name):
        with pytest.raises(ValueError, match=field):
            cls(**{**REQUIRED.get(name, {}), field: value})


def test_it_says_how_much_it_may_spend_and_keeps_to_it(name):
    trial = attempt(name)
    most = trial.strategy.most_tokens(trial.session.sampling)
    assert most is None or most >= 1
    trial.run()
    assert most is None or trial.paid <= most


ALLOCATING = [
    name for name in NAMES if issubclass(REGISTRY.load(STRATEGIES, name), AllocatingStrategy)
]


@pytest.mark.parametrize("name", ALLOCATING)
def test_one_that_shares_out_a_budget_gives_every_problem_its_part(name):
    cls = REGISTRY.load(STRATEGIES, name)
    trials = [attempt(name, problem=problem) for problem in PROBLEMS[:12]]
    probes = [asyncio.run(one.strategy.probe_problem(one.problem, one.session)) for one in trials]
    probes[3] = None
    given = cls().allocate(probes)
    assert len(given) == len(probes)
    assert given == cls().allocate(list(probes))
    for strategy, trial in zip(given, trials, strict=True):
        fresh = attempt(name, problem=trial.problem)
        assert asyncio.run(strategy.solve(trial.problem, fresh.session)).candidates


def test_it_keeps_no_state_between_problems(name):
    cls = REGISTRY.load(STRATEGIES, name)
    strategy = cls(**REQUIRED.get(name, {}))
    assert hash(strategy) == hash(cls(**REQUIRED.get(name, {})))
    with pytest.raises(dataclasses.FrozenInstanceError):
        strategy.anything = 1
