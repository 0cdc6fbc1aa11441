"""What the flat strategies choose, on pools made by hand."""

from __future__ import annotations

import asyncio

import pytest

from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.base import Completion
from tts_bench.engine.scripted import CharacterTokenizer, ScriptedEngine
from tts_bench.prompt import Dialogue, Prompt
from tts_bench.strategy.session import Session
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.types import Problem, Sampling
from tts_bench.verifier.confidence import ConfidenceVerifier

# Answer (None: none), number of tokens, mean log-prob.
POOL = [("7", 4, -0.30), ("5", 10, -0.20), ("5", 9, -0.90), (None, 3, -0.01), ("3", 2, -0.25)]


def completion(answer: str | None, tokens: int, mean: float) -> Completion:
    text = f"\\boxed{{{answer}}}" if answer else "nothing"
    return Completion(tuple(range(tokens)), text, mean * tokens, "stop")


def chosen(name: str, pool=POOL, **params) -> str | None:
    draws = iter(pool)

    async def same(answers):
        return list(answers)

    session = Session(
        Dialogue(Problem("p", "?"), (1, 2), Prompt(chat=False), CharacterTokenizer()),
        engine=ScriptedEngine(lambda *_: completion(*next(draws))),
        verifier=ConfidenceVerifier(),
        ledger=Ledger(Meter(None), Meter(None, has_model=False), Budget()),
        sampling=Sampling(max_tokens=40),
        seed=0,
        canonicalize=same,
    )
    strategy = Registry().load(STRATEGIES, name)(n=len(pool), **params)
    solution = asyncio.run(strategy.solve(Problem("p", "?"), session))
    return None if solution.chosen is None else solution.candidates[solution.chosen].answer


@pytest.mark.parametrize(
    ("name", "params", "answer"),
    [
        ("best_of_n", {}, "5"),  # the highest mean log-prob among those with an answer
        ("self_consistency", {}, "5"),
        ("weighted_vote", {}, "5"),
        ("logprob_ranking", {"normalize": "mean"}, "5"),
        ("logprob_ranking", {"normalize": "sum"}, "3"),  # the sum favours the short one
    ],
)
def test_the_choice_follows_the_rule(name, params, answer):
    assert chosen(name, **params) == answer


def test_no_answer_never_wins_though_it_is_the_most_common_and_most_confident():
    pool = [(None, 3, -0.01)] * 5 + [("8", 3, -2.0)]
    for name in ("best_of_n", "self_consistency", "weighted_vote", "logprob_ranking"):
        assert chosen(name, pool) == "8"


def test_weights_can_turn_a_majority_round():
    pool = [("1", 4, -3.0), ("1", 4, -3.0), ("2", 4, -0.1)]
    assert chosen("self_consistency", pool) == "1"
    assert chosen("weighted_vote", pool) == "2"


def test_ties_go_to_what_was_drawn_first():
    pool = [("1", 4, -1.0), ("2", 4, -1.0), ("2", 4, -1.0), ("1", 4, -1.0)]
    for name in ("best_of_n", "self_consistency", "weighted_vote", "logprob_ranking"):
        assert chosen(name, pool) == "1"
