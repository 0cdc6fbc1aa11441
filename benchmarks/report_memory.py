"""Memory and CPU of a report and of an export, on a synthetic run with long texts.

    python benchmarks/report_memory.py [--problems 500] [--n 64] [--characters 2700] [--cells 6]

Writes a run whose cells share one pool for each problem, its store and its texts, which are random
words; then reports and exports it, each in a process of its own. No model, no grading.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from pathlib import Path

from scale import timed  # type: ignore[import-not-found]  # the script beside this one

from tts_bench import Completion
from tts_bench.store.generations import GenerationStore
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt, Measurement, Pool, Usage

_WORDS = [f"{a}{b}{c}" for a in "abcdefgh" for b in "aeiou" for c in "lmnrst"]


async def write_run(folder: Path, problems: int, n: int, characters: int, cells: int) -> Path:
    """A complete run with its store; returns its folder."""
    rng = random.Random(0)
    run = RunStore(folder / "memory" / "2026-01-01T00-00-00Z_0000")
    run.open()
    names = [f"p{number}" for number in range(problems)]
    ids = [f"self_consistency?n={n}&variant={number}" for number in range(cells)]
    async with GenerationStore(folder / "generations.sqlite") as store:
        for name in names:
            keys = [f"{name}/{i}" for i in range(n)]
            puts = []
            for key in keys:
                text = " ".join(rng.choices(_WORDS, k=characters // 4))
                tokens = tuple(rng.choices(range(150_000), k=characters // 4))
                puts.append(store.put(key, Completion(tokens, text, -9.0, "stop")))
            await asyncio.gather(*puts)
            pool = _pool(keys, rng)
            for cell in ids:
                spent = Usage(n, 700 * n, 100 * n, 100, 1e12 * n, 9e11 * n)
                attempt = Attempt(cell, name, 0, "ok", "1", True, 0, 100, pool, spent)
                run.append(attempt, Measurement(1.0))
    run.close()
    run.write_manifest(_manifest(names, ids, n))
    return run.folder


def _pool(keys: list[str], rng: random.Random) -> Pool:
    classes = tuple(rng.choices(range(5), k=len(keys)))
    return Pool(
        answer=tuple(str(one) for one in classes),
        answer_class=classes,
        correct=tuple(one == 1 for one in classes),
        logprob=(-9.0,) * len(keys),
        tokens=(700,) * len(keys),
        finish_reason=tuple("stop" for _ in keys),
        parent=(None,) * len(keys),
        generation=tuple(keys),
    )


def _manifest(names: list[str], ids: list[str], n: int) -> RunManifest:
    common = {"strategy": "self_consistency", "sampling": {}, "pooled": True}
    rest = {"selector": "majority", "at": sorted({1, min(4, n), n})}
    return RunManifest.model_validate(
        {
            "status": "complete",
            "suite": "memory",
            "partial": False,
            "cells": [
                {"id": one, "params": {"n": n, "variant": one[-1]}, **common, **rest} for one in ids
            ],
            "seeds": [0],
            "problems": [{"id": name, "text": name, "reference": "1"} for name in names],
            "dataset": {"name": "synthetic", "size": len(names)},
            "engine": {"engine": "none", "model": "none"},
            "generations": "../../generations.sqlite",
        }
    )


def main() -> None:
    """Write the run, report it, export it; print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=500)
    parser.add_argument("--n", type=int, default=64)
    parser.add_argument("--characters", type=int, default=2700)
    parser.add_argument("--cells", type=int, default=6)
    options = vars(parser.parse_args())
    with tempfile.TemporaryDirectory() as folder:
        run = asyncio.run(write_run(Path(folder), **options))
        text = options["problems"] * options["n"] * options["characters"]
        result = {
            "megabytes_of_text": text // 10**6,
            "report": timed("report", str(run)),
            "export": timed("export", str(run), "--format", "lm-eval"),
        }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
