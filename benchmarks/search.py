"""What it is worth that all searches share one engine: beam search, together and one by one.

    python benchmarks/search.py [--model DIR] [--problems 32] [--n 16] [--beam-width 4]

The same searches run twice on one vLLM engine with warm prefix caches: all problems in flight,
then one problem at a time, as search-and-learn does. Tokens per second of both, their ratio, and
how many engine steps (forward passes) the sharing saves are printed. A whole run is timed,
grading and stores included, the loading of the model not. Both make the very same draws. CPU
seconds are of this process alone, and so are little disturbed by others on the machine.

The ceiling is what bare vLLM gains on the very same requests, were they all known beforehand:
all at once against one level of one search at a time. No scheduling of searches can gain more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

from overhead import (  # type: ignore[import-not-found]  # the script beside this one
    bare_llm,
    generate_bare,
)

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.vllm_library import prepare_environment
from tts_bench.progress import Progress
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.run.runner import execute
from tts_bench.suite.load import Suite, load_suite
from tts_bench.suite.registry import Registry

SUITE = """
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: vllm, model: {model}, dtype: float32, max_model_len: 512, kv_cache_gb: 1}}
verifier: confidence
sampling: {{max_tokens: {max_tokens}, temperature: 1.0}}
strategies:
- {{strategy: beam_search, n: {n}, beam_width: {beam_width}, step_tokens: {step_tokens}}}
"""


@dataclass(frozen=True)
class Kept(VLLMEngine):
    """vLLM that stays loaded between runs, and notes what it is asked."""

    requests: ClassVar[list[Request]] = []

    async def start(self) -> EngineInfo:
        return self.info if "_worker" in self.__dict__ else await super().start()

    async def close(self) -> None:
        """Stay open for the next run."""

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        return await super().generate(request)


def ceiling(model: str, requests: Sequence[Request], n: int) -> float:
    """How much faster bare vLLM is with all requests at once than with `n` at a time."""
    llm = bare_llm(model)
    generate_bare(llm, requests)  # warms the prefix cache
    began = time.process_time()
    generate_bare(llm, requests)
    at_once = time.process_time() - began
    began = time.process_time()
    for start in range(0, len(requests), n):
        generate_bare(llm, requests[start : start + n])
    return (time.process_time() - began) / at_once


def count_steps() -> Counter[str]:
    """Have vLLM's steps counted from now on."""
    prepare_environment()
    from vllm.v1.engine.llm_engine import LLMEngine

    counts: Counter[str] = Counter()
    plain = LLMEngine.step

    def step(self: Any) -> Any:
        counts["steps"] += 1
        return plain(self)

    LLMEngine.step = step  # type: ignore[method-assign]
    return counts


async def timed_run(suite: Suite, counts: Counter[str]) -> dict[str, Any]:
    """One whole run into an empty folder: its tokens, seconds, engine steps and right answers."""
    counts.clear()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(output_path=Path(folder), fresh=True)
        plan = make_plan(suite, options)
        result = await execute(plan, options, Progress("none"))
        spent = result.run.read_manifest().throughput
        assert spent is not None, "a run that has ended says what it took"
        chosen = {one.problem: (one.answer, len(one.pool)) for one in result.run.attempts()}
    return {
        "tokens": spent.generated_tokens,
        "seconds": spent.seconds,
        "tokens_per_second": round(spent.generated_tokens / spent.seconds, 1),
        "cpu_seconds": round(time.process_time() - began, 2),
        "engine_steps": counts["steps"],
        "failed": result.failed,
        "chosen": chosen,
    }


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the searches together, then one by one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "search.yaml"
        path.write_text(SUITE.format(**vars(arguments)))
        suite = load_suite(path, Registry())
    counts = count_steps()
    assert isinstance(suite.engine, VLLMEngine)
    engine = suite.engine
    kept = Kept(**{field.name: getattr(engine, field.name) for field in fields(engine)})
    suite = replace(suite, engine=kept)
    try:
        info = await kept.start()
        await timed_run(replace(suite, concurrency=arguments.problems), counts)  # warms caches
        together = await timed_run(replace(suite, concurrency=arguments.problems), counts)
        kept.requests.clear()
        one_by_one = await timed_run(replace(suite, concurrency=1), counts)
        most = ceiling(info.model, kept.requests, arguments.n)
    finally:
        await VLLMEngine.close(kept)
    alike = together.pop("chosen") == one_by_one.pop("chosen")
    speed = together["tokens_per_second"] / one_by_one["tokens_per_second"]
    return {
        "model": info.model,
        "engine": info.engine,
        "problems": arguments.problems,
        "n": arguments.n,
        "beam_width": arguments.beam_width,
        "together": together,
        "one_by_one": one_by_one,
        "same_answers": alike,
        "speedup": round(speed, 2),
        "cpu_speedup": round(one_by_one["cpu_seconds"] / together["cpu_seconds"], 2),
        "cpu_ceiling": round(most, 2),
        "engine_steps_saved": one_by_one["engine_steps"] - together["engine_steps"],
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tts_bench/tiny/policy")
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--beam-width", type=int, default=4)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--step-tokens", default="null", help="for models that write no steps")
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
