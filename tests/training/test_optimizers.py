"""Optimizers against torch's, and learning rates by step."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import transformers

from tts_bench.training.config import PolicyConfig
from tts_bench.training.optimizers import (
    Float32Muon,
    make_optimizer,
    make_scheduler,
    shape_of,
    split_parameters,
)


def config(**keys: object) -> PolicyConfig:
    values = {"output": "o", "model": "m", "learning_rate": 0.1, "data": ("d",), **keys}
    return PolicyConfig(**values)


def gradients(parameters: list[torch.nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for one in parameters:
        one.grad = torch.randn(one.shape, generator=generator)


def test_muon_is_torchs_up_to_the_rounding_of_its_bfloat16():
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape)) for shape in ((8, 24), (8, 24), (24, 8))]
    theirs = copy.deepcopy(ours)
    before = [one.detach().clone() for one in ours]
    settings = {"lr": 0.1, "weight_decay": 0.1}
    mine, reference = Float32Muon(ours, **settings), torch.optim.Muon(theirs, **settings)
    for step in range(3):
        gradients(ours, step)
        gradients(theirs, step)
        mine.step()
        reference.step()
    for a, b, start in zip(ours, theirs, before, strict=True):
        assert (a - b).norm() < 0.02 * (a - start).norm()


def test_muon_has_the_matrices_of_the_backbone_and_adamw_the_rest(tiny_model_dir: Path):
    for loader in ("AutoModelForCausalLM", "AutoModelForTokenClassification"):
        model = getattr(transformers, loader).from_pretrained(tiny_model_dir)
        names = {id(one): name for name, one in model.named_parameters()}
        matrices, others = split_parameters(model)
        assert {names[id(one)].split(".")[-2] for one in matrices} == {
            *("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
        }
        assert len(matrices) + len(others) == len(names)


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_an_optimizer_goes_on_from_its_state(tiny_model_dir: Path, name: str):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    settings = config(optimizer=name, weight_decay=0.01)
    optimizer = make_optimizer(model, settings)
    parameters = list(model.parameters())
    for step in range(2):
        gradients(parameters, step)
        optimizer.step()
    other = copy.deepcopy(model)
    resumed = make_optimizer(other, settings)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, its in ((model, optimizer), (other, resumed)):
        gradients(list(one.parameters()), 7)
        its.step()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_learning_rates_by_step():
    linear = config(schedule="linear", warmup=0.2, final_learning_rate=0.1)
    rates = [shape_of(linear, step, 10) for step in range(11)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert rates[6] == pytest.approx(0.55)
    assert rates[10] == pytest.approx(0.1)
    assert shape_of(config(schedule="cosine"), 5, 10) == pytest.approx(0.5)
    assert shape_of(config(schedule="constant"), 9, 10) == 1.0


def test_stages_have_their_own_rates():
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    scheduler = make_scheduler(optimizer, config(schedule="constant"), [1.0, 1.0, 0.5])
    rates = []
    for _ in range(3):
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.ones(2)
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([0.1, 0.1, 0.05])
