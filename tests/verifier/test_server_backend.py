"""Reward models behind servers that answer rightly, wrongly, late or not at all."""

from __future__ import annotations

import asyncio
import base64
import math
import struct
from typing import Any

import pytest
import transformers
from aiohttp import web
from reward_models import candidate, score, values
from stand_in_pooling import PoolingStandIn, packed
from stand_in_server import listening

from tts_bench.concurrency.upkeep import KeptModel, Upkeep
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.weights import local_path
from tts_bench.errors import ModelError, ModelLost, VerifierDied, VerifierError
from tts_bench.types import Problem
from tts_bench.verifier.base import Scoring, VerifierInfo
from tts_bench.verifier.orm import OutcomeRewardModel
from tts_bench.verifier.prm import ProcessRewardModel

PRM, ORM = "tts_bench/tiny/prm", "tts_bench/tiny/orm"
PROBLEM = "Compute 1 + 2 + 4."
TEXTS = ["1 plus 2 equals 3.\n\nSo 7", "So 7", "1 plus 2 equals 4.\n\n", "", "7 " * 40]
PROBES = 1
"""Texts that a server is given to read when a verifier starts."""


@pytest.fixture(scope="module")
def tokenizer() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(local_path(PRM)))


def prm_of(urls: list[str], **settings: Any) -> ProcessRewardModel:
    return ProcessRewardModel(
        PRM, backend="server", base_url=tuple(urls), **{"patience": 2.0, **settings}
    )


def orm_of(urls: list[str], **settings: Any) -> OutcomeRewardModel:
    return OutcomeRewardModel(ORM, backend="server", base_url=tuple(urls), **settings)


async def scored(verifier: Any, rounds: int = 1, texts: list[str] = TEXTS) -> list[Scoring]:
    """What it says of the texts, which are asked for all at once and are all different."""
    await verifier.start(None)
    try:
        asked = [
            verifier.score(Problem(f"p{n}", f"{PROBLEM} {n}"), list(map(candidate, texts)))
            for n in range(rounds)
        ]
        return [one for found in await asyncio.gather(*asked) for one in found]
    finally:
        await verifier.close()


def softmax(server: PoolingStandIn, ids: tuple[int, ...], at: int) -> float:
    wrong, right = struct.unpack("<2f", struct.pack("<2f", *server.numbers(list(ids[: at + 1]))))
    return round(1 / (1 + math.exp(wrong - right)), 6)


def test_steps_are_read_at_their_places_from_what_the_server_tells_of_every_token(tokenizer):
    server = PoolingStandIn(tokenizer, model=PRM)

    async def go():
        async with listening(server) as urls:
            verifier = prm_of(urls)
            info = await verifier.start(None)
            reading = verifier._running.manner.renderer.render(PROBLEM, ["1 plus 2.\n\n", "So 3"])
            [scoring] = await verifier.score(
                Problem("p", PROBLEM), [candidate("1 plus 2.\n\nSo 3")]
            )
            await verifier.close()
            return info, reading, scoring

    info, reading, scoring = asyncio.run(go())
    assert scoring.score.steps == tuple(
        softmax(server, reading.token_ids, at) for at in reading.positions
    )
    assert scoring.calls[0].prompt_ids == reading.token_ids
    assert info.model.engine == "server vllm 1.0 pooling"
    assert info.model.max_model_len == 512
    assert info.model.shape is not None


@pytest.mark.parametrize("task", ["classify", "token_classify"])
def test_a_whole_solution_is_read_at_its_last_token_by_either_task(tokenizer, task):
    async def go():
        server = PoolingStandIn(tokenizer, model=ORM, width=1, task=task)
        async with listening(server) as urls:
            return await scored(orm_of(urls, activation="none")), server

    found, server = asyncio.run(go())
    for scoring in found:
        [number] = server.numbers(list(scoring.calls[0].prompt_ids))
        assert scoring.score.value == pytest.approx(number, abs=1e-5)
    assert len(set(values(found))) == len(TEXTS)


def test_the_name_there_is_not_the_models_own_and_changes_no_key(tokenizer):
    async def go():
        async with listening(PoolingStandIn(tokenizer, model="reward")) as urls:
            return await scored(prm_of(urls, served_model="reward"))

    async def plain():
        async with listening(PoolingStandIn(tokenizer, model=PRM)) as urls:
            return await scored(prm_of(urls))

    assert asyncio.run(go()) == asyncio.run(plain())
    plain_key = prm_of(["http://a"]).settings_key()
    assert prm_of(["http://b"], served_model="x", api_key_env="K").settings_key() == plain_key


def test_settings_of_servers_change_no_key_that_was_stored_before():
    key = ProcessRewardModel("m").settings_key()
    assert not {"base_url", "served_model", "api_key_env", "patience"} & set(key.split('"'))


def test_which_of_several_servers_reads_does_not_matter(tokenizer):
    async def go(number: int):
        servers = [PoolingStandIn(tokenizer, model=PRM, delay=0.01) for _ in range(number)]
        async with listening(*servers) as urls:
            return await scored(prm_of(urls), rounds=8), [server.served for server in servers]

    one, _ = asyncio.run(go(1))
    three, shares = asyncio.run(go(3))
    assert one == three
    assert min(shares) > PROBES


@pytest.mark.parametrize("moment", [0, 4, 8])
def test_a_server_that_dies_costs_nothing(tokenizer, moment):
    async def go():
        servers = [PoolingStandIn(tokenizer, model=PRM, delay=0.02) for _ in range(2)]
        async with listening(*servers) as urls:
            verifier = prm_of(urls, max_in_flight=8, patience=30.0)
            work = asyncio.create_task(scored(verifier, rounds=8))
            await servers[0].asked(PROBES + 1 + moment).wait()
            await servers[0].down()
            return await work

    async def alone():
        async with listening(PoolingStandIn(tokenizer, model=PRM)) as urls:
            return await scored(prm_of(urls), rounds=8)

    assert asyncio.run(go()) == asyncio.run(alone())


def after_start(answer: Any):
    """A fault of every third text after those of the start."""
    return lambda number, right: (
        (answer(right) if callable(answer) else answer)
        if number > PROBES + 2 and number % 3 == 0
        else None
    )


PASSES = {
    "429": lambda _: web.json_response(
        {"error": "slow down"}, status=429, headers={"Retry-After": "0"}
    ),
    "500": lambda _: web.Response(status=500, text="out of memory"),
    "cut body": lambda right: web.Response(text=str(right)[:40]),
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes_is_asked_again(tokenizer, name):
    async def go(fault):
        servers = (
            PoolingStandIn(tokenizer, model=PRM, fault=fault),
            PoolingStandIn(tokenizer, model=PRM),
        )
        async with listening(*servers) as urls:
            return await scored(prm_of(urls, patience=20.0), rounds=6), servers[0].served

    spoilt, served = asyncio.run(go(after_start(PASSES[name])))
    right, _ = asyncio.run(go(None))
    assert spoilt == right
    assert served > PROBES + 2


def numbers(change: Any):
    """An answer with other numbers."""

    def spoil(right: dict[str, Any]) -> dict[str, Any]:
        raw = struct.iter_unpack("<f", base64.b64decode(right["data"][0]["data"]))
        return {"data": [{"index": 0, "data": packed(change([one for (one,) in raw]))}]}

    return spoil


WRONG = {
    "too few": (
        numbers(lambda flat: flat[:-2]),
        r"holds \d+ numbers for \d+ tokens, not 2 at each",
    ),
    "too many": (numbers(lambda flat: [*flat, 0.0]), r"holds \d+ numbers for \d+ tokens, not 2"),
    "none": (lambda _: {"data": []}, "its answer holds no numbers of a text"),
    "two texts": (lambda right: {"data": right["data"] * 2}, "holds no numbers of a text"),
    "no base64": (lambda _: {"data": [{"data": "%%%"}]}, "holds no numbers of a text"),
    "half a number": (lambda _: {"data": [{"data": "AAA="}]}, "holds no numbers of a text"),
    "floats": (lambda _: {"data": [{"data": [[0.1, 0.2]]}]}, "holds no numbers of a text"),
    "not a number": (
        numbers(lambda flat: [*flat[:-1], math.nan]),
        "the reward model's output is not a number: damaged weights",
    ),
    "infinite": (numbers(lambda flat: [*flat[:-1], math.inf]), "is not a number: damaged"),
    "refused": (
        lambda _: web.json_response({"error": {"message": "too \n long"}}, status=400),
        r"refused a request \(400\): too long",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_that_texts_error_and_names_the_server(tokenizer, name):
    spoil, said = WRONG[name]

    def fault(number, right):
        return spoil(right) if number > PROBES else None

    async def go():
        async with listening(PoolingStandIn(tokenizer, model=PRM, fault=fault)) as urls:
            await scored(prm_of(urls))

    with pytest.raises(VerifierError, match=rf"http://127.0.0.1:\d+.*{said}") as caught:
        asyncio.run(go())
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, VerifierDied)


async def dying(tokenizer: HuggingFaceTokenizer, restarts: int, *, returns: bool) -> Any:
    """A kept verifier whose server goes away, and comes back or not."""
    server = PoolingStandIn(tokenizer, model=PRM)
    async with listening(server) as urls:
        verifier = prm_of(urls, patience=0.2)
        said: list[str] = []
        kept: KeptModel[VerifierInfo] = KeptModel(
            "the verifier",
            Upkeep(restarts),
            lambda: verifier.start(None),
            verifier.close,
            said.append,
        )
        await kept.start()
        await server.down()

        async def ask() -> list[Scoring]:
            return await verifier.score(Problem("p", PROBLEM), [candidate("So 7")])

        async def again() -> list[Scoring]:
            try:
                return await ask()
            except VerifierDied:
                if returns:
                    await server.up()
                raise

        try:
            return await kept.call(again), said
        finally:
            await kept.close()


def test_a_verifier_whose_servers_come_back_is_started_anew(tokenizer):
    [scoring], said = asyncio.run(dying(tokenizer, 1, returns=True))
    assert 0 < scoring.score.value < 1
    assert len(said) == 1
    assert "the verifier died: no server answers any more" in said[0]


def test_a_verifier_whose_servers_stay_away_is_lost(tokenizer):
    with pytest.raises(ModelLost, match=r"no server answers at http://127.0.0.1:\d+"):
        asyncio.run(dying(tokenizer, 1, returns=False))


REFUSED = {
    "another model": (
        {"model": "other"},
        {},
        f"does not serve '{PRM}'; it has other; its name there is set",
    ),
    "another tokenizer": ({"offset": 1}, {}, f"in other tokens than {PRM}: verifier.model must"),
    "three labels": (
        {"width": 3},
        {},
        "not 2 at each token; a head of kind 'labels' has 2, and",
    ),
    "one label": ({"width": 1}, {}, "not 2 at each token; a head of kind 'labels' has 2, and"),
    "the last token only": (
        {"task": "classify"},
        {},
        "does not tell of every token: start it with",
    ),
    "it generates": (
        {"path": "/v1/completions"},
        {},
        "to generate, not as a reward model: start it",
    ),
    "another kind": (
        {"dialect": "sglang"},
        {},
        "are read from vLLM's servers only, and http.* answers, but not as vllm server does",
    ),
    "probabilities": ({"activates": True}, {}, "gives probabilities where logits are asked for"),
    "no key": ({}, {"api_key_env": "NO_SUCH_KEY"}, "variable NO_SUCH_KEY is not set"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trusted_is_one_line_at_the_start(tokenizer, name):
    server, settings, said = REFUSED[name]

    async def go():
        async with listening(PoolingStandIn(tokenizer, **{"model": PRM, **server})) as urls:
            await prm_of(urls, **settings).start(None)

    with pytest.raises(ModelError, match=said) as caught:
        asyncio.run(go())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"weights": 1}, "give other scores: not the same weights"),
        (
            {"version": "2.0"},
            r"is vllm 1.0, token_classify, and http.* is vllm 2.0, token_classify",
        ),
    ],
)
def test_mixed_servers_are_refused(tokenizer, other, said):
    async def go():
        servers = (
            PoolingStandIn(tokenizer, model=PRM),
            PoolingStandIn(tokenizer, model=PRM, **other),
        )
        async with listening(*servers) as urls:
            await prm_of(urls).start(None)

    with pytest.raises(ModelError, match=said):
        asyncio.run(go())


def test_a_server_that_gives_no_number_is_refused_at_the_start(tokenizer):
    fault = lambda _, right: numbers(lambda flat: [math.nan] * len(flat))(right)  # noqa: E731

    async def go():
        async with listening(PoolingStandIn(tokenizer, model=PRM, fault=fault)) as urls:
            await prm_of(urls).start(None)

    with pytest.raises(ModelError, match=r"a first reading failed: .* damaged weights"):
        asyncio.run(go())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("ftp://host", "is no http:// or https:// address"),
        ("http://user:secret@host:8000", "put the key into api_key_env"),
        ("host-8000", "is no http:// or https:// address and no file of such"),
        ("http://127.0.0.1:9", "no server answers at http://127.0.0.1:9"),
    ],
)
def test_a_wrong_address_is_one_line(url, said):
    with pytest.raises((ValueError, ModelError), match=said) as caught:
        score(prm_of([url]), PROBLEM, TEXTS)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_refused_is_one_line(tokenizer, status):
    async def go():
        refusal = lambda *_: web.json_response({"error": "Unauthorized"}, status=status)  # noqa: E731
        async with listening(PoolingStandIn(tokenizer, model=PRM, fault=refusal)) as urls:
            await prm_of(urls).start(None)

    with pytest.raises(ModelError, match=rf"\({status}\): .*is the key in api_key_env right"):
        asyncio.run(go())


def test_a_server_that_never_answers_is_left(tokenizer):
    async def go(delay: float):
        first = PoolingStandIn(tokenizer, model=PRM)
        async with listening(first, PoolingStandIn(tokenizer, model=PRM)) as urls:
            verifier = prm_of(urls, answer_timeout=0.5, patience=30.0)
            await verifier.start(None)
            first.delay = delay
            found = await verifier.score(Problem("p", PROBLEM), list(map(candidate, TEXTS)))
            await verifier.close()
            return found, first.most_running

    found, waiting = asyncio.run(go(3600.0))
    assert found == asyncio.run(go(0.0))[0]
    assert waiting > 0


def test_cancelling_closes_the_request(tokenizer):
    async def go():
        server = PoolingStandIn(tokenizer, model=PRM)
        async with listening(server) as urls:
            verifier = prm_of(urls)
            await verifier.start(None)
            server.delay = 3600.0
            work = asyncio.create_task(verifier.score(Problem("p", PROBLEM), [candidate("So 7")]))
            await server.asked(PROBES + 1).wait()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            async with asyncio.timeout(30):
                await server.idle.wait()
            await verifier.close()
            return server.running

    assert asyncio.run(go()) == 0


def test_a_longer_text_than_the_server_takes_is_refused_here(tokenizer):
    async def go():
        async with listening(PoolingStandIn(tokenizer, model=PRM)) as urls:
            await scored(prm_of(urls), texts=["1 " * 600])

    with pytest.raises(VerifierError, match=r"reads 512 \(verifier.max_model_len\)"):
        asyncio.run(go())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "server"}, "backend: server needs base_url"),
        ({"base_url": "http://a"}, "base_url needs backend: server"),
        ({"api_key_env": "KEY"}, "api_key_env needs backend: server"),
        ({"backend": "vllm", "served_model": "m"}, "served_model needs backend: server"),
    ],
)
@pytest.mark.parametrize("cls", [ProcessRewardModel, OutcomeRewardModel])
def test_settings_of_another_backend_are_refused(cls, settings, said):
    with pytest.raises(ValueError, match=said):
        cls("m", **settings)
