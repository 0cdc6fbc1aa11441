"""Training a policy: what is learnt from, seeds, interruption, resumption, what is left behind."""

from __future__ import annotations

import csv
import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from click.testing import CliRunner
from transformers import TrainerCallback

from tts_bench.commands.train import train
from tts_bench.dataset.row import Row
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.errors import DatasetError, ModelError, StoreError, UsageError
from tts_bench.training import trainer as trainer_module
from tts_bench.training.config import PolicyConfig
from tts_bench.training.config_file import load_config
from tts_bench.training.losses import IGNORED
from tts_bench.training.policy import encode, train_policy

WriteConfig = Callable[..., Path]
WriteRows = Callable[..., str]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return transformers.AutoModelForCausalLM.from_pretrained(folder).state_dict()


def same(a: Path, b: Path) -> bool:
    one, other = weights(a), weights(b)
    return all(torch.equal(one[name], other[name]) for name in one)


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def configure(
    tiny_model_dir: Path,
    tmp_path: Path,
    write_config: WriteConfig,
    write_rows: WriteRows,
    sums: list[dict[str, Any]],
) -> Callable[..., PolicyConfig]:
    data = write_rows(sums)

    def make(output: str = "out", **keys: Any) -> PolicyConfig:
        settings = {
            "model": str(tiny_model_dir),
            "data": data,
            "max_steps": 6,
            "batch_tokens": 160,
            "log_every": 1,
            "optimizer": "muon",
            "learning_rate": 0.01,
            "warmup": 2,
            **keys,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        return load_config(PolicyConfig, write_config(output=str(tmp_path / output), **settings))

    return make


def test_the_loss_is_on_the_completion_behind_the_prompt_of_a_run(
    tiny_model_dir: Path, configure: Callable[..., PolicyConfig]
):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_dir)
    rows = [Row("f:1", {"question": "1 plus 1", "answer": "2"})]
    (example,) = encode(rows, configure(), tokenizer)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1 plus 1"}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    ends = [*tokenizer.encode("2", add_special_tokens=False), tokenizer.eos_token_id]
    assert example.input_ids.tolist() == [*prompt, *ends]
    ignored = [IGNORED] * (len(prompt) - 1)
    assert example.labels.tolist() == [*ignored, *ends, IGNORED]
    (whole,) = encode(rows, configure(loss_on="all"), tokenizer)
    assert whole.labels.tolist() == [*prompt[1:], *ends, IGNORED]


def test_conversations_and_plain_prompts(
    tiny_model_dir: Path, configure: Callable[..., PolicyConfig]
):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_dir)
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    pairs = [Row("f:1", {"messages": turns}), Row("f:2", {"prompt": "a", "completion": "b"})]
    one, other = encode(pairs, configure(), tokenizer)
    assert one.input_ids.tolist() == other.input_ids.tolist()
    (plain,) = encode([pairs[1]], configure(prompt={"chat": False}), tokenizer)
    assert plain.input_ids.tolist() == [*tokenizer.encode("ab"), tokenizer.eos_token_id]
    with pytest.raises(DatasetError, match=r"f:1: messages must be .* the last is the assistant's"):
        encode([Row("f:1", {"messages": turns[:1]})], configure(), tokenizer)
    with pytest.raises(DatasetError, match=r"f:9: no column 'prompt' or .*Did you mean 'promt'"):
        encode([Row("f:9", {"promt": "a"})], configure(), tokenizer)


def test_a_training_leaves_a_model_that_the_engine_loads(
    configure: Callable[..., PolicyConfig], tmp_path: Path
):
    config = configure(max_steps=30, save_every=15, learning_rate=0.02, dtype="bfloat16")
    outcome = train_policy(config)
    assert outcome.finished
    assert outcome.step == 30
    losses = [float(row["loss"]) for row in log(tmp_path / "out")]
    assert losses[-1] < 0.5 * losses[0]
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["status"] == "finished"
    assert manifest["final"]["loss"] == pytest.approx(losses[-1])
    assert manifest["data"]["stages"][0]["rows"] == 32
    assert "torch" in manifest["environment"]["packages"]
    saved = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert saved.dtype == torch.bfloat16
    assert TransformersEngine(model=str(tmp_path / "out"))


def test_the_same_file_twice_gives_the_same_weights_and_another_seed_others(
    configure: Callable[..., PolicyConfig], tmp_path: Path
):
    for output, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_policy(configure(output, seed=seed, max_steps=3))
    assert same(tmp_path / "a", tmp_path / "b")
    assert not same(tmp_path / "a", tmp_path / "c")


def test_from_scratch_in_stages(
    tiny_model_dir: Path, configure: Callable[..., PolicyConfig], tmp_path: Path
):
    model = {
        "architecture": "llama",
        "tokenizer": str(tiny_model_dir),
        "hidden_size": 16,
        "layers": 1,
        "heads": 2,
        "kv_heads": 1,
        "max_length": 64,
    }
    data = configure().data[0]
    stages = [{"data": data, "learning_rate": 0.02}, {"data": [data], "epochs": 2}]
    outcome = train_policy(
        configure(model=model, stages=stages, data=None, max_steps=None, schedule="constant")
    )
    rates = [float(row["learning_rate"]) for row in log(tmp_path / "out")]
    assert outcome.step == len(rates)
    assert rates[3] == pytest.approx(0.02)
    assert rates[-1] == pytest.approx(0.01)
    trained = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert trained.config.vocab_size == len(tokenizer)
    assert trained.config.max_position_embeddings == 64


def test_accumulated_batches_make_the_same_step(
    configure: Callable[..., PolicyConfig], tmp_path: Path
):
    """Batches with unequal numbers of labels: the step is the mean over labels, not batches."""
    whole = {"batch_tokens": None, "max_steps": 1, "optimizer": "adamw", "max_grad_norm": 0.0}
    train_policy(configure("whole", batch_size=32, **whole))
    train_policy(configure("parts", batch_size=5, accumulate=7, **whole))
    one, other = log(tmp_path / "whole")[0], log(tmp_path / "parts")[0]
    # 32 rows in 7 batches of 5 at most: all rows are in both steps.
    assert float(one["grad_norm"]) == pytest.approx(float(other["grad_norm"]), rel=1e-4)
    assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)


class InterruptAt(TrainerCallback):
    """Presses Ctrl-C in the middle of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_interrupted_and_resumed_is_as_if_never_interrupted(
    configure: Callable[..., PolicyConfig],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
):
    train_policy(configure("whole", optimizer=optimizer))
    config = configure("parts", optimizer=optimizer)
    with monkeypatch.context() as patch:
        patch.setattr(trainer_module, "CsvLog", with_interruption(trainer_module.CsvLog, 4))
        outcome = train_policy(config)
    assert (outcome.finished, outcome.step) == (False, 4)
    manifest = json.loads((tmp_path / "parts" / "manifest.json").read_text())
    assert manifest["status"] == "interrupted"
    assert not (tmp_path / "parts" / "model.safetensors").exists()
    with pytest.raises(UsageError, match=r"holds a training .interrupted.: go on with --resume"):
        train_policy(config)
    with pytest.raises(UsageError, match=r"--resume: .* is another training: seed changed"):
        train_policy(configure("parts", optimizer=optimizer, seed=5), resume=True)
    assert train_policy(config, resume=True).finished
    assert same(tmp_path / "whole", tmp_path / "parts")
    assert log(tmp_path / "whole") == log(tmp_path / "parts")


def with_interruption(cls: type, step: int) -> type:
    class Interrupting(InterruptAt, cls):  # type: ignore[misc, valid-type]
        def __init__(self, path: Path) -> None:
            cls.__init__(self, path)
            self.step = step

    return Interrupting


def test_a_full_disk_leaves_the_last_checkpoint_to_resume_from(
    configure: Callable[..., PolicyConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train_policy(configure("whole", save_every=2))
    config = configure("parts", save_every=2)
    original = transformers.Trainer._save_optimizer_and_scheduler

    def fails(self: Any, folder: str) -> None:
        if folder.endswith("-4"):
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(transformers.Trainer, "_save_optimizer_and_scheduler", fails)
        with pytest.raises(StoreError, match=r"No space left .*--resume goes on from checkpoint-2"):
            train_policy(config)
    assert [one.name for one in (tmp_path / "parts/checkpoints").iterdir()] == ["checkpoint-2"]
    assert train_policy(config, resume=True).finished
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_the_command(
    configure: Callable[..., PolicyConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    configure()
    path = str(tmp_path / "train.yaml")
    runner = CliRunner()

    def invoke(*arguments: str) -> Any:
        return runner.invoke(train, ["policy", path, *arguments], standalone_mode=False)

    first = invoke("--set", "max_steps=2")
    assert first.return_value == 0, first.exception
    assert "out: 2 steps, loss" in first.stdout
    assert isinstance(invoke("--set", "max_steps=2").exception, UsageError)
    assert invoke("--set", "max_steps=2", "--overwrite").return_value == 0
    assert isinstance(invoke("--resume", "--overwrite").exception, UsageError)
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    refused = invoke("--set", f"output={other}", "--overwrite")
    assert "is no folder of a training" in str(refused.exception)


def test_what_cannot_be_trained_is_one_clear_line(
    configure: Callable[..., PolicyConfig], tmp_path: Path
):
    with pytest.raises(ModelError, match="max_length 9999 exceeds the model's context of 512"):
        train_policy(configure(max_length=9999))
    with pytest.raises(ModelError, match=r"no model folder at ./nowhere"):
        train_policy(configure(model="./nowhere"))
    with pytest.raises(DatasetError, match=r"no role 'pompt'.*Did you mean 'prompt'"):
        train_policy(configure(columns={"pompt": "x"}))
    shape = {"architecture": "qwen2", "hidden_size": 8, "layers": 1, "heads": 1}
    with pytest.raises(ModelError, match=r"reads this tokenizer back as Qwen2Tokenizer.*llama"):
        train_policy(configure(model={**shape, "tokenizer": configure().model}))
    with pytest.raises(DatasetError, match="no such file"):
        train_policy(configure(data="none.jsonl"))
