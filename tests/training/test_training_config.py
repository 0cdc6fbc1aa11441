"""Training files: every fault at once, each with its line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tts_bench.dataset.arithmetic import Arithmetic
from tts_bench.errors import MissingExtra, SuiteError, UsageError
from tts_bench.training.config import (
    Architecture,
    GrpoConfig,
    PolicyConfig,
    PrmConfig,
)
from tts_bench.training.config_file import load_config
from tts_bench.training.extra import need


def faults(cls: type, path: Path, *sets: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_config(cls, path, sets)
    return [problem.replace(str(path), "f") for problem in caught.value.problems]


def test_all_faults_at_once_with_their_lines(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "output: out\n"
        "model: {architecture: gpt2, tokenizer: t, hidden_size: 0, layers: 1, heads: 1}\n"
        "lerning_rate: 1e-3\n"
        "learning_rate: 0\n"
        "warmup: -1\n"
        "optimizer: moun\n"
        "optimizer: muon\n"
        "batch_size: 4\n"
        "batch_tokens: 100\n"
        "data: a.jsonl\n"
        "stages:\n"
        "  - data: b.jsonl\n"
        "    epoch: 2\n"
    )
    found = "\n".join(faults(PolicyConfig, path))
    for expected in (
        "f:2: model.architecture: must be 'llama', 'qwen2' or 'qwen3'",
        "f:2: model.hidden_size: must be at least 1, not 0",
        "f:3: lerning_rate: unknown key 'lerning_rate'. Did you mean 'learning_rate'?",
        "f:4: learning_rate: must be above 0, not 0",
        "f:5: warmup: must be at least 0, not -1",
        "f:6: optimizer: must be 'adamw' or 'muon'",
        "f:7: optimizer: duplicate key 'optimizer', first on line 6",
        "f:8: batch_size: batch_size and batch_tokens exclude each other",
        "f:10: data: data and stages exclude each other",
        "f:13: stages[0].epoch: unknown key 'epoch'. Did you mean 'epochs'?",
    ):
        assert expected in found


def test_limits_of_every_kind_are_said(write_config: Callable[..., Path]):
    path = write_config(
        model={"architecture": "llama", "tokenizer": "t", "hidden_size": 8, "layer": 1, "heads": 2},
        dataset="arithmetic",
        max_completion_length=0,
        group_size=1,
        top_p=1.5,
        temperature=0,
        steps_per_generation=2.5,
        max_steps=None,
    )
    found = "\n".join(faults(GrpoConfig, path))
    for expected in (
        "model: missing key 'layers'",
        "model.layer: unknown key 'layer'. Did you mean 'layers'?",
        "max_completion_length: must be at least 1, not 0",
        "group_size: must be at least 2, not 1",
        "top_p: must be at most 1, not 1.5",
        "temperature: must be above 0, not 0",
        "steps_per_generation: must be an integer, not 2.5",
    ):
        assert expected in found
    assert "max_steps" not in found


def test_missing_keys_and_options(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text("output: out\n")
    found = faults(PolicyConfig, path, "seed=-1", "x")
    assert sorted(found) == [
        "--set seed=-1: seed: must be at least 0, not -1",
        "--set x: must be a.b=VALUE",
        "f:1: missing key 'data'",
        "f:1: missing key 'learning_rate'",
        "f:1: missing key 'model'",
    ]


def test_blocks_and_short_forms(write_config: Callable[..., Path]):
    block = {"architecture": "llama", "tokenizer": "t", "hidden_size": 8, "layers": 1, "heads": 2}
    path = write_config(model=block, data="a.jsonl", prompt={"chat": False})
    config = load_config(PolicyConfig, path, ["report_to=tensorboard", "max_steps=3"])
    assert isinstance(config.model, Architecture)
    assert config.model.heads == 2
    assert config.data == ("a.jsonl",)
    assert config.report_to == ("tensorboard",)
    assert config.max_steps == 3
    assert config.prompt is not None
    assert not config.prompt.chat


def test_a_dataset_is_a_plug_in_as_in_a_suite(write_config: Callable[..., Path]):
    path = write_config(
        model="m", dataset={"name": "arithmetic", "levels": [1]}, max_completion_length=8
    )
    assert load_config(GrpoConfig, path).dataset == Arithmetic(levels=(1,))
    assert "f:2: dataset.levles: unknown key 'levles'. Did you mean 'levels'?" in faults(
        GrpoConfig,
        write_config(
            model="m", dataset={"name": "arithmetic", "levles": [1]}, max_completion_length=8
        ),
    )
    with pytest.raises(SuiteError, match="Did you mean 'arithmetic'"):
        load_config(
            GrpoConfig, write_config(model="m", dataset="arithmetik", max_completion_length=8)
        )


def test_formats_are_those_of_the_verifiers(write_config: Callable[..., Path]):
    path = write_config(model="m", data="a.jsonl", format="trrl")
    with pytest.raises(SuiteError, match="Did you mean 'trl'"):
        load_config(PrmConfig, path)


def test_a_missing_file_and_a_missing_extra(tmp_path: Path):
    with pytest.raises(UsageError, match="no such training file"):
        load_config(PolicyConfig, tmp_path / "none.yaml")
    need("torch")
    with pytest.raises(MissingExtra, match=r"pip install 'tts-bench\[train\]'"):
        need("torch", "surely_not_installed")
