from __future__ import annotations

import asyncio
import shutil
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers_runs import complete, engine, run

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.types import Sampling


def requests_of(count: int, tokens: int) -> list[Request]:
    """Requests whose prompts differ in their ids and in their lengths."""
    return [Request((5, 6 + i) + (9,) * i, Sampling(tokens), seed=i) for i in range(count)]


def test_max_model_len_cuts(endless: Path) -> None:
    fits = (5,) * 59

    async def body(running: TransformersEngine) -> None:
        requests = [Request(fits, Sampling(10), 0), Request(fits[:40], Sampling(30), 0)]
        done = await running.generate_all(requests)
        assert [len(c.token_ids) for c in done] == [1, 20]
        assert {c.finish_reason for c in done} == {"length"}
        with pytest.raises(EngineError, match="the engine holds 60"):
            await running.generate(Request((5,) * 60, Sampling(10), 0))

    run(endless, body, max_model_len=60)


def test_a_cancelled_request_frees_its_row(endless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tts_bench.engine.decode import Decoder

    step, rows = Decoder.step, []

    def counted(self: Decoder, tokens: Any) -> Any:
        rows.append(len(tokens))
        return step(self, tokens)

    async def body(running: TransformersEngine) -> None:
        monkeypatch.setattr(Decoder, "step", counted)
        long = asyncio.create_task(running.generate(Request((5, 6), Sampling(500), 0)))
        waiting = asyncio.create_task(running.generate(Request((5, 6), Sampling(500), 1)))
        while not rows:  # noqa: ASYNC110 - the step runs in another thread
            await asyncio.sleep(0)
        waiting.cancel()
        long.cancel()
        await asyncio.gather(long, waiting, return_exceptions=True)
        assert long.cancelled()
        assert waiting.cancelled()
        assert len((await running.generate(Request((5, 6), Sampling(3), 0))).token_ids) == 3

    run(endless, body, max_batch_size=1)
    assert len(rows) < 250, "the only row was decoded on after its request was cancelled"
    assert set(rows) == {1}


def test_closing_fails_what_is_in_flight(endless: Path) -> None:
    async def main() -> None:
        running = engine(endless, max_batch_size=1)
        await running.start()
        tasks = [
            asyncio.create_task(running.generate(Request((5,), Sampling(500), s))) for s in (0, 1)
        ]
        await asyncio.sleep(0.02)
        await running.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, EngineError) for result in results)
        with pytest.raises(EngineError, match="not started"):
            await running.generate(Request((5,), Sampling(5), 0))
        assert not [t for t in threading.enumerate() if t.name == "tts-bench-model"]
        await running.start()
        assert (await running.generate(Request((5,), Sampling(5), 0))).token_ids
        await running.close()

    asyncio.run(main())


def test_a_failed_pass_fails_its_requests_and_not_the_engine(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tts_bench.engine.decode import Decoder

    step, broken = Decoder.step, [RuntimeError("a kernel failed\nwith details")]

    def sometimes(self: Decoder, tokens: Any) -> Any:
        if broken and self.rows.high > 5:
            raise broken.pop()
        return step(self, tokens)

    async def body(running: TransformersEngine) -> None:
        monkeypatch.setattr(Decoder, "step", sometimes)
        request = Request((5, 6, 7), Sampling(20), 0)
        with pytest.raises(EngineError, match=r"a kernel failed$"):
            await running.generate(request)
        assert len((await running.generate(request)).token_ids) == 20

    run(endless, body)


def test_a_lost_device_is_the_engines_death_and_it_can_be_started_anew(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tts_bench.engine.decode import Decoder

    class AcceleratorError(RuntimeError):
        """As torch's of that name."""

    def lost(self: Decoder, tokens: Any) -> Any:
        raise AcceleratorError("CUDA error: unspecified launch failure\nwith details")

    async def body(running: TransformersEngine) -> None:
        request = Request((5, 6, 7), Sampling(20), 0)
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "step", lost)
            with pytest.raises(EngineDied, match=r"unspecified launch failure$"):
                await running.generate(request)
        await running.close()
        await running.start()
        assert len((await running.generate(request)).token_ids) == 20

    run(endless, body)


def test_where_memory_runs_out_fewer_rows_are_decoded(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tts_bench.engine.decode import Decoder

    step = Decoder.step
    requests = requests_of(12, 30)
    expected = [c.token_ids for c in complete(endless, requests)]

    def narrow(self: Decoder, tokens: Any) -> Any:
        if len(tokens) > 4 and self.rows.high > 20:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 5 bytes")
        return step(self, tokens)

    monkeypatch.setattr(Decoder, "step", narrow)
    assert [c.token_ids for c in complete(endless, requests)] == expected

    def never(self: Decoder, tokens: Any) -> Any:
        raise MemoryError("nothing left")

    async def body(running: TransformersEngine) -> None:
        monkeypatch.setattr(Decoder, "step", never)
        with pytest.raises(EngineError, match="nothing left"):
            await running.generate(requests[0])

    monkeypatch.setattr(Decoder, "step", step)
    run(endless, body)


def test_a_buffer_that_would_not_fit_is_not_asked_for(
    endless: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tts_bench.engine import decode

    requests = requests_of(12, 50)
    expected = [c.token_ids for c in complete(endless, requests)]
    # One slot of this model takes 1 KiB, and one row here about 200 slots.
    asked: list[int] = []
    monkeypatch.setattr(decode, "WORTH_A_CHECK", 0)
    monkeypatch.setattr(decode, "available_memory", lambda: asked.append(1) or 600 << 10)
    assert [c.token_ids for c in complete(endless, requests)] == expected
    assert asked
    monkeypatch.setattr(decode, "available_memory", lambda: 1 << 10)
    with pytest.raises(ModelError, match="does not fit in memory"):
        complete(endless, requests[:1])


def wait_for_worker() -> None:
    while not [t for t in threading.enumerate() if t.name == "tts-bench-model"]:
        time.sleep(0.001)


def test_a_start_that_is_cancelled_can_be_closed(tiny_model_dir: Path) -> None:
    async def main() -> None:
        running = engine(tiny_model_dir)
        starting = asyncio.create_task(running.start())
        await asyncio.to_thread(wait_for_worker)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await running.close()
        assert not [t for t in threading.enumerate() if t.name == "tts-bench-model"]

    asyncio.run(main())


def test_a_tokenizer_without_a_chat_template_is_an_error_with_a_way_out(
    endless: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    shutil.copytree(endless, folder)
    (folder / "chat_template.jinja").unlink()

    async def body(running: TransformersEngine) -> None:
        with pytest.raises(ModelError, match=r"prompt\.chat: false"):
            running.tokenizer.encode_chat([{"role": "user", "content": "x"}], {})

    run(folder, body)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({}, "no model folder at"),
        ({"config.json": None}, "no config.json"),
        ({"config.json": '{"model_type": "no_such_model"}'}, "no_such_model"),
        ({"model.safetensors": "not weights at all"}, "damaged weights"),
        ({"model.safetensors": None}, "cannot load"),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_clear_line(
    tiny_model_dir: Path, tmp_path: Path, damage: dict[str, str | None], message: str
) -> None:
    folder = tmp_path / "model"
    if damage:
        shutil.copytree(tiny_model_dir, folder)
    for name, content in damage.items():
        if content is None:
            (folder / name).unlink()
        else:
            (folder / name).write_text(content)
    with pytest.raises(ModelError, match=message) as caught:
        asyncio.run(engine(folder).start())
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [{"dtype": "int8"}, {"max_model_len": 513}, {"max_batch_size": 0}, {"threads": 0}],
)
def test_settings_that_cannot_be_are_refused_at_start(
    tiny_model_dir: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(ModelError):
        asyncio.run(replace(engine(tiny_model_dir), **settings).start())


def test_a_model_whose_attention_is_of_another_kind_is_refused(
    tmp_path: Path, tiny_model_dir: Path
) -> None:
    import torch
    from transformers import AutoTokenizer, BloomConfig, BloomForCausalLM

    torch.manual_seed(0)
    config = BloomConfig(vocab_size=384, hidden_size=64, n_layer=2, n_head=4)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="use engine vllm"):
        asyncio.run(engine(tmp_path, max_model_len=100).start())


def test_a_future_that_is_cancelled_at_the_last_moment_is_left_alone() -> None:
    from tts_bench.engine.batch import deliver

    future: Future[Completion] = Future()
    future.cancel()
    deliver(future, EngineError("too late"))
    assert future.cancelled()
