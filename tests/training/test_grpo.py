"""GRPO: the objective by hand for our settings, and a policy that learns a trivial target."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tts_bench.dataset.base import Item
from tts_bench.errors import ModelError, UsageError
from tts_bench.training.config import GrpoConfig
from tts_bench.training.config_file import load_config
from tts_bench.training.folder import OutputFolder
from tts_bench.training.grpo import (
    CorrectAnswer,
    make_trainer,
    problem_order,
    steps_of,
    train_grpo,
)
from tts_bench.training.models import load_model, load_tokenizer
from tts_bench.types import Problem


@pytest.fixture
def configure(tiny_model_dir: Path, write_config: Callable[..., Path]) -> Callable[..., GrpoConfig]:
    def make(**keys: Any) -> GrpoConfig:
        defaults = {
            "model": str(tiny_model_dir),
            "dataset": {"name": "arithmetic", "problems": 8, "levels": [1]},
            "max_completion_length": 4,
            "group_size": 2,
            "problems_per_step": 1,
            "log_every": 1,
        }
        return load_config(GrpoConfig, write_config(**{**defaults, **keys}))

    return make


def trainer_for(config: GrpoConfig, tmp_path: Path, reward: Any, steps: int = 1) -> Any:
    tokenizer = load_tokenizer(config)
    items = [Item(Problem(str(i), f"{i} plus {i}"), str(2 * i)) for i in range(4)]
    return make_trainer(
        config,
        OutputFolder(tmp_path / "out"),
        model=load_model(config, tokenizer, "AutoModelForCausalLM"),
        tokenizer=tokenizer,
        reward=reward,
        items=items,
        steps=steps,
    )


def constant(completion_ids: Any, **_: Any) -> list[float]:
    return [0.0] * len(completion_ids)


def test_the_loss_is_the_published_one_token_by_token(
    configure: Callable[..., GrpoConfig], tmp_path: Path
):
    """Ratio to stored log-probabilities, clipped; k3; the mean over all tokens of the step."""
    config = configure(beta=0.3, epsilon=0.2, epsilon_high=0.28, iterations=2)
    trainer = trainer_for(config, tmp_path, constant)
    trainer.current_gradient_accumulation_steps = 1
    prompt, done = torch.tensor([[5, 6], [7, 8]]), torch.tensor([[9, 10, 11], [12, 13, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    model = trainer.model.eval()
    with torch.no_grad():
        logits = model(torch.cat([prompt, done], dim=1)).logits[:, 1:-1]
    now = torch.log_softmax(logits, -1).gather(-1, done[..., None]).squeeze(-1)
    # Chosen so that one ratio is clipped above, one below, and others not at all.
    shift = torch.tensor([[0.5, -0.5, 0.1], [-0.5, 0.5, 9.0]])
    away = torch.tensor([[0.0, 0.4, -0.3], [0.2, 0.0, 9.0]])
    advantages = torch.tensor([1.5, -0.5])
    loss = trainer._compute_loss(
        model,
        {
            "prompt_ids": prompt,
            "prompt_mask": torch.ones_like(prompt),
            "completion_ids": done,
            "completion_mask": mask,
            "advantages": advantages,
            "old_per_token_logps": now - shift,
            "ref_per_token_logps": now + away,
            "num_items_in_batch": mask.sum(),
        },
    )
    total = 0.0
    for i, advantage in enumerate(advantages.tolist()):
        for t in range(int(mask[i].sum())):
            ratio = math.exp(shift[i, t])
            clipped = min(max(ratio, 1 - 0.2), 1 + 0.28)
            k3 = math.exp(away[i, t]) - away[i, t].item() - 1
            total += -min(ratio * advantage, clipped * advantage) + 0.3 * k3
    assert loss.item() == pytest.approx(total / 5, abs=1e-4)


def test_equal_rewards_teach_nothing_and_old_log_probabilities_are_kept(
    configure: Callable[..., GrpoConfig], tmp_path: Path
):
    trainer = trainer_for(configure(iterations=2), tmp_path, constant)
    batch = [{"prompt": [{"role": "user", "content": "a"}], "reference": "1"}] * 2
    trainer.model.train()
    made = trainer._generate_and_score_completions(batch)
    assert made["advantages"].tolist() == [0.0, 0.0]
    # Two passes over one round: the second one's policy is not the one that drew it.
    assert made["old_per_token_logps"].shape == made["completion_ids"].shape


def test_rewards_are_the_graders(configure: Callable[..., GrpoConfig]):
    config = configure()
    tokenizer = load_tokenizer(config)
    model = load_model(config, tokenizer, "AutoModelForCausalLM")
    end = tokenizer.eos_token_id

    def ids(text: str, *more: int) -> list[int]:
        return [*tokenizer.encode(text), *more]

    texts = [
        ids(r"so \boxed{0.5}", end),
        ids(r"so \boxed{0.5}"),
        ids("The answer is 1/2.", end),
        ids("The answer is 1/2"),  # cut off: it might have gone on
        ids(r"\boxed{2}", end),
        [],
    ]
    with CorrectAnswer(tokenizer, model, config.prompt) as reward:
        assert reward(texts, ["1/2"] * len(texts), unused=1) == [1, 1, 1, 0, 0, 0]


class Likes:
    """A trivial target: the share of tokens that are `wanted`."""

    __name__ = "likes"

    def __init__(self, *_: Any) -> None:
        self.wanted = set(range(5, 60))

    def __enter__(self) -> Likes:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, completion_ids: Any, **_: Any) -> list[float]:
        return [sum(one in self.wanted for one in ids) / len(ids) for ids in completion_ids]


def rewards(folder: Path) -> list[float]:
    with (folder / "log.csv").open() as file:
        # Once for each round of generation, of which two steps are made here.
        return [float(row["reward"]) for row in csv.DictReader(file) if row["reward"]]


def test_a_few_steps_raise_the_reward_and_can_be_resumed(
    configure: Callable[..., GrpoConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tts_bench.training.grpo.CorrectAnswer", Likes)
    settings = {
        "group_size": 8,
        "problems_per_step": 2,
        "iterations": 2,
        "learning_rate": 0.003,
        "beta": 0.001,
        "max_steps": 16,
        "save_every": 8,
        "keep_checkpoints": 2,
    }
    config = configure(**settings)
    assert train_grpo(config).finished
    found = rewards(tmp_path / "out")
    assert sum(found[-2:]) > 1.3 * sum(found[:2])
    before = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    # As if it had been killed behind its eighth step.
    (tmp_path / "out/checkpoints/checkpoint-16/trainer_state.json").unlink()
    (tmp_path / "out/model.safetensors").unlink()
    assert train_grpo(config, resume=True).finished
    after = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_each_epoch_has_each_problem_once_in_its_own_order(configure: Callable[..., GrpoConfig]):
    config = configure(problems_per_step=3, iterations=2)
    order = problem_order(config, 8, 8)
    assert len(order) == 12
    assert len(set(order[:6])) == len(set(order[6:])) == 6
    assert order[:6] != order[6:]
    assert problem_order(config, 8, 4) == order[:6]
    assert problem_order(configure(problems_per_step=3, seed=1, iterations=2), 8, 8) != order


def test_what_cannot_be_is_one_clear_line(configure: Callable[..., GrpoConfig]):
    with pytest.raises(UsageError, match="save_every: 3 is no multiple of 2"):
        train_grpo(configure(save_every=3, iterations=2))
    with pytest.raises(
        UsageError, match=r"2 completions of a step .* do not divide into 4 batches"
    ):
        train_grpo(configure(accumulate=4))
    with pytest.raises(UsageError, match="8 problems do not fill one round of generation of 9"):
        train_grpo(configure(problems_per_step=9))
    shape = {"architecture": "llama", "tokenizer": "t", "hidden_size": 8, "layers": 1, "heads": 1}
    with pytest.raises(ModelError, match="GRPO needs a trained policy"):
        train_grpo(configure(model=shape))
    assert steps_of(configure(problems_per_step=3, iterations=2, epochs=2), 8) == 8
