from __future__ import annotations

import asyncio

import pytest
from counted_verifier import CountedVerifier

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.scripted import CharacterTokenizer, ScriptedEngine
from tts_bench.errors import VerifierError
from tts_bench.prompt import Dialogue, Prompt
from tts_bench.strategy.session import Session
from tts_bench.types import Problem, Sampling

SHAPE = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocab=32)


def make(verifier: CountedVerifier, budget: int | None = None) -> tuple[Session, Ledger]:
    async def same(answers):
        return list(answers)

    ledger = Ledger(Meter(SHAPE), Meter(SHAPE), Budget(budget))
    session = Session(
        Dialogue(Problem("p", "q"), (1, 2), Prompt(chat=False), CharacterTokenizer()),
        engine=ScriptedEngine(lambda prompt, request: "abcde"),
        verifier=verifier,
        ledger=ledger,
        sampling=Sampling(50),
        seed=0,
        canonicalize=same,
    )
    return session, ledger


def test_every_model_call_of_a_score_is_charged_to_the_verifier_alone():
    """Each of three candidates takes two calls: one reads 3 ids, one reads 5 and writes 4."""
    session, ledger = make(CountedVerifier())

    async def go():
        return await session.score(await session.sample(3))

    scores = asyncio.run(go())
    assert [(score.value, score.steps) for score in scores] == [(5.0, (0.5, 1 / 3))] * 3
    usage = ledger.verifier.usage
    assert (usage.requests, usage.completion_tokens) == (6, 12)
    assert usage.prompt_tokens_logical == 3 * (3 + 5)
    assert usage.prompt_tokens_ideal == 3 + 5
    one = SHAPE.scoring(3, logits=2) + SHAPE.completion(5, 4)
    assert usage.flops_logical == pytest.approx(3 * one)
    # Its own cache: each of the first calls found one of its three tokens there.
    assert ledger.verifier.cached_tokens == 3
    assert ledger.verifier.measured_flops == pytest.approx(
        3 * (SHAPE.scoring(3, 1, logits=2) + SHAPE.completion(5, 4))
    )
    assert (session.spent.requests, session.spent.completion_tokens) == (3, 15)


def test_the_verifiers_tokens_are_not_taken_from_the_policys_budget():
    session, ledger = make(CountedVerifier(), budget=40)

    async def go():
        await session.score(await session.sample(2))

    asyncio.run(go())
    assert ledger.verifier.usage.completion_tokens == 8
    assert session.left == 30


def test_scoring_again_is_charged_again_and_no_candidates_cost_nothing():
    session, ledger = make(CountedVerifier())

    async def go():
        drawn = await session.sample(1)
        assert await session.score([]) == []
        assert ledger.verifier.usage.requests == 0
        await session.score(drawn)
        await session.score(drawn)

    asyncio.run(go())
    assert ledger.verifier.usage.requests == 4
    assert ledger.verifier.usage.prompt_tokens_ideal == 8


def test_a_verifier_that_fails_charges_nothing_and_its_error_is_the_strategys():
    verifier = CountedVerifier()
    verifier.failure = VerifierError("out of memory")
    session, ledger = make(verifier)

    async def go():
        await session.score(await session.sample(1))

    with pytest.raises(VerifierError, match="out of memory"):
        asyncio.run(go())
    assert ledger.verifier.usage.requests == 0
