"""The part of the engines' contract that chat endpoints keep: a stand-in and real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from open_engine import Open
from stand_in_chat import ChatStandIn

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.cached import CachedEngine
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.errors import EngineError, NotGiven, UsageError
from tts_bench.store.generations import GenerationStore
from tts_bench.types import Sampling

WARM = Sampling(16, temperature=1.0)
GREEDY = Sampling(16, temperature=0)
LIKELIEST = {"one": 0.25, "two": 0.25, "equals": 0.125, "plus": 0.125, "so": 0.0625}
SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1"


@dataclass(frozen=True)
class Running:
    """A started engine and the event loop that it is used from."""

    engine: ServerEngine
    info: EngineInfo
    loop: asyncio.Runner

    def draw(self, *requests: Request) -> list[Completion]:
        return self.loop.run(self.engine.generate_all(requests))

    def outcomes(self, *requests: Request) -> list[Any]:
        async def all_at_once() -> list[Any]:
            asked = (self.engine.generate(request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)

        return self.loop.run(all_at_once())

    def prompt(self, text: str) -> tuple[int, ...]:
        return self.engine.tokenizer.encode_chat([{"role": "user", "content": text}], {})


@pytest.fixture(
    scope="module", params=["stand-in", "llamacpp", pytest.param("vllm", marks=pytest.mark.vllm)]
)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    with asyncio.Runner() as loop:
        server = None
        if request.param == "stand-in":
            server = ChatStandIn("openrouter", thought="hm", likeliest=LIKELIEST)
            loop.run(server.up())
            url, model = server.url, server.model
        elif request.param == "llamacpp":
            url, model = request.getfixturevalue("llamacpp_server").url, SMOLLM2
        else:
            url = request.getfixturevalue("vllm_servers")[0].url
            model = "tts_bench/tiny/policy"
        engine = ServerEngine(base_url=url, model=model, dialect="chat", logprobs=True)
        yield Running(engine, loop.run(engine.start()), loop)
        loop.run(engine.close())
        if server is not None:
            loop.run(server.down())


def mixed(running: Running) -> list[Request]:
    """Requests that differ in prompt, sampling and seed; some share a prompt."""
    samplings = [WARM, replace(WARM, max_tokens=5, top_p=0.9), GREEDY]
    texts = ["Count to ten.", "Tell a joke.", "naïve 10 € 東京 🙂", "Count to ten."]
    return [
        Request(running.prompt(text), samplings[i % 3], seed=100 + i)
        for i, text in enumerate(texts)
    ]


def drawn(completions: Sequence[Completion]) -> list[tuple[object, ...]]:
    return [(one.token_ids, one.text, one.finish_reason, one.counts) for one in completions]


def test_a_seed_gives_the_same_text_alone_in_a_batch_and_in_any_order(running):
    assert running.info.notes == ()
    requests = mixed(running)
    alone = [running.draw(request)[0] for request in requests]
    assert drawn(running.draw(*requests)) == drawn(alone)
    assert drawn(running.draw(*reversed(requests)))[::-1] == drawn(alone)


def test_other_seeds_give_other_texts_and_none_matters_at_temperature_0(running):
    ids = running.prompt("Count to ten.")
    seeds = [0, 1, 2, 2**31 - 1, 2**40 + 7, 2**63 - 9]
    assert len({one.text for one in running.draw(*(Request(ids, WARM, s) for s in seeds))}) > 4
    one, other = running.draw(*(Request(ids, GREEDY, seed) for seed in (1, 2)))
    assert one.text == other.text


def test_text_ids_counts_and_log_probabilities_fit_together(running):
    for request, done in zip(mixed(running), running.draw(*mixed(running)), strict=True):
        assert done.text == running.engine.tokenizer.decode(done.token_ids)
        assert 1 <= done.written <= request.sampling.max_tokens
        if done.finish_reason == "length":
            assert done.written == request.sampling.max_tokens
        assert 0 <= done.cached_prompt_tokens <= done.counts.prompt
        assert done.logprob < 0


def test_a_conversation_goes_on_by_a_reply(running):
    spelt = running.engine.tokenizer
    request = mixed(running)[0]
    [first] = running.draw(request)
    more = request.prompt_ids + first.token_ids + spelt.encode_turn("And then?", {})
    [second] = running.draw(replace(request, prompt_ids=more))
    assert second.counts.prompt > first.counts.prompt
    assert second.text


def test_a_stop_string_ends_the_text_and_is_cut_off(running):
    request = replace(mixed(running)[0], sampling=GREEDY)
    [whole] = running.draw(request)
    said = whole.text.rpartition("</think>\n\n")[2]
    stop = said[len(said) // 2 :][:3]
    before = said.partition(stop)[0]
    [cut] = running.draw(replace(request, sampling=replace(GREEDY, stop=(stop,))))
    assert cut.text.rpartition("</think>\n\n")[2] == before
    assert cut.finish_reason == "stop"


def test_letters_with_which_a_text_may_begin_have_log_probabilities(running):
    [done] = running.draw(replace(mixed(running)[0], sampling=GREEDY))
    letter = done.text.rpartition("</think>\n\n")[2].strip()[0]
    ids = (ord(letter), ord("\N{SNOWMAN}"))
    request = replace(mixed(running)[0], sampling=replace(GREEDY, max_tokens=2), logprob_ids=ids)
    [chosen] = running.draw(request)
    likely, never = chosen.first_logprobs
    assert never <= likely <= 0


def test_a_prompt_that_is_no_chat_is_an_error_of_that_request_alone(running):
    good = mixed(running)[:3]
    expected = drawn(running.draw(*good))
    begun = good[0].prompt_ids + running.engine.tokenizer.encode("One, ")
    bad = {(): EngineError, (2**30,): EngineError, (-1,): EngineError, (65,): NotGiven}
    bad[begun] = NotGiven
    outcomes = running.outcomes(*good, *(Request(ids, WARM, 1) for ids in bad))
    assert drawn(outcomes[:3]) == expected
    for error, kind in zip(outcomes[3:], bad.values(), strict=True):
        assert isinstance(error, kind)
        assert "\n" not in str(error)


def test_a_request_that_is_cancelled_leaves_the_others_alone(running):
    requests = [Request(running.prompt("Count to ten."), WARM, seed) for seed in range(6)]
    expected = drawn(running.draw(*requests))

    async def cancel_every_other() -> list[Any]:
        asked = [asyncio.create_task(running.engine.generate(one)) for one in requests]
        await asyncio.sleep(0)
        for task in asked[::2]:
            task.cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = running.loop.run(cancel_every_other())
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes[::2])
    assert drawn(outcomes[1::2]) == expected[1::2]


def test_a_store_before_it_changes_nothing_and_a_replay_needs_no_endpoint(running, tmp_path: Path):
    requests = mixed(running)

    async def work(replay: bool) -> tuple[list[Completion], EngineInfo, object]:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            cached = CachedEngine(Open(running.engine), store, replay=replay)
            info = await cached.start()
            done = await cached.generate_all(requests)
            reply = cached.tokenizer.encode_turn("And?", {})
            left = cached.tokenizer.reopen(requests[0].prompt_ids, done[0].token_ids, (), True)
            await cached.close()
            return done, info, (reply, left)

    recorded = running.loop.run(work(replay=False))
    assert drawn(recorded[0]) == drawn(running.draw(*requests))
    assert running.loop.run(work(replay=True)) == recorded


def test_after_it_is_closed_requests_fail_and_it_can_be_started_again(running):
    request = mixed(running)[0]
    expected = drawn(running.draw(request))
    running.loop.run(running.engine.close())
    [error] = running.outcomes(request)
    assert isinstance(error, EngineError | UsageError)
    assert running.loop.run(running.engine.start()) == running.info
    assert drawn(running.draw(request)) == expected
