"""`sampling: recommended` takes what the model's makers say, and says what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tts_bench.errors import SuiteError
from tts_bench.suite.load import Suite, load_suite
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry

QWEN = {"do_sample": True, "temperature": 0.6, "top_p": 0.95, "top_k": 20, "eos_token_id": [1, 2]}


@pytest.fixture
def load(tmp_path: Path):
    def load(sampling, config=QWEN, *sets: str, **engine) -> Suite:
        model = tmp_path / "model"
        model.mkdir(exist_ok=True)
        (model / "config.json").write_text("{}")
        if config is not None:
            (model / "generation_config.json").write_text(json.dumps(config))
        suite = {
            "dataset": {"name": "arithmetic", "problems": 5},
            "engine": {"name": "transformers", "model": str(model), **engine},
            "sampling": sampling,
            "strategies": ["greedy", {"strategy": "self_consistency", "n": 2, "top_k": 0}],
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        return load_suite(path, Registry(), Overrides(sets=sets))

    return load


def test_it_takes_the_models_settings_below_the_suites_own(load):
    suite = load({"recommended": True, "max_tokens": 64, "top_p": 0.9})
    taken = {"max_tokens": 64, "temperature": 0.6, "top_p": 0.9, "top_k": 20, "stop": ()}
    assert suite.cells[0].sampling.settings == taken
    assert suite.cells[1].sampling.top_k == 0
    assert suite.resolved["sampling"] == {k: v for k, v in taken.items() if k != "stop"}
    assert suite.recommended.startswith("temperature=0.6, top_k=20 (as ")


def test_the_bare_word_needs_a_length_and_can_be_set(load):
    with pytest.raises(SuiteError, match="missing key 'max_tokens'"):
        load("recommended")
    suite = load("recommended", QWEN, "sampling.max_tokens=32", "sampling.temperature=1.0")
    assert suite.cells[0].sampling.settings["temperature"] == 1.0
    assert suite.cells[0].sampling.top_k == 20
    assert load({"max_tokens": 8, "recommended": False}).recommended == ""


def test_penalties_and_min_p_are_taken_and_no_sampling_is_greedy(load):
    more = {"repetition_penalty": 1.05, "min_p": 0.1, "temperature": None}
    found = load({"recommended": True, "max_tokens": 8}, more).cells[0].sampling
    assert found.further == {"min_p": 0.1, "repetition_penalty": 1.05}
    assert found.temperature == 1.0
    cold = {"do_sample": False, "repetition_penalty": 1.05}
    assert load({"recommended": True, "max_tokens": 8}, cold).cells[0].sampling.temperature == 0


@pytest.mark.parametrize(
    ("config", "sampling", "said"),
    [
        (None, {"recommended": True, "max_tokens": 8}, "has no generation_config.json that can"),
        ({}, {"recommended": True, "max_tokens": 8}, "recommends nothing: set what you want"),
        (QWEN, {"recommended": "yes", "max_tokens": 8}, "sampling.recommended: must be true or"),
        ({"top_p": 7}, {"recommended": True, "max_tokens": 8}, "top_p must be in"),
    ],
)
def test_what_cannot_be_taken_is_one_line(load, config, sampling, said):
    with pytest.raises(SuiteError) as caught:
        load(sampling, config)
    [line] = caught.value.problems
    assert said in line


def test_a_chat_endpoints_model_has_no_files(load):
    chat = {"name": "server", "dialect": "chat", "base_url": "http://127.0.0.1:9", "model": "m"}
    with pytest.raises(SuiteError, match="names no model whose settings can be read"):
        load({"recommended": True, "max_tokens": 8}, QWEN, "engine=" + json.dumps(chat))
