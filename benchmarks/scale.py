"""The harness alone at scale: an engine that costs nothing, and everything else for real.

    python benchmarks/scale.py [--problems 500] [--n 256] [--tokens 300]

Runs five strategies, then the same command again (the resume of a finished run), then the
report, each in a process of its own, and prints CPU seconds, CPU per request and peak memory.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tts_bench import Completion, Engine, EngineInfo, Request, Tokenizer
from tts_bench.cost.flops import ModelShape
from tts_bench.engine.scripted import CharacterTokenizer

SUITE = """
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: "{engine}:Free", tokens: {tokens}}}
sampling: {{max_tokens: 2048, temperature: 0.8}}
strategies:
  - greedy
  - {{strategy: best_of_n, n: [1, 4, 16, 64, {n}]}}
  - {{strategy: self_consistency, n: [1, 4, 16, 64, {n}]}}
  - {{strategy: weighted_vote, n: [1, 4, 16, 64, {n}]}}
  - {{strategy: logprob_ranking, n: [1, 4, 16, 64, {n}]}}
"""
SHAPE = ModelShape(
    layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151936
)


@dataclass(frozen=True)
class Free(Engine):
    """Answers at once, with as many tokens as a model would write and one of thirty answers."""

    tokens: int = 300

    async def start(self) -> EngineInfo:
        return EngineInfo("free", "free", "", "", 1 << 20, SHAPE)

    @property
    def tokenizer(self) -> Tokenizer:
        """Characters."""
        return CharacterTokenizer()

    async def close(self) -> None:
        """Nothing to free."""

    async def generate(self, request: Request) -> Completion:
        rng = random.Random(request.seed)
        length = rng.randrange(self.tokens // 2, self.tokens * 3 // 2)
        text = "Step by step. " * (length // 4) + f"\\boxed{{{int(rng.expovariate(0.2))}}}"
        ids = tuple(rng.choices(range(150000), k=length))
        return Completion(ids, text, -rng.random() * length, "stop")


def timed(*words: str) -> dict[str, float]:
    """CPU seconds and peak memory of one command."""
    script = (
        "import json, resource, runpy, sys, time; began = time.perf_counter()\n"
        "try: runpy.run_module('tts_bench', run_name='__main__')\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "print('\\n' + json.dumps({'cpu_s': used.ru_utime + used.ru_stime, "
        "'wall_s': time.perf_counter() - began, 'peak_mb': used.ru_maxrss / 1024}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return {key: round(value, 1) for key, value in measured.items()}


def main() -> None:
    """Run the suite, run it again, rebuild the report; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--tokens", type=int, default=300)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "scale.yaml"
        suite.write_text(SUITE.format(**vars(arguments), engine=Path(__file__).resolve()))
        command = ["run", str(suite), "--output-path", folder, "--display", "none"]
        run, again = timed(*command), timed(*command)
        report = timed("report", f"{folder}/scale/latest")
    asked = arguments.problems * (4 * arguments.n + 1)
    result = {
        "candidates": asked,
        "requests_made": arguments.problems * (arguments.n + 1),
        "run": run,
        "cpu_ms_per_candidate": round(1000 * run["cpu_s"] / asked, 3),
        "same_command_again": again,
        "report": report,
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
