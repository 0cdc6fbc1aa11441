"""The `vllm` engine on a tiny model: one engine for all tests, each test with a loop of its own."""

from __future__ import annotations

import asyncio
import os
import queue
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.vllm_worker import LoadedVLLM, VLLMWorker
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.types import Sampling

pytestmark = pytest.mark.vllm

T = TypeVar("T")
SAMPLED = Sampling(max_tokens=24)
GREEDY = Sampling(max_tokens=24, temperature=0.0)


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def settings(model: Path, **more: Any) -> VLLMEngine:
    return VLLMEngine(model=str(model), **{"kv_cache_gb": 0.125, **more})


@pytest.fixture
def engine(vllm_engine: VLLMEngine) -> VLLMEngine:
    return vllm_engine


@pytest.fixture
def prompt(engine: VLLMEngine) -> tuple[int, ...]:
    return engine.tokenizer.encode_chat([{"role": "user", "content": "What is 2 plus 3?"}], {})


def draw(engine: VLLMEngine, requests: Sequence[Request]) -> list[Completion]:
    async def all_at_once() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(request) for request in requests))

    return run(all_at_once())


def test_info_names_library_revision_dtype_and_shape(
    engine: VLLMEngine, tiny_model_dir: Path
) -> None:
    info = engine.info
    assert info.engine.startswith("vllm")
    assert info.model == str(tiny_model_dir)
    assert info.revision.startswith("sha256:")
    assert info.max_model_len == 512
    assert info.shape is not None
    assert info.dtype in {"float32", "bfloat16"}


def test_a_draw_is_the_same_alone_and_in_a_reversed_batch(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    requests = [Request(prompt, SAMPLED, seed) for seed in range(64)]
    alone = [draw(engine, [request])[0] for request in requests[::8]]
    batch = draw(engine, list(reversed(requests)))[::-1]
    for one, other in zip(alone, batch[::8], strict=True):
        assert one.token_ids == other.token_ids
        assert one.text == other.text
        assert one.logprob == other.logprob


def test_a_repeated_long_prompt_is_read_from_the_prefix_cache(engine: VLLMEngine) -> None:
    long = engine.tokenizer.encode("one plus two equals three, " * 8)
    first = draw(engine, [Request(long, GREEDY, 0)])[0]
    second = draw(engine, [Request((*long, 40), GREEDY, 0)])[0]
    assert first.cached_prompt_tokens == 0
    assert len(long) - 32 <= second.cached_prompt_tokens <= len(long)


def test_the_models_own_end_is_a_stop_without_a_stop_string(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    (end,) = engine.tokenizer.encode("<|end|>")
    long = Sampling(max_tokens=400)
    completions = draw(engine, [Request(prompt, long, seed) for seed in range(32)])
    ended = [one for one in completions if one.token_ids[-1] == end]
    cut = [one for one in completions if one.token_ids[-1] != end]
    assert ended
    assert all((one.finish_reason, one.stop) == ("stop", None) for one in ended)
    assert all(one.finish_reason == "length" and len(one.token_ids) == 400 for one in cut)
    assert not any("<|end|>" in one.text for one in ended)


def test_a_special_token_stops_and_is_taken_back(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    start = 1  # `<|start|>`, which ends nothing by itself
    sampling = Sampling(200, temperature=2.0, stop=("<|start|>", "plus"))
    done = draw(engine, [Request(prompt, sampling, seed) for seed in range(24)])
    stopped = [one for one in done if one.stop == "<|start|>"]
    assert stopped
    for one in stopped:
        assert one.token_ids.index(start) == len(one.token_ids) - 1
        assert "<|start|>" not in one.text
        left = engine.tokenizer.reopen(prompt, one.token_ids, ("<|start|>",), True)
        assert (left.tokens, left.rest) == (len(one.token_ids) - 1, "")
        assert left.characters == len(one.text)


def test_cancelling_frees_the_request_in_the_engine(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    async def cancel_all_but_one() -> Completion:
        long = Sampling(max_tokens=400)
        tasks = [
            asyncio.create_task(engine.generate(Request(prompt, long, seed))) for seed in range(32)
        ]
        await engine.generate(Request(prompt, Sampling(max_tokens=2), 0))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert all(task.cancelled() for task in tasks)
        return await engine.generate(Request(prompt, SAMPLED, 1))

    assert run(cancel_all_but_one()).token_ids
    assert engine._started.in_flight == 0


def test_two_thousand_requests_in_flight_complete(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    short = Sampling(max_tokens=2)
    completions = draw(engine, [Request(prompt, short, seed) for seed in range(2000)])
    assert len(completions) == 2000
    assert all(1 <= len(one.token_ids) <= 2 for one in completions)


def test_logprob_is_that_of_the_unmodified_model(
    engine: VLLMEngine, prompt: tuple[int, ...], tiny_model_dir: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    warm = Sampling(max_tokens=24, temperature=0.6, top_p=0.9, top_k=20)
    for completion in draw(engine, [Request(prompt, warm, 9), Request(prompt, SAMPLED, 9)]):
        ids = torch.tensor([[*prompt, *completion.token_ids]])
        with torch.no_grad():
            logprobs = model(ids).logits[0].log_softmax(-1)
        picked = logprobs[len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])
        assert completion.logprob == pytest.approx(picked.sum().item(), abs=1e-3)


def test_encode_adds_no_special_tokens_and_chat_ends_at_the_assistants_turn(
    engine: VLLMEngine, prompt: tuple[int, ...]
) -> None:
    text = "<|start|>user\nWhat is 2 plus 3?<|end|>\n<|start|>assistant\n"
    assert engine.tokenizer.encode(text) == prompt
    assert engine.tokenizer.encode("") == ()


def test_load_mistakes_are_one_line_each(tiny_model_dir: Path, tmp_path: Path) -> None:
    mistakes = {
        "no model folder": VLLMEngine(model=str(tmp_path / "absent")),
        "no config.json": VLLMEngine(model=str(tmp_path)),
        "Did you mean 'block_size'": settings(tiny_model_dir, options={"blok_size": 16}),
        "beside `options`": settings(tiny_model_dir, options={"dtype": "float32"}),
        "max_model_len (9999)": settings(tiny_model_dir, max_model_len=9999),
        "smaller than max_model_len": settings(tiny_model_dir, max_num_batched_tokens=64),
    }
    for said, engine in mistakes.items():
        with pytest.raises(ModelError) as caught:
            run(engine.start())
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_engine_that_is_not_started_says_so(tiny_model_dir: Path) -> None:
    idle = settings(tiny_model_dir)
    with pytest.raises(EngineError, match="not started"):
        draw(idle, [Request((1,), SAMPLED, 0)])
    with pytest.raises(EngineError, match="not started"):
        _ = idle.info


class StubEngine:
    """Stands for vLLM's LLMEngine where the test needs one that dies or never answers."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.shut_down = 0
        self.added: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.aborted: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        # Like a core that is a process of its own: no other engine's end has to be waited for.
        self.engine_core = SimpleNamespace(shutdown=self._shutdown, resources=None)

    def _shutdown(self) -> None:
        self.shut_down += 1

    def get_tokenizer(self) -> object:
        return object()

    def add_request(self, request_id: str, *_: object) -> None:
        self.added.put(request_id)

    def abort_request(self, ids: list[str]) -> None:
        self.aborted.put(ids)

    def step(self) -> list[Any]:
        if self.error is not None:
            raise self.error
        return []


def stub_worker(stub: StubEngine) -> VLLMWorker:
    info = EngineInfo("stub", "stub", "0", "float32", 8, None)
    return VLLMWorker(lambda: LoadedVLLM(stub, info))  # type: ignore[arg-type]


def test_when_the_engine_dies_requests_in_flight_and_later_ones_fail_with_the_cause() -> None:
    async def scenario() -> tuple[list[BaseException], BaseException]:
        worker = stub_worker(stub)
        await worker.start()
        requests = [worker.ask(Request((1,), SAMPLED, seed)) for seed in range(3)]
        first = await asyncio.gather(*requests, return_exceptions=True)
        later = await asyncio.gather(worker.ask(Request((1,), SAMPLED, 9)), return_exceptions=True)
        await worker.close()
        return first, later[0]  # type: ignore[return-value]

    stub = StubEngine(RuntimeError("device lost"))
    first, later = run(scenario())
    for error in [*first, later]:
        assert isinstance(error, EngineDied)
        assert "RuntimeError: device lost" in str(error)
    assert stub.shut_down == 1


def test_a_killed_core_process_fails_the_requests_in_flight() -> None:
    async def scenario() -> BaseException:
        worker = stub_worker(stub)
        await worker.start()
        waiting = asyncio.create_task(worker.ask(Request((1,), SAMPLED, 0)))
        await asyncio.sleep(0)
        os.close(written)  # what the system does to a process's sentinel when it ends
        (error,) = await asyncio.gather(waiting, return_exceptions=True)
        await worker.close()
        assert isinstance(error, BaseException)
        return error

    read, written = os.pipe()
    stub = StubEngine()
    outputs: queue.SimpleQueue[Exception] = queue.SimpleQueue()
    manager = SimpleNamespace(sentinels=lambda: [read])
    stub.engine_core.outputs_queue = outputs
    stub.engine_core.resources = SimpleNamespace(engine_manager=manager)
    stub.step = lambda: raise_next(outputs)  # type: ignore[method-assign]
    error = run(scenario())
    os.close(read)
    assert isinstance(error, EngineDied)
    assert "EngineDeadError" in str(error)


def raise_next(outputs: queue.SimpleQueue[Exception]) -> list[Any]:
    raise outputs.get(timeout=60)


def test_close_fails_requests_in_flight_and_frees_the_engine() -> None:
    async def scenario() -> list[Any]:
        worker = stub_worker(stub)
        await worker.start()
        waiting = asyncio.create_task(worker.ask(Request((1,), SAMPLED, 0)))
        await asyncio.sleep(0)
        await worker.close()
        return await asyncio.gather(waiting, return_exceptions=True)

    stub = StubEngine()
    (error,) = run(scenario())
    assert isinstance(error, EngineError)
    assert "closed" in str(error)
    assert stub.shut_down == 1


def test_only_the_cancelled_request_is_aborted_in_the_engine() -> None:
    async def scenario() -> None:
        worker = stub_worker(stub)
        await worker.start()
        tasks = [asyncio.create_task(worker.ask(Request((1,), SAMPLED, seed))) for seed in range(3)]
        for _ in tasks:
            await asyncio.to_thread(stub.added.get, True, 60)
        tasks[1].cancel()
        assert await asyncio.to_thread(stub.aborted.get, True, 60) == ["1"]
        assert worker.in_flight == 2
        await worker.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    stub = StubEngine()
    run(scenario())
    assert stub.aborted.empty()


def test_a_cancelled_start_frees_what_was_loaded() -> None:
    async def scenario() -> None:
        worker = stub_worker(stub)
        starting = asyncio.create_task(worker.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await worker.close()

    stub = StubEngine()
    run(scenario())
    assert stub.shut_down == 1
