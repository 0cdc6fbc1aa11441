"""Engine `server` against servers that answer rightly, wrongly, late or not at all."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import transformers
from aiohttp import web
from stand_in_server import MODEL, StandIn, listening

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server import pool
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.server.gate import Gate
from tts_bench.engine.server.pool import ServerPool, Unwell
from tts_bench.engine.weights import local_path
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.types import Sampling

WARM = Sampling(24, temperature=1.0)
PROBES = 9
"""Completions that an engine draws from each server when it starts."""
DIALECTS = ("vllm", "sglang", "llamacpp")


@pytest.fixture(scope="module")
def tokenizer() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(local_path(MODEL)))


def requests(tokenizer, number: int = 40) -> list[Request]:
    prompts = [tokenizer.encode(f"Compute {i % 5} + 3 {'and again ' * 20}") for i in range(number)]
    return [Request(prompt, WARM, seed) for seed, prompt in enumerate(prompts)]


async def draw_all(engine: ServerEngine, asked: list[Request]) -> list[Completion]:
    await engine.start()
    try:
        return await engine.generate_all(asked)
    finally:
        await engine.close()


def what(completions: list[Completion]) -> list[object]:
    return [(one.token_ids, one.text, one.finish_reason, one.stop) for one in completions]


def engine_of(urls, **settings) -> ServerEngine:
    return ServerEngine(base_url=tuple(urls), model=MODEL, **{"patience": 2.0, **settings})


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_dialect_gives_ids_text_and_logprobs(tokenizer, dialect):
    async def go():
        async with listening(StandIn(tokenizer, dialect)) as urls:
            engine = engine_of(urls)
            info = await engine.start()
            asked = requests(tokenizer)
            stop = replace(asked[0], sampling=replace(WARM, stop=("three",)))
            drawn = await engine.generate_all([*asked, stop, stop])
            await engine.close()
            return info, drawn

    info, drawn = asyncio.run(go())
    assert info.engine.startswith(f"server {dialect} 1.0")
    assert info.max_model_len == 512
    assert info.shape is not None
    told = [one for one in drawn if dialect != "llamacpp" or one.stop is None]
    for one in told:
        assert one.logprob == pytest.approx(-0.5 * len(one.token_ids))
    for one in drawn:
        assert one.cached_prompt_tokens == 3
    assert drawn[-1] == drawn[-2]
    stopped = [one for one in drawn if one.stop == "three"]
    assert all(one.text.endswith("three") for one in stopped)
    assert len(set(what(drawn[:40]))) == 40


def test_which_server_answers_does_not_matter(tokenizer):
    async def go(number: int):
        servers = [StandIn(tokenizer, delay=0.01) for _ in range(number)]
        async with listening(*servers) as urls:
            drawn = await draw_all(engine_of(urls), requests(tokenizer))
            return what(drawn), [server.served for server in servers]

    one, _ = asyncio.run(go(1))
    three, shares = asyncio.run(go(3))
    assert one == three
    assert min(shares) > 5


def test_a_prompt_goes_where_its_beginning_is_known(tokenizer):
    async def go():
        servers = [StandIn(tokenizer), StandIn(tokenizer)]
        async with listening(*servers) as urls:
            engine = engine_of(urls)
            await engine.start()
            for round_ in range(6):
                for asked in requests(tokenizer, 5):
                    await engine.generate(replace(asked, seed=round_))
            await engine.close()
        return [[prompt for prompt in server.prompts if len(prompt) > 64] for server in servers]

    first, second = asyncio.run(go())
    assert not set(first) & set(second)
    assert len(first) + len(second) == 30


@pytest.mark.parametrize("moment", [0, 3, 6])
def test_a_server_that_dies_costs_nothing(tokenizer, moment):
    async def go():
        servers = [StandIn(tokenizer, delay=0.02) for _ in range(2)]
        async with listening(*servers) as urls:
            engine = engine_of(urls, max_in_flight=8)
            await engine.start()
            work = asyncio.create_task(engine.generate_all(requests(tokenizer)))
            await servers[0].asked(PROBES + 4 + moment).wait()
            await servers[0].down()
            drawn = await work
            await engine.close()
            return what(drawn)

    async def alone():
        async with listening(StandIn(tokenizer)) as urls:
            return what(await draw_all(engine_of(urls), requests(tokenizer)))

    assert asyncio.run(go()) == asyncio.run(alone())


def test_a_server_that_comes_back_is_used_again(tokenizer):
    async def go():
        servers = [StandIn(tokenizer, delay=0.02)]
        async with listening(*servers) as urls:
            engine = engine_of(urls, patience=30.0)
            await engine.start()
            work = asyncio.create_task(engine.generate_all(requests(tokenizer)))
            await asyncio.sleep(0.03)
            await servers[0].down()
            await asyncio.sleep(0.3)
            await servers[0].up()
            drawn = await work
            await engine.close()
            return drawn

    assert len(asyncio.run(go())) == 40


def test_requests_that_break_off_together_are_one_failure():
    pool = ServerPool(None, lambda: ["http://a"], Gate(64), patience=1.0)
    server = pool.servers["http://a"]
    for _ in range(40):
        pool.report(server, Unwell("broken off"))
    assert server.failures == 1


def test_no_server_left_is_one_line_that_names_them(tokenizer):
    async def go():
        server = StandIn(tokenizer, delay=0.05)
        async with listening(server) as urls:
            engine = engine_of(urls, patience=0.5)
            await engine.start()
            work = asyncio.create_task(engine.generate_all(requests(tokenizer)))
            await asyncio.sleep(0.02)
            await server.down()
            try:
                await work
            finally:
                await engine.close()

    with pytest.raises(EngineError, match=r"no server answers any more \(http://127.0.0.1:\d+: "):
        asyncio.run(go())


def busy(number, answer):
    if 20 < number < 32 and number % 3 == 0:
        return web.json_response({"error": "slow down"}, status=429, headers={"Retry-After": "0"})
    return None


def broken(number, answer):
    return web.Response(status=503, text="starting") if number > 20 and number % 3 == 0 else None


def cut(number, answer):
    return web.Response(text='{"choices": [{"tok') if number > 20 and number % 3 == 0 else None


@pytest.mark.parametrize("fault", [busy, broken, cut])
def test_what_passes_is_tried_again(tokenizer, fault):
    async def go(spoilt):
        async with listening(StandIn(tokenizer, fault=spoilt), StandIn(tokenizer)) as urls:
            return what(await draw_all(engine_of(urls, patience=20.0), requests(tokenizer)))

    assert asyncio.run(go(fault)) == asyncio.run(go(None))


class CutOff(web.Response):
    """An answer whose connection breaks off within the body."""

    async def prepare(self, request):
        self.transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data=b""):
        await self.write(self.body[:10])
        self.transport.close()


FAILURES = {
    "an error": (lambda: web.Response(status=500, text="out of\nmemory"), "500: out of memory"),
    "starting": (lambda: web.Response(status=503, text="loading"), "503: loading"),
    "cut off": (lambda: CutOff(text="x" * 100), "its answer was cut off"),
    "half of it": (lambda: web.Response(text='{"choices": [{"tok'), "its answer is no JSON"),
    "other words": (lambda: web.Response(text="<html>"), "its answer is no JSON"),
    "nothing": (None, "no answer in time"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_told_apart(tokenizer, name):
    """By what the one line says if no other server is left, and if one is by nothing."""
    make, said = FAILURES[name]

    def fault(number, answer):
        return make() if number > PROBES else None

    async def go(*others):
        failing = StandIn(tokenizer, fault=fault if make else None)
        async with listening(failing, *others) as urls:
            engine = engine_of(urls, patience=0.5, answer_timeout=0.2)
            await engine.start()
            failing.delay = 0.0 if make else 3600.0
            try:
                return what(await engine.generate_all(requests(tokenizer, 8)))
            finally:
                await engine.close()

    async def alone():
        async with listening(StandIn(tokenizer)) as urls:
            return what(await draw_all(engine_of(urls), requests(tokenizer, 8)))

    assert asyncio.run(go(StandIn(tokenizer))) == asyncio.run(alone())
    line = rf"no server answers any more \(http://127.0.0.1:\d+: {said}\)$"
    with pytest.raises(EngineError, match=line):
        asyncio.run(go())


def test_a_server_that_is_busy_for_long_is_not_dead(tokenizer):
    """It is asked again until it has time, by ever fewer requests at once."""

    async def go():
        server = StandIn(tokenizer)
        async with listening(server) as urls:
            engine = engine_of(urls, patience=0.01)
            await engine.start()
            server.fault = lambda number, _: too_many() if number < PROBES + 12 else None
            done = await engine.generate_all(requests(tokenizer, 8))
            pool = engine._started.pool
            await engine.close()
            return len(done), pool.gate.limit, [one.failures for one in pool.servers.values()]

    def too_many():
        return web.Response(status=429, headers={"Retry-After": "0.01"})

    number, limit, failures = asyncio.run(go())
    assert number == 8
    assert limit < 16
    assert failures == [0]


def test_a_server_that_is_busy_without_end_is_given_up_with_its_words(tokenizer, monkeypatch):
    """As where a provider's limit of a day is reached."""
    monkeypatch.setattr(pool, "BUSY_SECONDS", 0.05)

    def too_many(number, _):
        if number < PROBES:
            return None
        body = {"error": {"message": "free-models-per-day"}}
        return web.json_response(body, status=429, headers={"Retry-After": "0.01"})

    async def go():
        async with listening(StandIn(tokenizer, fault=too_many)) as urls:
            engine = engine_of(urls, patience=0.01)
            await engine.start()
            try:
                await engine.generate_all(requests(tokenizer, 2))
            finally:
                await engine.close()

    with pytest.raises(EngineDied, match="429, too many requests: free-models-per-day"):
        asyncio.run(go())


def test_a_failure_after_a_long_time_without_an_answer_is_one_failure(tokenizer):
    """Patience begins with the failure, not with the last answer, which may be long ago."""

    async def go():
        server = StandIn(tokenizer)
        async with listening(server) as urls:
            engine = engine_of(urls, patience=1.0)
            await engine.start()
            await asyncio.sleep(1.1)
            failed = []

            def once(number, _):
                failed.append(number)
                return web.Response(status=500) if len(failed) == 1 else None

            server.fault = once
            done = await engine.generate_all(requests(tokenizer, 1))
            await engine.close()
            return len(done), len(failed)

    assert asyncio.run(go()) == (1, 2)


def change(**changes):
    def fault(number, answer):
        if number <= PROBES:
            return None
        [choice] = answer["choices"]
        return answer | {"choices": [choice | changes]}

    return fault


BAD_ANSWERS = {
    "no ids": (change(token_ids=None), "its answer holds no completion"),
    "ids of nothing": (change(token_ids=[1 << 40]), "ids outside of the vocabulary"),
    "float ids": (change(token_ids=[1.5]), "ids outside of the vocabulary"),
    "fewer ids than numbers": (change(token_ids=[5, 6]), "log-probabilities for 2 ids"),
    "no ids at all": (change(token_ids=[]), "0 token ids where 1 to 24 were asked"),
    "too many ids": (change(token_ids=[5] * 30), "30 token ids where 1 to 24 were asked"),
    "logprobs missing": (change(logprobs=None), "0 log-probabilities for"),
    "given up": (change(finish_reason="abort"), "gave the request up: abort"),
    "refused": (
        lambda number, _: (
            web.json_response({"error": {"message": "bad \n id"}}, status=400)
            if number > PROBES
            else None
        ),
        r"refused a request \(400\): bad id",
    ),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
def test_a_wrong_answer_is_that_requests_error_and_names_the_server(tokenizer, name):
    fault, said = BAD_ANSWERS[name]

    async def go():
        async with listening(StandIn(tokenizer, fault=fault)) as urls:
            await draw_all(engine_of(urls), requests(tokenizer, 3))

    with pytest.raises(EngineError, match=rf"http://127.0.0.1:\d+.*{said}"):
        asyncio.run(go())


def test_a_server_that_never_answers_is_left(tokenizer):
    async def never():
        first = StandIn(tokenizer)
        async with listening(first, StandIn(tokenizer)) as urls:
            engine = engine_of(urls, answer_timeout=0.5)
            await engine.start()
            first.delay = 3600.0
            drawn = await engine.generate_all(requests(tokenizer))
            await engine.close()
            return what(drawn)

    async def alone():
        async with listening(StandIn(tokenizer)) as urls:
            return what(await draw_all(engine_of(urls), requests(tokenizer)))

    assert asyncio.run(never()) == asyncio.run(alone())


def test_cancelling_closes_the_request(tokenizer):
    async def go():
        server = StandIn(tokenizer)
        async with listening(server) as urls:
            engine = engine_of(urls)
            await engine.start()
            server.delay = 3600.0
            work = asyncio.create_task(engine.generate(requests(tokenizer, 1)[0]))
            await server.asked(PROBES + 1).wait()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            for _ in range(200):
                if not server.running:
                    break
                await asyncio.sleep(0.01)
            await engine.close()
            return server.running

    assert asyncio.run(go()) == 0


def test_no_more_are_in_flight_than_allowed_and_429_makes_them_fewer(tokenizer):
    async def go(fault):
        server = StandIn(tokenizer, delay=0.005, fault=fault)
        async with listening(server) as urls:
            engine = engine_of(urls, max_in_flight=16, patience=20.0)
            await engine.start()
            await engine.generate_all(requests(tokenizer, 120))
            limit = engine._started.pool.gate.limit
            await engine.close()
            return server.most_running, limit

    most, limit = asyncio.run(go(None))
    assert (most, limit) == (16, 16.0)
    assert asyncio.run(go(busy))[1] < 16


def test_the_key_comes_from_the_environment_and_stays_there(tokenizer, monkeypatch):
    monkeypatch.setenv("THE_KEY", "sesame")

    async def go():
        server = StandIn(tokenizer)
        async with listening(server) as urls:
            engine = engine_of(urls, api_key_env="THE_KEY")
            info = await engine.start()
            await engine.close()
            return server.headers, info, engine

    headers, info, engine = asyncio.run(go())
    assert set(headers) == {"Bearer sesame"}
    assert "sesame" not in f"{info} {engine} {engine.settings_key()}"


def test_a_file_of_urls_is_read_again_when_a_server_is_gone(tokenizer, tmp_path):
    path = tmp_path / "servers.txt"

    async def go():
        old, new = StandIn(tokenizer), StandIn(tokenizer)
        async with listening(old, new) as (first, second):
            path.write_text(f"# the servers\n{first}\n")
            engine = engine_of([str(path)], patience=30.0)
            await engine.start()
            old.delay = 3600.0
            work = asyncio.create_task(engine.generate_all(requests(tokenizer)))
            await old.asked(PROBES + 1).wait()
            path.write_text(f"{second}/v1\n")
            await old.down()
            drawn = await work
            await engine.close()
            return len(drawn), new.served

    number, served = asyncio.run(go())
    assert number == 40
    assert served > 10


REFUSED = {
    "another model": ({"model": "other"}, {}, "does not serve 'tts_bench/tiny/policy'; it has oth"),
    "another tokenizer": ({"offset": 1}, {}, "spells a text in other tokens"),
    "seeds ignored": ({"seeds": False}, {}, "another seed gives the same tokens"),
    "another kind": ({"dialect": "sglang"}, {"dialect": "vllm"}, "not as vllm server does"),
    "no key": ({}, {"api_key_env": "NO_SUCH_KEY"}, "variable NO_SUCH_KEY is not set"),
    "no tokenizer": ({}, {"tokenizer_model": "./nothing"}, "the tokenizer: .*set tokenizer_model"),
    "bad number": ({}, {"max_in_flight": 0}, "max_in_flight is 0"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trusted_is_one_line_at_the_start(tokenizer, name):
    server, settings, said = REFUSED[name]

    async def go():
        async with listening(StandIn(tokenizer, **server)) as urls:
            await engine_of(urls, **settings).start()

    with pytest.raises(ModelError, match=said) as caught:
        asyncio.run(go())
    assert "\n" not in str(caught.value)


def test_a_router_may_pass_on_no_more_than_models_and_completions(tokenizer):
    async def go():
        server = StandIn(tokenizer, hidden=("/version", "/tokenize"))
        async with listening(server) as urls:
            engine = engine_of(urls, dialect="vllm")
            info = await engine.start()
            drawn = await engine.generate_all(requests(tokenizer, 2))
            await engine.close()
            return info, drawn

    info, drawn = asyncio.run(go())
    assert len(drawn) == 2
    assert info.engine == "server vllm of unknown version (tokenizer not compared)"

    async def refused():
        async with listening(StandIn(tokenizer, hidden=("/version", "/v1/models"))) as urls:
            await engine_of(urls, dialect="vllm").start()

    with pytest.raises(ModelError, match="does a router before it pass /v1/models, or /version"):
        asyncio.run(refused())


def test_mixed_servers_are_refused(tokenizer):
    async def go():
        async with listening(StandIn(tokenizer), StandIn(tokenizer, version="2.0")) as urls:
            await engine_of(urls).start()

    with pytest.raises(ModelError, match=r"is vllm 1.0 with .*, and http.* is vllm 2.0 with"):
        asyncio.run(go())


def test_weights_that_are_packed_otherwise_are_another_model(tokenizer):
    async def go(*packed):
        servers = [StandIn(tokenizer, "llamacpp", packed=one) for one in packed]
        async with listening(*servers) as urls:
            engine = engine_of(urls)
            try:
                return await engine.start()
            finally:
                await engine.close()

    assert asyncio.run(go("Q4_1")).dtype == "Q4_1"
    assert asyncio.run(go("Q4_1")).identity != asyncio.run(go("Q8_0")).identity
    with pytest.raises(ModelError, match=r"-Q4_1.gguf Q4_1\), 512 tokens, and http.*-Q8_0.gguf Q8"):
        asyncio.run(go("Q4_1", "Q8_0"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("host-8000", "is no http:// or https:// address and no file of such"),
        ("http://127.0.0.1:9", "no server answers at http://127.0.0.1:9"),
    ],
)
def test_a_wrong_address_is_one_line(url, said):
    with pytest.raises(ModelError, match=said) as caught:
        asyncio.run(engine_of([url]).start())
    assert "secret" not in str(caught.value)


def test_log_probabilities_of_chosen_tokens(tokenizer):
    async def go(dialect):
        async with listening(StandIn(tokenizer, dialect)) as urls:
            asked = replace(requests(tokenizer, 1)[0], logprob_ids=(4, 2))
            [done] = await draw_all(engine_of(urls), [asked])
            return done.first_logprobs

    assert {dialect: asyncio.run(go(dialect)) for dialect in DIALECTS} == dict.fromkeys(
        DIALECTS, (-7.0, -5.0)
    )
