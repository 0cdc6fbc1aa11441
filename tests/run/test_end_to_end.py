"""Real models through the real command."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tts_bench.store.runs import RunStore, resolve_run

FLAT = [
    "greedy",
    {"strategy": "best_of_n", "n": [1, 2, 4]},
    {"strategy": "self_consistency", "n": [1, 2, 4]},
    {"strategy": "weighted_vote", "n": [1, 2, 4]},
    {"strategy": "logprob_ranking", "n": [1, 2, 4], "normalize": ["mean", "sum"]},
]


def suite(folder: Path, **blocks) -> Path:
    path = folder / "s.yaml"
    path.write_text(yaml.safe_dump(blocks))
    return path


@pytest.fixture
def run(cli) -> Callable[..., RunStore]:
    """Runs a suite in this process; returns its latest run."""

    def run(path: Path, output: Path, *options: str, name: str = "s") -> RunStore:
        words = ["run", path, "--output-path", output, "--display", "none"]
        done = cli(*words, *options)
        assert done.returncode == 0, done.stderr
        return resolve_run(output / name)

    return run


def check_whole(run: RunStore, attempts: int, engine: str) -> None:
    """What every run of the five strategies on a real model must show."""
    manifest = run.read_manifest()
    assert manifest.status == "complete"
    assert manifest.engine.engine.startswith(engine)
    found, measured = list(run.attempts()), run.measurements()
    assert len(found) == attempts
    for attempt in found:
        assert attempt.policy.completion_tokens > 0
        assert attempt.policy.flops_logical >= attempt.policy.flops_ideal > 0
        assert all(logprob < 0 for logprob in attempt.pool.logprob)
        assert measured[attempt.key].policy_flops <= attempt.policy.flops_logical
    pools = [attempt for attempt in found if attempt.cell.startswith("best_of_n")]
    # Four draws of one prompt: the engine itself reports that it did not read it four times.
    assert any(measured[attempt.key].policy_cached_tokens > 0 for attempt in pools)
    assert any(len(set(attempt.pool.generation)) > 1 for attempt in pools)
    texts = pd.read_parquet(run.folder / "candidates.parquet")
    assert texts.text.str.len().gt(0).all()
    points = json.loads((run.folder / "summary.json").read_text())["points"]
    assert len(points) == 1 + 5 * 3


@pytest.mark.slow
def test_five_strategies_with_transformers_and_a_real_model(run, tmp_path: Path, smollm2: Path):
    path = suite(
        tmp_path,
        dataset={"name": "arithmetic", "problems": 3, "levels": [1]},
        engine={"name": "transformers", "model": str(smollm2)},
        sampling={"max_tokens": 16, "temperature": 0.8},
        strategies=FLAT,
    )
    made = run(path, tmp_path / "results")
    check_whole(made, 3 * 6, "transformers")
    for name in ("accuracy_vs_flops.png", "accuracy_vs_tokens.png", "coverage.png"):
        assert (made.folder / name).stat().st_size > 10_000


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_five_strategies_on_math500_with_vllm_and_their_replay(
    run, tmp_path: Path, shared_data: Path, smollm2: Path
):
    """One real run on real problems, then the same again without the model."""
    path = suite(
        tmp_path,
        dataset={"name": "math500", "path": str(shared_data / "math500.jsonl")},
        engine={"name": "vllm", "model": str(smollm2), "max_model_len": 1024, "kv_cache_gb": 0.5},
        sampling={"max_tokens": 24, "temperature": 0.8},
        strategies=FLAT,
    )
    first = run(path, tmp_path / "results", "--limit", "3")
    check_whole(first, 3 * 6, "vllm")
    options = ["--limit", "3", "--replay", "--set", "name=replayed"]
    replayed = run(path, tmp_path / "results", *options, name="replayed")
    assert sorted_lines(replayed) == sorted_lines(first)
    assert replayed.read_manifest().throughput.generated_tokens == 0


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("name", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_a_resumed_run_has_the_attempts_of_an_uninterrupted_one(
    name: str, run, tmp_path: Path, tiny_model_dir: Path
):
    """Kill -9 in the middle, then the same command again, in another process."""
    engine = {"name": name, "model": str(tiny_model_dir)}
    path = suite(
        tmp_path,
        dataset={"name": "arithmetic", "problems": 8},
        engine=engine | ({"kv_cache_gb": 0.125} if name == "vllm" else {"device": "cpu"}),
        sampling={"max_tokens": 60, "temperature": 1.0},
        strategies=["greedy", {"strategy": "best_of_n", "n": [1, 6]}, "self_consistency"],
    )
    finished = kill_in_the_middle(path, tmp_path / "torn")
    whole = run(path, tmp_path / "whole", "--concurrency", "64")
    resumed = run(path, tmp_path / "torn", "--concurrency", "64")
    assert len(list((tmp_path / "torn" / "s").glob("*Z_*"))) == 1
    assert 0 < finished < 8 * 3
    if name == "vllm":
        assert sorted_lines(resumed) == sorted_lines(whole)
    else:  # the last digits of its log-probabilities depend on what shares a batch
        found, expected = without_logprobs(resumed), without_logprobs(whole)
        assert found[0] == expected[0]
        assert found[1] == pytest.approx(expected[1], rel=1e-4, abs=1e-4)
    made = resumed.read_manifest().throughput.generated_tokens
    assert made < whole.read_manifest().throughput.generated_tokens


def sorted_lines(run: RunStore) -> list[bytes]:
    return sorted(run.attempts_path.read_bytes().splitlines())


def without_logprobs(run: RunStore) -> tuple[list[dict], list[float]]:
    """The attempts, sorted, without their log-probabilities and the scores made of them; these."""
    rows = sorted(map(json.loads, sorted_lines(run)), key=lambda row: (row["cell"], row["problem"]))
    numbers = [x for row in rows for part in ("logprob", "score") for x in row["pool"].pop(part)]
    return rows, numbers


def kill_in_the_middle(path: Path, output: Path) -> int:
    """Start a run one attempt at a time, kill -9 it after some; returns how many it finished."""
    words = ["run", str(path), "--output-path", str(output), "--concurrency", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "tts_bench", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while process.poll() is None:
            files = list(output.glob("s/*Z_*/attempts.jsonl"))
            if files and files[0].read_bytes().count(b"\n") >= 5:
                break
            time.sleep(0.05)
        assert process.poll() is None, "the run ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    return sum(1 for _ in resolve_run(output / "s").attempts())
