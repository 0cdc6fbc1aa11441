"""What `--dry-run` says of the memory that policy and verifier need together."""

from __future__ import annotations

from pathlib import Path

import pytest
from reward_models import make

from tts_bench.engine.memory import gpu_memory
from tts_bench.engine.weights import weight_bytes
from tts_bench.errors import ModelError
from tts_bench.run import forecast
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import Registry

SUITE = """
dataset: {name: arithmetic, problems: 1}
engine: {name: %s, model: %s}
verifier: {name: prm, model: %s, backend: %s}
sampling: {max_tokens: 8}
strategies: [greedy]
"""


def memory_lines(tmp_path: Path, policy: Path | str, prm: Path | str, library: str) -> list[str]:
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


@pytest.mark.parametrize("library", ["transformers", "vllm"])
@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("./polcy", r"no model folder at \./polcy"),
        ("{near}x", r"no model folder at .*tiny-model0x\. Did you mean 'tiny-model0'\?"),
        ("tts_bench/tiny/polcy", r"no model folder at .*polcy\. Did you mean 'policy'\?"),
        ("{here}", "is not a model folder: it has no config.json"),
    ],
)
def test_a_model_folder_that_is_not_there_is_an_error(
    tiny_model_dir: Path, tmp_path: Path, library: str, missing: str, message: str
):
    missing = missing.format(near=tiny_model_dir, here=tmp_path)
    for policy, prm in ((missing, tiny_model_dir), (tiny_model_dir, missing)):
        with pytest.raises(ModelError, match=message):
            memory_lines(tmp_path, policy, prm, library)


def test_a_model_of_the_hub_may_still_be_fetched(tiny_model_dir: Path, tmp_path: Path):
    (line, *_) = memory_lines(tmp_path, "nobody/has-such-a-model", tiny_model_dir, "transformers")
    assert line.startswith("memory    policy not here yet + verifier prm 0.00 GiB of weights")


def test_without_a_gpu_nobody_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert gpu_memory() is None
