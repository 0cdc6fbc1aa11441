"""A policy and a reward model side by side in one run, through the real command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from reward_models import make

from tts_bench.store.runs import RunStore, resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def run(cli, tmp_path: Path) -> Callable[..., RunStore]:
    """A run of best-of-n with this engine and this verifier."""

    def run(engine: dict[str, Any], verifier: dict[str, Any]) -> RunStore:
        blocks = {
            "dataset": {"name": "arithmetic", "problems": 3},
            "engine": engine,
            "verifier": verifier,
            "sampling": {"max_tokens": 64, "temperature": 1.0},
            "strategies": [{"strategy": "best_of_n", "n": [1, 4]}],
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(blocks))
        done = cli("run", path, "--output-path", tmp_path / "results", "--display", "none")
        assert done.returncode == 0, done.stderr
        return resolve_run(tmp_path / "results" / "s")

    return run


def check(run_: RunStore, name: str, with_steps: bool) -> None:
    """Every attempt has chosen by scores, and paid for them."""
    manifest = run_.read_manifest()
    assert manifest.status == "complete"
    assert manifest.verifier.name == name
    measured = run_.measurements()
    attempts = list(run_.attempts())
    assert len(attempts) == 3  # one pool, drawn at the largest n
    for attempt in attempts:
        pool = attempt.pool
        assert all(0 <= score <= 1 for score in pool.score)
        assert any(pool.steps) == with_steps
        assert attempt.verifier.completion_tokens == 0
        assert attempt.verifier.flops_logical >= attempt.verifier.flops_ideal > 0
        assert 0 < measured[attempt.key].verifier_flops <= attempt.verifier.flops_logical
    assert any(len(set(attempt.pool.score)) > 1 for attempt in attempts)


@pytest.mark.parametrize("name", ["prm", "orm"])
def test_best_of_n_on_transformers(name: str, run, tiny_model_dir: Path, tmp_path: Path):
    reward = make("trl" if name == "prm" else "orm", tmp_path / name)
    engine = {"name": "transformers", "model": str(tiny_model_dir), "device": "cpu"}
    verifier = {"name": name, "model": str(reward), "device": "cpu"}
    check(run(engine, verifier), name, with_steps=name == "prm")
    # Settings that change the speed alone continue the run, where nothing is left to do.
    again = run(engine, verifier | {"cache_tokens": 99})
    assert len(list(again.folder.parent.glob("*Z_*"))) == 1


@pytest.mark.vllm
@pytest.mark.slow
def test_best_of_n_with_both_models_on_vllm(run, tiny_model_dir: Path, tmp_path: Path):
    reward = make("trl", tmp_path / "prm")
    engine = {"name": "vllm", "model": str(tiny_model_dir), "kv_cache_gb": 0.125}
    own = {"prompt": "{problem}", "chat": True, "layout": "pieces", "head": "labels"}
    verifier = {"name": "prm", "model": str(reward), "backend": "vllm", "kv_cache_gb": 0.125}
    check(run(engine, verifier | {"format": own}), "prm", with_steps=True)
