"""How much of a beam search's text a verifier computes, and how much of it again.

    python benchmarks/verifier_prefix.py [--n 16] [--beam-width 4] [--steps 8] [--tokens 30 60 ...]

A beam search over made-up steps, of about so many tokens each, is scored by one tiny model in
several ways. For each, the verifier's prompt tokens are printed as the ledger counts them:
*logical* (every request's whole prompt), *ideal* (each distinct token once), *measured* (logical,
less what the engine reports as cached), and measured / ideal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import runpy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tts_bench.cost.ledger import Meter
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.types import Candidate, Problem
from tts_bench.verifier.base import Verifier
from tts_bench.verifier.formats import Format
from tts_bench.verifier.prm import ProcessRewardModel
from tts_bench.verifier.prm_causal import CausalPRMVerifier

PROBLEM = Problem("p", "What is the sum of 17 and 25? " * 4)
FORM = Format("pieces", "tokens", prompt="{problem}\n")
LETTERS = "bcdfghjklmnpqrstvwxz"
"""No two of them make one token of the tiny model: a step of k letters has k tokens."""


def make_model(folder: Path, positions: int) -> None:
    """The tiny model of `tiny_model.py`, for texts of up to so many tokens."""
    runpy.run_path(str(Path(__file__).with_name("tiny_model.py")))["make"](folder)
    config = json.loads((folder / "config.json").read_text())
    config["max_position_embeddings"] = positions
    (folder / "config.json").write_text(json.dumps(config))


def ways(model: str) -> dict[str, Callable[[], Verifier]]:
    """The verifiers to compare, by name."""

    def prm(cache_tokens: int | None) -> Verifier:
        return ProcessRewardModel(model=model, format=FORM, cache_tokens=cache_tokens)

    return {
        "prm, transformers, no cache": lambda: prm(0),
        "prm, transformers": lambda: prm(None),
        "prm, vllm": lambda: ProcessRewardModel(
            model=model, format=FORM, backend="vllm", kv_cache_gb=0.5
        ),
        "prm_causal, vllm": lambda: CausalPRMVerifier(
            engine=VLLMEngine(model=model, kv_cache_gb=0.5), format=FORM
        ),
        "prm_causal, transformers": lambda: CausalPRMVerifier(
            engine=TransformersEngine(model=model, device="cpu", threads=1), format=FORM
        ),
    }


async def search(verifier: Verifier, arguments: argparse.Namespace, tokens: int) -> Meter:
    """Score a beam search; returns the account of one attempt."""
    meter = Meter(None)
    await verifier.start(ScriptedEngine(lambda prompt, request: ""))
    try:
        rng = random.Random(0)
        parents = [""] * arguments.n
        for _ in range(arguments.steps):
            # Of half to one and a half times the length: steps that fill whole blocks are luck.
            lengths = [rng.randint(tokens // 2, 3 * tokens // 2) for _ in parents]
            beams = [
                _candidate(parent + "".join(rng.choices(LETTERS, k=length)) + "\n\n")
                for parent, length in zip(parents, lengths, strict=True)
            ]
            scorings = await verifier.score(PROBLEM, beams)
            meter.charge([call for scoring in scorings for call in scoring.calls])
            order = sorted(range(len(beams)), key=lambda i: scorings[i].score.value, reverse=True)
            kept = order[: arguments.n // arguments.beam_width]
            parents = [beams[i].text for i in kept for _ in range(arguments.beam_width)]
    finally:
        await verifier.close()
    return meter


def _candidate(text: str) -> Candidate:
    ids = tuple(map(ord, text))
    return Candidate(0, (1,), ids, text, None, None, 0.0, len(ids), "stop", "\n\n")


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--beam-width", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[30, 60, 120, 240], help="of a step, on average"
    )
    parser.add_argument("--only", default="", help="only ways whose name holds this")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp())
    try:
        make_model(folder, positions=2 * max(arguments.tokens) * arguments.steps + 512)
        columns = f"{'logical':>9}{'ideal':>8}{'measured':>10}  ratio"
        print(f"{'tokens/step':>11}  {'verifier':<32}{columns}")
        for tokens in arguments.tokens:
            for name, make in ways(str(folder)).items():
                if arguments.only not in name:
                    continue
                meter = asyncio.run(search(make(), arguments, tokens))
                usage = meter.usage
                logical, ideal = usage.prompt_tokens_logical or 0, usage.prompt_tokens_ideal or 0
                measured = logical - meter.cached_tokens
                print(
                    f"{tokens:>11}  {name:<32}{logical:>9,}"
                    f"{ideal:>8,}{measured:>10,}{measured / ideal:>7.2f}",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
