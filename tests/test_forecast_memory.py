"""What `--dry-run` says of the memory that policy and verifier need together."""

from __future__ import annotations

from pathlib import Path

import pytest
from reward_models import make

from tts_bench import forecast
from tts_bench.engine.memory import gpu_memory
from tts_bench.engine.weights import weight_bytes
from tts_bench.registry import Registry
from tts_bench.runner import RunOptions, make_plan
from tts_bench.suite import load_suite

SUITE = """
dataset: {name: arithmetic, problems: 1}
engine: {name: %s, model: %s}
verifier: {name: prm, model: %s, backend: %s}
sampling: {max_tokens: 8}
strategies: [greedy]
"""


def memory_lines(tmp_path: Path, policy: Path, prm: Path, library: str) -> list[str]:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE % (library, policy, prm, library))
    plan = make_plan(load_suite(path, Registry()), RunOptions(tmp_path / "results"))
    return [line for line in forecast.forecast(plan).splitlines() if line.startswith("memory")]


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make("trl", tmp_path_factory.mktemp("forecast") / "prm")


def test_weights_are_those_of_one_stored_format(tiny_model_dir: Path, tmp_path: Path):
    stored = (tiny_model_dir / "model.safetensors").stat().st_size
    assert weight_bytes(str(tiny_model_dir)) == stored
    (tmp_path / "model.safetensors").write_bytes(b"12345")
    (tmp_path / "pytorch_model.bin").write_bytes(b"123456")
    assert weight_bytes(str(tmp_path)) == 5
    assert weight_bytes("nobody/has-such-a-model") is None


def test_both_models_and_the_memory_are_named(
    tiny_model_dir: Path, prm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forecast, "gpu_memory", lambda: None)
    monkeypatch.setattr(forecast, "available_memory", lambda: 3 << 30)
    (line,) = memory_lines(tmp_path, tiny_model_dir, prm, "transformers")
    assert (
        line
        == "memory    policy 0.00 GiB + verifier prm 0.00 GiB of weights; 3.00 GiB of memory free"
    )


def test_what_does_not_fit_is_said(
    tiny_model_dir: Path, prm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forecast, "gpu_memory", lambda: 80 << 30)
    monkeypatch.setattr(forecast, "weight_bytes", lambda *_: 41 << 30)
    lines = memory_lines(tmp_path, tiny_model_dir, prm, "vllm")
    assert lines[0].endswith("verifier prm 41.00 GiB of weights; 80.00 GiB of GPU memory")
    assert "do not fit" in lines[1]
    assert "adds up to 1.30" in lines[2]  # 0.9 and 0.4, the defaults


def test_without_a_gpu_nobody_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert gpu_memory() is None
