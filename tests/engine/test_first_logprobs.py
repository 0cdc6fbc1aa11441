"""`Request.logprob_ids`: what each engine says of tokens that it need not have drawn."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from shared_vllm import Lent
from transformers_runs import engine as transformers_engine

from tts_bench.engine.base import Completion, Engine, Request
from tts_bench.engine.cached import CachedEngine, request_keys
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.errors import EngineError
from tts_bench.store.generations import GenerationStore, TextReader
from tts_bench.types import Sampling

ONE = Sampling(max_tokens=1, temperature=0)
IDS = (7, 300, 0, 41)


@pytest.fixture(params=["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def engine(request: pytest.FixtureRequest, tiny_model_dir: Path) -> Engine:
    """An engine on the tiny model, to be started and closed."""
    if request.param == "vllm":
        return Lent(request.getfixturevalue("vllm_engine"))
    return transformers_engine(tiny_model_dir)


def ask(engine: Engine, requests: Sequence[Request]) -> list[Completion]:
    async def go() -> list[Completion]:
        await engine.start()
        try:
            return await engine.generate_all(requests)
        finally:
            await engine.close()

    return asyncio.run(go())


def forward(folder: Path, prompt: Sequence[int]) -> list[float]:
    """Log-probabilities of every token behind the prompt, by the library's own model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logprobs: list[float] = model(torch.tensor([prompt])).logits[0, -1].log_softmax(-1).tolist()
    return logprobs


def test_they_are_those_of_a_plain_forward_pass(engine: Engine, tiny_model_dir: Path) -> None:
    prompts = [tuple(range(3, 3 + length)) for length in (1, 9, 70)]
    law = Sampling(max_tokens=5, temperature=0.3, top_k=2)  # changes draws, and nothing here
    requests = [Request(prompt, law, 1, IDS[: i + 1]) for i, prompt in enumerate(prompts)]
    requests.append(Request(prompts[2], ONE, 0, IDS))
    for request, done in zip(requests, ask(engine, requests), strict=True):
        expected = forward(tiny_model_dir, request.prompt_ids)
        wanted = [expected[token] for token in request.logprob_ids]
        assert done.first_logprobs == pytest.approx(wanted, abs=1e-4)


def test_requests_beside_them_keep_their_draws_and_log_probabilities(engine: Engine) -> None:
    """vLLM gives others in the batch -inf beyond their own token; theirs must be untouched."""
    policy = [Request((5, 9, 12), Sampling(max_tokens=20), seed) for seed in range(6)]
    probes = [Request((5, 9, 12, token), ONE, 0, (300, token)) for token in range(40, 60)]

    async def go() -> tuple[list[Completion], list[Completion]]:
        await engine.start()
        try:
            alone = await engine.generate_all(policy)
            mixed = await engine.generate_all([*policy, *probes])
        finally:
            await engine.close()
        return alone, mixed

    alone, mixed = asyncio.run(go())
    for one, other in zip(alone, mixed, strict=False):
        assert one.token_ids == other.token_ids
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert math.isfinite(other.logprob)
        assert other.first_logprobs == ()
    assert all(len(done.first_logprobs) == 2 for done in mixed[len(policy) :])


def test_the_sum_over_the_draw_is_still_that_of_its_own_tokens(engine: Engine) -> None:
    plain = Request((5, 9, 12), Sampling(max_tokens=8), 3)
    asked = Request((5, 9, 12), Sampling(max_tokens=8), 3, (40, 41))
    one, other = ask(engine, [plain, asked])
    assert one.token_ids == other.token_ids
    assert one.logprob == pytest.approx(other.logprob, abs=1e-4)


def test_an_id_outside_of_the_vocabulary_fails_alone(engine: Engine) -> None:
    async def go() -> list[object]:
        await engine.start()
        try:
            requests = [Request((5,), ONE, 0, (4,)), Request((5,), ONE, 0, (10**6,))]
            return await asyncio.gather(*map(engine.generate, requests), return_exceptions=True)
        finally:
            await engine.close()

    good, bad = asyncio.run(go())
    assert isinstance(good, Completion)
    assert isinstance(bad, EngineError)


def test_info_is_what_start_returned_and_needs_a_start(tiny_model_dir: Path) -> None:
    async def go() -> None:
        engine = transformers_engine(tiny_model_dir)
        with pytest.raises(EngineError, match="not started"):
            _ = engine.info
        assert await engine.start() == engine.info
        await engine.close()

    asyncio.run(go())


def test_a_scripted_engine_has_the_token_that_it_writes_above_all_others() -> None:
    engine = ScriptedEngine(lambda prompt, request: "yes")
    [done] = ask(engine, [Request((1,), ONE, 0, tuple(map(ord, "yn")))])
    assert done.first_logprobs == (-0.1, -10.0)


def test_the_ids_are_part_of_the_key_and_without_them_keys_are_as_before() -> None:
    plain = Request((1, 2), Sampling(max_tokens=9), 0)
    # Recorded before `logprob_ids` existed: stores in use must keep answering.
    assert request_keys("engine", [plain]) == ["8c8896e6b7733b7f6234aac28c2737a2"]
    wanted = [(), (3,), (3, 4), (4, 3)]
    requests = [Request((1, 2), Sampling(max_tokens=9), 0, ids) for ids in wanted]
    assert len(set(request_keys("engine", requests))) == 4


def test_the_store_gives_them_back_to_the_bit(tmp_path: Path) -> None:
    values = (-0.1, -1e-17, -123.456789012345678)

    async def go() -> tuple[Completion, Completion]:
        done = Completion((1,), "a", -0.1, "stop", first_logprobs=values)
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            engine = CachedEngine(ScriptedEngine(lambda *_: done), store)
            assert await engine.start() == engine.info
            await engine.generate(Request((1,), ONE, 0, (1, 2, 3)))
            await engine.close()
            replay = CachedEngine(ScriptedEngine(lambda *_: done), store, replay=True)
            await replay.start()
            plain = Completion((1,), "b", -0.1, "stop")
            await store.put("plain", plain)
            again = await replay.generate(Request((1,), ONE, 0, (1, 2, 3)))
            return again, (await store.get_many(["plain"]))["plain"]

    again, plain = asyncio.run(go())
    assert again.first_logprobs == values
    assert plain.first_logprobs == ()


FORMAT_1 = """
CREATE TABLE completions (
    key TEXT PRIMARY KEY, ids BLOB NOT NULL, text TEXT NOT NULL, logprob REAL NOT NULL,
    finish_reason TEXT NOT NULL, stop TEXT, cached INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO completions VALUES ('old', x'0700000008000000', 'told', -2.5, 'length', NULL, 3);
PRAGMA user_version=1;
"""


def test_a_store_of_format_1_is_read_and_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(FORMAT_1)
    connection.close()
    assert TextReader(path).read(["old"]) == {"old": "told"}  # a report only reads

    async def go() -> dict[str, Completion]:
        for _ in range(2):  # the second opening finds the present format
            async with GenerationStore(path) as store:
                new = Completion((1,), "new", -1.0, "stop", first_logprobs=(-0.5,))
                await store.put("new", new)
                found = await store.get_many(["old", "new"])
        return found

    found = asyncio.run(go())
    assert found["old"] == Completion((7, 8), "told", -2.5, "length", None, 3, "old")
    assert found["new"].first_logprobs == (-0.5,)
    assert TextReader(path).read(["old", "new"]) == {"old": "told", "new": "new"}


def test_processes_that_open_an_old_store_at_once_migrate_it_once(tmp_path: Path) -> None:
    path = tmp_path / "g.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(FORMAT_1)
    connection.close()

    async def open_it() -> None:
        async with GenerationStore(path) as store:
            assert set(await store.get_many(["old"])) == {"old"}

    async def go() -> None:
        await asyncio.gather(*(open_it() for _ in range(8)))

    asyncio.run(go())
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    connection.close()


def test_what_was_encoded_after_the_last_draw_is_there_in_a_replay(tmp_path: Path) -> None:
    async def go(replay: bool) -> tuple[int, ...]:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            engine = CachedEngine(ScriptedEngine(lambda *_: "a"), store, replay=replay)
            await engine.start()
            await engine.generate(Request((1,), ONE, 0))
            ids = engine.tokenizer.encode("afterwards")
            await engine.close()
            return ids

    assert asyncio.run(go(False)) == asyncio.run(go(True))
