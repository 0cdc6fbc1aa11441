from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from counted_verifier import MODEL, CountedVerifier, candidate, policy

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call
from tts_bench.engine.base import EngineInfo
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.errors import ReplayMiss, VerifierError
from tts_bench.store.generations import GenerationStore
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo
from tts_bench.verifier.cached import CachedVerifier, pack, score_key, unpack
from tts_bench.verifier.confidence import ConfidenceVerifier

PROBLEM = Problem("p", "What is 1 + 1?")
SHAPE = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocab=32)
Work = Callable[[CachedVerifier], Awaitable[Any]]


def with_store(path: Path, inner: CountedVerifier, work: Work, **options: Any) -> Any:
    async def go() -> Any:
        async with GenerationStore(path) as store:
            verifier = CachedVerifier(inner, store, **options)
            await verifier.start(policy())
            try:
                return await work(verifier)
            finally:
                await verifier.close()

    return asyncio.run(asyncio.wait_for(go(), 30))


def scoring(*texts: str) -> Work:
    return lambda verifier: verifier.score(PROBLEM, [candidate(text) for text in texts])


async def ticks(number: int = 50) -> None:
    for _ in range(number):
        await asyncio.sleep(0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.sqlite"


def test_a_score_is_made_once_and_comes_back_whole_from_the_store(path: Path):
    inner = CountedVerifier()
    first = with_store(path, inner, scoring("aa", "bbb", "aa"))
    assert [one.score.value for one in first] == [2.0, 3.0, 2.0]
    assert sorted(inner.asked) == ["aa", "bbb"]
    again = CountedVerifier()
    assert with_store(path, again, scoring("aa", "bbb", "aa")) == first
    assert again.asked == []
    assert again.events == ["start", "close"]


def test_what_is_packed_is_unpacked_to_the_last_bit():
    [made] = asyncio.run(CountedVerifier().score(PROBLEM, [candidate("x")]))
    back = unpack(pack(made))
    assert back == made
    assert back.calls[0].logits == 2
    assert back.calls[1].logits is None
    assert isinstance(back.calls[0].prompt_ids, tuple)


def test_what_is_packed_has_the_words_that_stores_have():
    """Keys and their order are those of all stores: equal scorings stay equal bytes."""
    calls = (Call((1, 2, 70000), 0, 1, logits=2), Call((1, 2, 3, 4), 5, shared=True))
    made = pack(Scoring(Score(0.1 + 0.2, (1.0, -7.5)), calls))
    assert zlib.decompress(made).decode() == (
        '{"score":{"value":0.30000000000000004,"steps":[1.0,-7.5]},"calls":['
        '{"completion_tokens":0,"cached_prompt_tokens":1,"logits":2,"known_prompt_tokens":0,'
        '"shared":false,"prompt":[0,1,2,70000]},'
        '{"completion_tokens":5,"cached_prompt_tokens":0,"logits":null,"known_prompt_tokens":0,'
        '"shared":true,"prompt":[2,3,4]}]}'
    )
    counted = Scoring(Score(1.0), (Call((1, 2), 0, prompt_tokens=9),))
    assert unpack(pack(counted)) == counted


def test_scores_in_flight_are_joined(path: Path):
    inner = CountedVerifier()

    async def work(verifier: CachedVerifier):
        inner.gate = asyncio.Event()
        first = asyncio.create_task(scoring("a", "b")(verifier))
        await ticks()
        assert inner.asked == ["a", "b"]
        second = asyncio.create_task(scoring("b", "c")(verifier))
        await ticks()
        inner.gate.set()
        return await first, await second

    first, second = with_store(path, inner, work)
    assert first[1] == second[0]
    assert inner.asked == ["a", "b", "c"]


class SlowStore(GenerationStore):
    """Its second look-up answers from before the first score, and only when that is stored."""

    looks = 0

    async def get_scores(self, keys):
        self.looks += 1
        look, found = self.looks, await super().get_scores(keys)
        if look == 2:
            await self.first_is_done.wait()
        return found


def test_a_score_that_was_stored_while_we_looked_is_not_made_again(path: Path):
    inner = CountedVerifier()

    async def go():
        async with SlowStore(path) as store:
            store.first_is_done = asyncio.Event()
            verifier = CachedVerifier(inner, store)
            await verifier.start(policy())
            first = asyncio.create_task(scoring("a")(verifier))
            second = asyncio.create_task(scoring("a")(verifier))
            done = await first
            store.first_is_done.set()
            assert await second == done
            await verifier.close()

    asyncio.run(asyncio.wait_for(go(), 30))
    assert inner.asked == ["a"]


def test_replay_starts_nothing_and_recalls_scores_and_what_the_verifier_was(path: Path):
    model = replace(MODEL, shape=SHAPE, shape_note="known")
    recorded = CountedVerifier(model=model)
    first = with_store(path, recorded, scoring("a"))
    inner = CountedVerifier(model=None)

    async def work(verifier: CachedVerifier):
        info = await verifier.start(policy())
        return info, await scoring("a")(verifier)

    info, again = with_store(path, inner, work, replay=True)
    assert again == first
    assert info == VerifierInfo("counted", model)
    assert inner.events == []
    assert inner.asked == []


def test_replay_of_what_was_never_scored_is_a_miss(path: Path):
    with_store(path, CountedVerifier(), scoring("a"))
    with pytest.raises(ReplayMiss, match=r"^a score was never recorded; the same comm"):
        with_store(path, CountedVerifier(), scoring("a", "other"), replay=True)
    with pytest.raises(ReplayMiss, match="nothing was ever recorded with another"):
        with_store(path, CountedVerifier("another"), scoring("a"), replay=True)


def test_a_salt_keeps_scores_apart(path: Path):
    inner = CountedVerifier()
    for salt in ("", "fresh", "fresh", ""):
        with_store(path, inner, scoring("a"), salt=salt)
    assert inner.asked == ["a", "a"]


def test_a_failure_reaches_everyone_who_waits_is_not_stored_and_tried_again(path: Path):
    inner = CountedVerifier()
    inner.failure = VerifierError("out of memory")

    async def work(verifier: CachedVerifier):
        inner.gate = asyncio.Event()
        waiters = [asyncio.create_task(scoring("a", text)(verifier)) for text in "bc"]
        await ticks()
        inner.gate.set()
        failed = await asyncio.gather(*waiters, return_exceptions=True)
        inner.failure = None
        return failed, await scoring("a")(verifier)

    failed, [again] = with_store(path, inner, work)
    assert [str(error) for error in failed] == ["out of memory"] * 2
    assert again.score.value == 1.0
    assert inner.asked == ["a", "b", "c", "a"]


def test_cancelling_one_waiter_does_not_cancel_another(path: Path):
    inner = CountedVerifier()

    async def work(verifier: CachedVerifier):
        inner.gate = asyncio.Event()
        first = asyncio.create_task(scoring("a")(verifier))
        await ticks()
        second = asyncio.create_task(scoring("a")(verifier))
        await ticks()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        inner.gate.set()
        return await second

    [found] = with_store(path, inner, work)
    assert found.score.value == 1.0
    assert inner.asked == ["a"]


def test_closing_cancels_what_is_in_flight_and_then_closes_the_verifier(path: Path):
    inner = CountedVerifier()

    async def work(verifier: CachedVerifier):
        inner.gate = asyncio.Event()
        waiting = asyncio.create_task(scoring("a")(verifier))
        await ticks()
        await verifier.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with_store(path, inner, work)
    assert inner.events[:2] == ["start", "close"]


def test_fewer_scores_than_candidates_are_an_error_and_nothing_is_stored(path: Path):
    inner = CountedVerifier()
    inner.lose = 1
    with pytest.raises(VerifierError, match="2 scores for 3 candidates"):
        with_store(path, inner, scoring("a", "b", "c"))
    inner.lose = 0
    with_store(path, inner, scoring("a", "b", "c"))
    assert inner.asked == ["a", "b", "c"] * 2


def test_a_verifier_without_a_model_is_not_stored(path: Path):
    async def go():
        async with GenerationStore(path) as store:
            verifier = CachedVerifier(ConfidenceVerifier(), store)
            await verifier.start(policy())
            sure = replace(candidate("ab"), logprob=-0.2, generated_tokens=2)
            [first] = await verifier.score(PROBLEM, [sure])
            # Its log-probability is no part of a key: a stored score would be the wrong one.
            [second] = await verifier.score(PROBLEM, [replace(sure, logprob=-2.0)])
            assert first.score.value == pytest.approx(0.904837, rel=1e-5)
            assert second.score.value == pytest.approx(0.367879, rel=1e-5)

    asyncio.run(go())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM scores").fetchone() == (0,)


def test_all_that_decides_a_score_is_in_its_key():
    base = candidate("ab")
    keys = [
        score_key("i", PROBLEM, base),
        score_key("j", PROBLEM, base),
        score_key("i", replace(PROBLEM, text="What is 1 + 2?"), base),
        score_key("i", PROBLEM, replace(base, prompt_ids=(1,), token_ids=(2, *base.token_ids))),
        score_key("i", PROBLEM, replace(base, token_ids=base.token_ids[:1])),
        score_key("i", PROBLEM, replace(base, finish_reason="length")),
        score_key("i", PROBLEM, replace(base, stop="\n\n")),
    ]
    assert len(set(keys)) == len(keys)
    same = replace(
        base, id=7, answer="2", answer_class="2", logprob=-9.0, generation="g", path=(3,)
    )
    assert score_key("i", PROBLEM, same) == keys[0]
    assert score_key("i", replace(PROBLEM, id="q", level=3), base) == keys[0]


def test_candidates_without_token_ids_are_told_apart_by_their_text(path: Path):
    inner = CountedVerifier()

    async def work(verifier: CachedVerifier):
        texts = [candidate(text, ids=()) for text in ("a", "bb", "a")]
        return await verifier.score(PROBLEM, texts)

    assert [one.score.value for one in with_store(path, inner, work)] == [1.0, 2.0, 1.0]
    assert sorted(inner.asked) == ["a", "bb"]


def test_the_identity_of_a_verifier_is_its_settings_and_its_model():
    same = VerifierInfo("r", MODEL)
    others = [
        VerifierInfo("other", MODEL),
        VerifierInfo("r", replace(MODEL, revision="def")),
        VerifierInfo("r", replace(MODEL, dtype="bfloat16")),
        VerifierInfo("r", replace(MODEL, max_model_len=1)),
        VerifierInfo("r"),
    ]
    assert same.identity == VerifierInfo("r", replace(MODEL, shape=SHAPE)).identity
    assert len({one.identity for one in [same, *others]}) == 6


def test_verifiers_of_two_identities_never_share_a_score(path: Path):
    inners = [CountedVerifier(name) for name in ("a", "b", "a")]
    for inner in inners:
        with_store(path, inner, scoring("x"))
    assert [inner.asked for inner in inners] == [["x"], ["x"], []]


def test_a_candidate_that_cannot_be_scored_fails_only_those_who_asked_for_it():
    @dataclass(frozen=True)
    class Short(Verifier):
        async def start(self, policy):
            return VerifierInfo("short", EngineInfo("e", "m", "r", "f", 10, None))

        async def score(self, problem, candidates):
            await asyncio.sleep(0.01)
            if any(len(one.text) > 3 for one in candidates):
                raise VerifierError("too long")
            return [Scoring(Score(0.5)) for _ in candidates]

    class Memory:
        def __init__(self):
            self.scores = {}

        async def get_scores(self, keys):
            return {key: self.scores[key] for key in keys if key in self.scores}

        async def put_scores(self, scorings):
            self.scores |= scorings
            return dict(scorings)

        async def get_facts(self, prefix):
            return {}

        async def put_facts(self, prefix, facts):
            pass

    def one(number, text):
        return Candidate(number, (1,), (number,), text, None, None, 0.0, 1, "stop")

    async def go():
        verifier = CachedVerifier(Short(), Memory())
        await verifier.start(ScriptedEngine(lambda *_: ""))
        shared = [one(1, "ab"), one(2, "cd")]
        asked = [verifier.score(Problem("p", "q"), c) for c in ([*shared, one(3, "long")], shared)]
        return await asyncio.gather(*asked, return_exceptions=True)

    failed, scored = asyncio.run(go())
    assert isinstance(failed, VerifierError)
    assert [scoring.score.value for scoring in scored] == [0.5, 0.5]
