"""What the harness costs beside bare vLLM: one best-of-N suite against its very own requests.

    python benchmarks/overhead.py [--model DIR] [--problems 8] [--n 32] [--max-tokens 32]

Both are timed in one process, in turn, on warm prefix caches; the ratio of each pair and their
median are printed. A whole run is timed, grading, stores and manifest included, the report and
the loading of the model not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.progress import Progress
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.run.runner import execute
from tts_bench.suite.load import Suite, load_suite
from tts_bench.suite.registry import Registry

SUITE = """
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: vllm, model: {model}, dtype: float32, max_model_len: 512, kv_cache_gb: 1}}
sampling: {{max_tokens: {max_tokens}, temperature: 0.8}}
strategies: [{{strategy: best_of_n, n: {n}}}]
"""


@dataclass(frozen=True)
class Warm(Engine):
    """An engine that is started already and notes what it is asked."""

    inner: VLLMEngine
    info: EngineInfo
    requests: list[Request] = field(default_factory=list)

    async def start(self) -> EngineInfo:
        return self.info

    async def close(self) -> None:
        """Stay open for the next run."""

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        return await self.inner.generate(request)

    @property
    def tokenizer(self) -> Tokenizer:
        """The inner engine's."""
        return self.inner.tokenizer

    def settings_key(self) -> str:
        return self.inner.settings_key()


def bare_llm(model: str) -> Any:
    """vLLM's own offline interface on the same model, with the adapter's CPU settings."""
    from vllm import LLM

    return LLM(
        model=model,
        dtype="float32",
        max_model_len=512,
        enforce_eager=True,
        block_size=32,
        kv_cache_memory_bytes=1 << 30,
        enable_prefix_caching=True,
        enable_chunked_prefill=False,
        max_num_batched_tokens=4096,
        max_num_seqs=256,
    )


def generate_bare(llm: Any, requests: Sequence[Request]) -> float:
    """Seconds that `LLM.generate` takes for the requests."""
    from vllm import SamplingParams, TokensPrompt

    prompts = [TokensPrompt(prompt_token_ids=list(request.prompt_ids)) for request in requests]
    params = [
        SamplingParams(
            max_tokens=request.sampling.max_tokens,
            temperature=request.sampling.temperature,
            seed=request.seed,
            logprobs=0,
            stop=list(request.sampling.stop) or None,
        )
        for request in requests
    ]
    began = time.perf_counter()
    llm.generate(prompts, params, use_tqdm=False)
    return time.perf_counter() - began


async def timed_run(suite: Suite) -> float:
    """Seconds of one whole run into an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(output_path=Path(folder), fresh=True)
        plan = make_plan(suite, options)
        began = time.perf_counter()
        await execute(plan, options, Progress("none"))
        return time.perf_counter() - began


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time run and bare engine in turn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "overhead.yaml"
        path.write_text(SUITE.format(**vars(arguments)))
        suite = load_suite(path, Registry())
    assert isinstance(suite.engine, VLLMEngine)
    warm = Warm(suite.engine, await suite.engine.start())
    suite = replace(suite, engine=warm)
    llm = bare_llm(arguments.model)
    await timed_run(suite)  # warms the prefix cache and tells the requests
    requests = list(warm.requests)
    generate_bare(llm, requests)
    pairs = []
    for _ in range(arguments.repeats):
        run = await timed_run(suite)
        pairs.append((run, generate_bare(llm, requests)))
    ratios = [run / bare for run, bare in pairs]
    return {
        "model": warm.info.model,
        "engine": warm.info.engine,
        "requests": len(requests),
        "pairs_seconds": [[round(run, 2), round(bare, 2)] for run, bare in pairs],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="models/SmolLM2-135M-Instruct")
    parser.add_argument("--problems", type=int, default=8)
    parser.add_argument("--n", type=int, default=32)
    parser.add_argument("--max-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
