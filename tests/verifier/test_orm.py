"""Outcome reward models, each against a plain forward pass over one text."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from reward_models import candidate, make, score, values
from safetensors.torch import load_file

from tts_bench.errors import ModelError, VerifierError
from tts_bench.types import Problem
from tts_bench.verifier.formats import OutcomeFormat
from tts_bench.verifier.orm import OutcomeRewardModel

PROBLEM = "Add 1, 2 and 4."
TEXTS = ["1 plus 2 equals 3.\n\nSo 7", "So 7", "1 plus 2 equals 4.\n\n", "", "7 " * 40]
PROMPT = "<|start|>user\nAdd 1, 2 and 4.<|end|>\n<|start|>assistant\n"
SYSTEM = "Please reason step by step, and put your final answer within \\boxed{}."


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    kinds = ("orm", "qwen2.5-math-rm", "trl")
    return {kind: make(kind, tmp_path_factory.mktemp("orm") / kind) for kind in kinds}


def orm(folder: Path, **settings: Any) -> OutcomeRewardModel:
    return OutcomeRewardModel(str(folder), device="cpu", threads=1, **settings)


@torch.inference_mode()
def classifier_logits(folder: Path, texts: list[str]) -> list[float]:
    """What the library's own class says of each text alone: it finds the last token itself."""
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    encoded = [words(text, add_special_tokens=False, return_tensors="pt") for text in texts]
    return [float(model(input_ids=one["input_ids"]).logits[0, 0]) for one in encoded]


@pytest.mark.parametrize("batch_tokens", [1, 16384])
def test_scores_are_the_sigmoid_of_the_last_token(batch_tokens: int, folders: dict[str, Path]):
    found = values(score(orm(folders["orm"], batch_tokens=batch_tokens), PROBLEM, TEXTS))
    logits = classifier_logits(folders["orm"], [PROMPT + text for text in TEXTS])
    assert found == pytest.approx(torch.tensor(logits).sigmoid().tolist(), abs=2e-6)
    assert len({round(value, 4) for value in found}) == len(TEXTS)


@pytest.mark.parametrize(("form", "end"), [("classifier", ""), ("classifier-eos", "<|end|>")])
def test_the_head_itself_and_the_end_of_the_text(form: str, end: str, folders: dict[str, Path]):
    verifier = orm(folders["orm"], format=form, activation="none")
    expected = classifier_logits(folders["orm"], [PROMPT + text + end for text in TEXTS])
    assert values(score(verifier, PROBLEM, TEXTS)) == pytest.approx(expected, abs=2e-5)


@torch.inference_mode()
def test_the_two_layer_head_is_read_behind_the_turn(folders: dict[str, Path]):
    folder = folders["qwen2.5-math-rm"]
    words = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    stored = load_file(folder / "model.safetensors")
    expected = []
    for text in TEXTS:
        whole = f"<|start|>system\n{SYSTEM}<|end|>\n{PROMPT}{text}<|end|>\n"
        ids = words(whole, add_special_tokens=False, return_tensors="pt")["input_ids"]
        hidden = model(ids).last_hidden_state[0, -1]
        inner = (hidden @ stored["score.0.weight"].T + stored["score.0.bias"]).relu()
        logit = inner @ stored["score.2.weight"].T + stored["score.2.bias"]
        expected.append(float(logit.sigmoid()))
    assert values(score(orm(folder), PROBLEM, TEXTS)) == pytest.approx(expected, abs=2e-6)


def test_a_prompt_without_a_chat_template(folders: dict[str, Path]):
    own = OutcomeFormat("scalar", prompt="Q: {problem}\nA: ", chat=False)
    verifier = orm(folders["orm"], format=own, activation="none")
    texts = [f"Q: {PROBLEM}\nA: {text}" for text in TEXTS]
    expected = classifier_logits(folders["orm"], texts)
    assert values(score(verifier, PROBLEM, TEXTS)) == pytest.approx(expected, abs=2e-5)


def test_a_solution_has_no_step_scores_and_costs_one_call(folders: dict[str, Path]):
    first, second = score(orm(folders["orm"]), PROBLEM, [TEXTS[0], TEXTS[0]])
    assert first == type(first)(first.score, first.calls)
    assert first.score.steps == ()
    assert [call.cached_prompt_tokens for call in first.calls] == [0]
    assert second.calls[0].cached_prompt_tokens == len(second.calls[0].prompt_ids)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("trl", {}, "not known as an outcome reward model"),
        ("trl", {"format": "classifier"}, r"needs a model \.\.\.ForSequenceClassification"),
        ("orm", {"format": "qwen2.5-math-rm"}, r"lack score\.0\.weight"),
    ],
)
def test_what_is_no_outcome_reward_model_is_refused(
    kind: str, settings: dict[str, Any], message: str, folders: dict[str, Path]
):
    with pytest.raises(ModelError, match=message):
        score(orm(folders[kind], **settings), PROBLEM, TEXTS)


def test_a_misspelt_format_is_a_fault_of_the_suite():
    with pytest.raises(ValueError, match="Did you mean 'classifier'"):
        OutcomeRewardModel("model", format="clasifier")


def test_nothing_is_scored_before_the_start():
    verifier = OutcomeRewardModel("model")
    scoring = verifier.score(Problem("a", "a"), [candidate("x")])
    with pytest.raises(VerifierError, match="not started"):
        asyncio.run(scoring)
