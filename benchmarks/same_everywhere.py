"""Not a timing: one suite of all strategies through several engines, attempt beside attempt.

    python benchmarks/same_everywhere.py [--engines vllm,server] [--problems 20]

Engines: `vllm` in the process, `server` (two `vllm serve`, started here), `ray` (two vLLM engines
in actors of a Ray that it starts), each on the tiny policy in float32 with one thread; the PRM is
in the process on all sides. Every other engine's attempts are compared with the first one's, byte
for byte, but for the keys under which the store has their completions: those name the engine.
Prints as JSON what differs, and by how much; exits 1 if anything does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from server_process import serving  # noqa: E402
from vllm_servers import TINY, VLLMServer  # noqa: E402

from tts_bench.store.runs import resolve_run  # noqa: E402

POLICY = str(ROOT / "tests" / "support" / "policy.yaml")
FLAT = ("best_of_n", "self_consistency", "weighted_vote", "logprob_ranking")
SEARCHES = ("beam_search", "dvts", "rebase", "particle_filter", "mcts", "logprob_beam_search")
VERIFIER = {
    "name": "prm",
    "model": "tts_bench/tiny/prm",
    "aggregate": "min",
    # One text a pass and nothing kept: else rounding depends on what happens to be in a batch.
    "batch_tokens": 1,
    "cache_tokens": 0,
}
STRATEGIES: list[dict[str, Any]] = [
    {"strategy": "greedy"},
    *({"strategy": name, "n": [1, 4]} for name in FLAT),
    *({"strategy": name, "n": 4} for name in SEARCHES),
    {"strategy": "adaptive_best_of_n", "n_medium": 4, "n_hard": 8},
    {"strategy": "adaptive_consistency", "max_n": 8},
    {"strategy": "early_stopping_consistency", "max_n": 10},
    {"strategy": "compute_optimal", "n": 4},
    {"strategy": "budget_forcing", "waits": 1},
    {"strategy": "token_budget"},
    {"strategy": "self_refine", "rounds": 1, "feedback_tokens": 64},
    {"strategy": "policy", "file": POLICY, "budget": 1e18},
]


def suite(engine: dict[str, Any], problems: int) -> dict[str, Any]:
    """All strategies on that engine."""
    return {
        "name": "same",
        "dataset": {"name": "arithmetic", "problems": problems},
        "engine": engine,
        "verifier": VERIFIER,
        "sampling": {"max_tokens": 160, "temperature": 1.0},
        "strategies": STRATEGIES,
    }


def run(engine: dict[str, Any], problems: int, folder: Path) -> dict[str, dict[str, Any]]:
    """The attempts of a run in a process of its own, by cell, problem and seed."""
    folder.mkdir()
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump(suite(engine, problems)))
    words = [sys.executable, "-m", "tts_bench", "run", str(path), "-o", str(folder)]
    done = subprocess.run(
        [*words, "--display", "none"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"the run of {engine['name']} ended with {done.returncode}: {done.stderr}")
    rows = {}
    for line in resolve_run(folder / "same").attempts_path.read_text().splitlines():
        row = json.loads(line)
        (row.get("pool") or {}).pop("generation", None)
        rows[f"{row['cell']} {row['problem']} {row['seed']}"] = row
    return rows


def differences(
    first: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Which attempts are not the same, in what, and by how much."""
    apart = {
        key: {
            name: distance(first[key].get(name), other[key].get(name))
            for name in first[key].keys() | other[key].keys()
            if first[key].get(name) != other[key].get(name)
        }
        for key in first.keys() & other.keys()
        if first[key] != other[key]
    }
    return {
        "attempts": len(other),
        "missing": sorted(first.keys() ^ other.keys()),
        "different": len(apart),
        "fields": Counter(name for fields in apart.values() for name in fields),
        "most": max((value for fields in apart.values() for value in fields.values()), default=0.0),
        "which": {key: apart[key] for key in sorted(apart)[:20]},
    }


def distance(one: Any, other: Any) -> float:
    """The largest difference of two numbers at the same place; infinite if aught else differs."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return max((distance(one[key], other[key]) for key in one), default=0.0)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return max(map(distance, one, other), default=0.0)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other)
    return 0.0 if one == other else math.inf


def compare(names: Sequence[str], problems: int) -> dict[str, Any]:
    """All engines' attempts with the first one's."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            began = time.perf_counter()
            with contextlib.ExitStack() as stack:
                engine: dict[str, Any] = {"name": name, "model": TINY}
                if name == "server":
                    engine["base_url"] = stack.enter_context(serving(VLLMServer(), VLLMServer()))
                if name in ("vllm", "ray"):
                    engine["kv_cache_gb"] = 0.125
                if name == "ray":
                    engine["replicas"] = 2
                found[name] = run(engine, problems, Path(folder) / name)
            seconds[name] = round(time.perf_counter() - began)
    first, *others = names
    return {
        "strategies": len(STRATEGIES),
        "problems": problems,
        "seconds": seconds,
        "attempts": len(found[first]),
        **{f"{name} beside {first}": differences(found[first], found[name]) for name in others},
    }


def main() -> None:
    """Parse, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--engines", default="vllm,server", help="the first is the standard")
    parser.add_argument("--problems", type=int, default=20)
    arguments = parser.parse_args()
    names = arguments.engines.split(",")
    result = compare(names, arguments.problems)
    print(json.dumps(result, indent=2))
    sides = [value for value in result.values() if isinstance(value, dict) and "different" in value]
    sys.exit(1 if any(side["different"] or side["missing"] for side in sides) else 0)


if __name__ == "__main__":
    main()
