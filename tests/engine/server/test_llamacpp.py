"""llama.cpp's dialect: what its answers leave out, asked for again; and a real server of it."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from llamacpp_server import LlamaCppServer

from tts_bench.engine.base import Request
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.server.llamacpp import LlamaCppDialect, aligned
from tts_bench.types import CUT, Sampling

WARM = Sampling(10, temperature=1.0)


@pytest.mark.parametrize(
    ("ids", "told", "found"),
    [
        ([5, 6, 7], [(5, -1.0), (6, -2.0), (7, -3.0)], [-1.0, -2.0, -3.0]),
        ([5, 6, 7], [(5, -1.0), (6, -2.0)], [-1.0, -2.0, None]),
        ([5, 5, 5], [(5, -1.0), (5, -2.0)], [-1.0, -2.0, None]),
        ([5, 6, 7], [], [None, None, None]),
        ([9, 5, 6, 9, 7], [(5, -1.0), (6, -2.0), (7, -3.0)], [None, -1.0, -2.0, None, -3.0]),
        ([9, 5, 5, 6], [(5, -1.0), (6, -2.0)], [None, None, None, -2.0]),
    ],
)
def test_each_log_probability_is_of_its_own_token_or_of_none(ids, told, found):
    assert aligned(ids, told) == found


def test_log_probabilities_of_tokens_that_are_not_there_are_an_error():
    with pytest.raises(ValueError, match="not in"):
        aligned([5, 6], [(5, -1.0), (7, -2.0)])


def test_no_seed_is_the_one_that_asks_for_chance_and_all_bits_count():
    seeds = [0, 2**32 - 2, 2**32 - 1, 2**40 + 7, 2**62 + 8, 2**63 - 1]
    sent = [
        LlamaCppDialect().payload(Request((1,), WARM, seed), "m", False, "")["seed"]
        for seed in seeds
    ]
    assert max(sent) < 2**32 - 1
    assert len(set(sent)) == len(seeds) - 1  # 0 and the number of seeds are the same one


@pytest.mark.slow
def test_a_real_server_gives_every_log_probability(llamacpp_server: LlamaCppServer, smollm2: Path):
    """Those of a stop string's tokens and of characters of several tokens as well."""

    async def go() -> None:
        engine = ServerEngine(llamacpp_server.url, "smollm2", str(smollm2))
        await engine.start()
        try:
            await check(engine)
        finally:
            await engine.close()

    async def check(engine: ServerEngine) -> None:
        spelt = engine.tokenizer
        chat = spelt.encode_chat([{"role": "user", "content": "Write one line of Chinese."}], {})
        prompt = chat + spelt.encode("\u4f60\u597d\uff0c\u4e16\u754c\u3002\u4eca\u5929")
        seeds = range(2)
        short, one_more = replace(WARM, max_tokens=9), replace(WARM, max_tokens=1)
        whole = await engine.generate_all([Request(prompt, short, seed) for seed in seeds])
        for seed, done in zip(seeds, whole, strict=True):
            ids = done.token_ids
            alone = [
                await engine.generate(Request(prompt + ids[:at], one_more, 0, (ids[at],)))
                for at in range(len(ids))
            ]
            total = sum(one.first_logprobs[0] for one in alone)
            assert done.logprob == pytest.approx(total, abs=0.01)
            stop = next(sign for sign in done.text[1:] if sign.strip() and sign != CUT)
            early = replace(short, stop=(stop,))
            [cut] = await engine.generate_all([Request(prompt, early, seed)])
            assert cut.token_ids == ids[: len(cut.token_ids)]
            assert cut.stop == stop
            told = sum(one.first_logprobs[0] for one in alone[: len(cut.token_ids)])
            assert cut.logprob == pytest.approx(told, abs=0.01)
        assert any(CUT in spelt.decode((token,)) for done in whole for token in done.token_ids)

    asyncio.run(go())


@pytest.mark.slow
def test_a_real_server_cuts_what_is_unlikely_after_the_temperature(
    llamacpp_server: LlamaCppServer, smollm2: Path
):
    """As other engines do: at a high one, top-p leaves more tokens than at 1."""

    async def go() -> tuple[list[float], set[int]]:
        engine = ServerEngine(llamacpp_server.url, "smollm2", str(smollm2))
        await engine.start()
        try:
            prompt = engine.tokenizer.encode_chat([{"role": "user", "content": "Say a word."}], {})
            hot = Sampling(1, temperature=2.0, top_p=0.5)
            done = await engine.generate_all([Request(prompt, hot, seed) for seed in range(100)])
            logprobs = {one.token_ids[0]: one.logprob for one in done}
            return sorted(logprobs.values(), reverse=True), set(logprobs)
        finally:
            await engine.close()

    logprobs, drawn = asyncio.run(go())
    # Before the temperature, half of the probability would be in the likeliest few tokens.
    assert len(drawn) > 20
    assert sum(map(math.exp, logprobs)) > 0.5
    assert math.exp(logprobs[-1]) < 0.01
