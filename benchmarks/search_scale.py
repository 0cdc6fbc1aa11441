"""The harness alone in searches: an engine and a verifier that cost nothing, all else for real.

    python benchmarks/search_scale.py [--problems 32] [--n 16] [--steps 12] [--tokens 40]

Runs beam search and DVTS, and prints CPU seconds of the process, CPU per step that was drawn and
scored, and a digest of the attempts: equal digests of two versions are equal attempts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tts_bench import (
    Call,
    Candidate,
    Completion,
    Engine,
    EngineInfo,
    Problem,
    Request,
    Score,
    Scoring,
    Tokenizer,
    Verifier,
    VerifierInfo,
)
from tts_bench.cost.flops import ModelShape
from tts_bench.engine.scripted import CharacterTokenizer
from tts_bench.store.runs import resolve_run

SUITE = """
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: "{script}:FreeSteps", tokens: {tokens}, steps: {steps}}}
verifier: {{name: "{script}:FreePRM"}}
sampling: {{max_tokens: 4096, temperature: 0.8}}
strategies:
  - {{strategy: beam_search, n: {n}}}
  - {{strategy: dvts, n: {n}}}
"""
SHAPE = ModelShape(
    layers=28, hidden=1536, heads=12, kv_heads=2, head_dim=128, intermediate=8960, vocab=151936
)


@dataclass(frozen=True)
class FreeSteps(Engine):
    """Answers at once with a step; after some of them, with one of thirty answers."""

    tokens: int = 40
    steps: int = 12

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
        written = request.prompt_ids.count(ord("\n")) // 2
        if written >= self.steps:
            text, stop = f"The answer is \\boxed{{{int(rng.expovariate(0.2))}}}.", None
        else:
            letters = rng.choices("abcdefgh ", k=rng.randrange(self.tokens // 2, self.tokens * 2))
            text, stop = "".join(letters) + "\n\n", "\n\n"
        return Completion(tuple(map(ord, text)), text, -rng.random() * 9, "stop", stop)


@dataclass(frozen=True)
class FreePRM(Verifier):
    """Reads a candidate's whole text, as a PRM does, and says what comes to its mind."""

    async def start(self, policy: Engine) -> VerifierInfo:
        return VerifierInfo("free", EngineInfo("free", "free PRM", "", "", 1 << 20, SHAPE))

    async def close(self) -> None:
        """Nothing to free."""

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        found = []
        for one in candidates:
            rng = random.Random(one.text)
            ids = one.prompt_ids + one.token_ids
            steps = tuple(rng.random() for _ in range(one.text.count("\n\n") + 1))
            found.append(Scoring(Score(min(steps), steps), (Call(ids, 0, logits=0),)))
        return found


def main() -> None:
    """Run the suite; print what it took, and a digest of its attempts."""
    # The script beside this one, which no plug-in sees.
    from scale import timed  # type: ignore[import-not-found]

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=32)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--tokens", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "searches.yaml"
        suite.write_text(SUITE.format(**vars(arguments), script=Path(__file__).resolve()))
        used = timed("run", str(suite), "--output-path", folder, "--display", "none")
        run = resolve_run(Path(folder, "searches"))
        drawn = sum(attempt.policy.requests for attempt in run.attempts())
        lines = sorted(run.attempts_path.read_bytes().splitlines())
    result = {
        "steps_drawn": drawn,
        "run": used,
        "cpu_ms_per_step": round(1000 * used["cpu_s"] / drawn, 3),
        "attempts": hashlib.blake2b(b"\n".join(lines), digest_size=8).hexdigest(),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
