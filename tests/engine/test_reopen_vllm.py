"""The `vllm` engine finds stop strings that hold special tokens, and goes on without them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tts_bench.engine.base import Request
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.types import Sampling

pytestmark = pytest.mark.vllm
START = 1
"""`<|start|>`, a special token that ends nothing by itself."""


def test_a_special_token_stops_and_is_taken_back(tiny_model_dir: Path) -> None:
    async def body() -> None:
        engine = VLLMEngine(model=str(tiny_model_dir), kv_cache_gb=0.125)
        await engine.start()
        try:
            prompt = engine.tokenizer.encode_chat([{"role": "user", "content": "1 plus 2"}], {})
            sampling = Sampling(200, temperature=2.0, stop=("<|start|>", "plus"))
            done = await engine.generate_all([Request(prompt, sampling, i) for i in range(24)])
            stopped = [one for one in done if one.stop == "<|start|>"]
            assert stopped
            for one in stopped:
                assert one.token_ids.index(START) == len(one.token_ids) - 1
                assert "<|start|>" not in one.text
                left = engine.tokenizer.reopen(prompt, one.token_ids, ("<|start|>",), True)
                assert (left.tokens, left.rest) == (len(one.token_ids) - 1, "")
                assert left.characters == len(one.text)
            for one in done:
                if one.finish_reason == "stop" and one.stop is None:
                    left = engine.tokenizer.reopen(prompt, one.token_ids, (), True)
                    assert left.tokens == len(one.token_ids) - 1
        finally:
            await engine.close()

    asyncio.run(body())
