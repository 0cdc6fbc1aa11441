"""Models with layers added on top, and with layers that keep their weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tts_bench.errors import ModelError, SuiteError
from tts_bench.training.config import OrmConfig, PolicyConfig
from tts_bench.training.config_file import load_config
from tts_bench.training.models import load_model, load_tokenizer
from tts_bench.training.optimizers import make_optimizer
from tts_bench.training.orm import train_orm

library: Any = transformers
IDS = torch.tensor([[5, 9, 77, 300, 12]])


@pytest.fixture
def load(tiny_model_dir: Path, write_config: Callable[..., Path]) -> Callable[..., Any]:
    def make(auto_class: str = "AutoModelForCausalLM", **keys: Any) -> Any:
        path = write_config(model=str(tiny_model_dir), data="x.jsonl", **keys)
        config = load_config(PolicyConfig, path)
        return load_model(config, load_tokenizer(config), auto_class), config

    return make


def test_a_deeper_model_computes_the_same_and_can_learn(load: Callable[..., Any]):
    shallow, _ = load()
    deep, _ = load(added_layers=2)
    assert deep.config.num_hidden_layers == shallow.config.num_hidden_layers + 2
    torch.testing.assert_close(deep(IDS).logits, shallow(IDS).logits)
    deep(IDS, labels=IDS).loss.backward()
    assert deep.model.layers[-1].mlp.down_proj.weight.grad.abs().max() > 0


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_frozen_layers_and_embeddings_stay(load: Callable[..., Any], optimizer: str):
    model, config = load(added_layers=1, frozen_layers=2, optimizer=optimizer)
    before = {name: one.clone() for name, one in model.named_parameters()}
    steps = make_optimizer(model, config)
    for _ in range(2):  # what a silent layer's inner weights do shows from the second step on
        model(IDS, labels=IDS).loss.backward()
        steps.step()
    moved = {name for name, one in model.named_parameters() if not torch.equal(one, before[name])}
    assert moved
    assert all(name.startswith(("model.layers.2.", "model.norm.", "lm_head.")) for name in moved)


def test_a_trained_reward_model_keeps_its_frozen_part(
    tiny_model_dir: Path,
    write_config: Callable[..., Path],
    write_rows: Callable[..., str],
    sums: list[dict[str, Any]],
    tmp_path: Path,
):
    keys = {"model": str(tiny_model_dir), "data": write_rows(sums), "max_steps": 3}
    train_orm(load_config(OrmConfig, write_config(**keys, added_layers=1, frozen_layers=2)))
    old = library.AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    new = library.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert new.config.num_hidden_layers == 3
    for layer in range(2):
        for ours, theirs in zip(
            new.model.layers[layer].parameters(), old.model.layers[layer].parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_no_more_layers_are_frozen_than_there_are(load: Callable[..., Any]):
    with pytest.raises(ModelError, match="frozen_layers 3: the model that is loaded has 2 layers"):
        load(frozen_layers=3, added_layers=2)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("added_layers", "a model from scratch has its own key 'layers'"),
        ("frozen_layers", "a model from scratch would keep random weights"),
    ],
)
def test_a_model_from_scratch_has_nothing_to_add_to_or_keep(
    write_config: Callable[..., Path], key: str, message: str
):
    shape = {"architecture": "llama", "tokenizer": "t", "hidden_size": 8, "layers": 1, "heads": 1}
    path = write_config(model=shape, data="x.jsonl", **{key: 1})
    with pytest.raises(SuiteError, match=message):
        load_config(PolicyConfig, path)


def test_shipped_models_are_known_from_any_folder(
    write_config: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    config = load_config(PolicyConfig, write_config(model="tts_bench/tiny/policy", data="x.jsonl"))
    tokenizer = load_tokenizer(config)
    assert len(tokenizer) == load_model(config, tokenizer, "AutoModelForCausalLM").vocab_size
