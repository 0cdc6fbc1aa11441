"""Which format a model gets, and what a format makes of a text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import transformers
from reward_models import make

from tts_bench.errors import ModelError, SuiteError, UnknownName, VerifierError
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import Registry
from tts_bench.verifier.backend import probability
from tts_bench.verifier.formats import BY_MODEL, FORMATS, Format, find_format, find_outcome_format
from tts_bench.verifier.rendering import Renderer

SUITE = """
dataset: {name: arithmetic, problems: 1}
engine: {name: transformers, model: some/model}
verifier: %s
sampling: {max_tokens: 8}
strategies: [greedy]
"""


def test_a_given_format_wins_then_the_exact_hub_id_then_the_class():
    qwen = "Qwen/Qwen2.5-Math-PRM-7B"
    assert find_format("trl", qwen, ["Qwen2ForProcessRewardModel"]) is FORMATS["trl"]
    assert find_format(None, qwen, []) is FORMATS["qwen2.5-math-prm"]
    local = find_format(None, "my/folder", ["Qwen2ForProcessRewardModel"])
    assert local is FORMATS["qwen2.5-math-prm"]
    assert find_format(None, "my/folder", ["LlamaForTokenClassification"]) is FORMATS["trl"]
    own = Format("pieces", "labels")
    assert find_format(own, qwen, []) is own


def test_nothing_is_guessed_from_a_name():
    with pytest.raises(ModelError, match="set its format: qwen"):
        find_format(None, "me/Qwen2.5-Math-PRM-7B-finetuned", ["Qwen2ForCausalLM"])
    with pytest.raises(ModelError, match="set its format: classifier"):
        find_outcome_format(None, "me/reward-model", ["Qwen2ForCausalLM"])
    with pytest.raises(UnknownName, match="Did you mean 'rlhflow'"):
        find_format("rlhf-low", "m", [])


def test_every_published_model_has_a_declared_format():
    assert set(BY_MODEL.values()) == set(FORMATS) - {"trl"}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"prompt": "no problem"}, "prompt must hold"),
        ({"step": "no step"}, "step must hold"),
        ({"system": "Be brief."}, "system needs chat"),
        ({"right": 2}, "right must be"),
        ({"layout": "turns"}, "head: tokens"),
        ({"layout": "text"}, "needs a marker"),
        ({"head": "tokens", "right": 0}, "right_token"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(record: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        Format(**{"layout": "pieces", "head": "labels"} | record)


def verifier_of(tmp_path: Path, block: str) -> Any:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE % block)
    return load_suite(path, Registry()).verifier


def test_a_suite_may_hold_a_record(tmp_path: Path):
    block = "{name: prm, model: m, format: {layout: pieces, head: labels, marker: <step>}}"
    verifier = verifier_of(tmp_path, block)
    assert verifier.format == Format("pieces", "labels", marker="<step>")
    assert (
        verifier_of(tmp_path, "{name: orm, model: m, format: {head: reward}}").format.end == "text"
    )


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ("{name: prm, model: m, format: qwen-math-prm}", r"s\.yaml:4: .*Did you mean"),
        ("{name: prm, model: m, format: {layout: pieces, head: labels, maker: x}}", r"s\.yaml:4"),
        ("{name: prm, model: m, aggregate: median}", r"s\.yaml:4"),
        ("{name: prm, model: m, delimiter: ''}", "delimiter must not be empty"),
        ("{name: orm, model: m, format: classifer}", "Did you mean 'classifier'"),
        ("{name: prm}", "missing key 'model'"),
        ("{name: prm, model: m, backend: sever}", r"s\.yaml:4: .*server"),
        ("{name: prm, model: m, backend: server}", r"s\.yaml:4: .*server needs base_url"),
        ("{name: prm, model: m, base_url: 'http://a'}", r"s\.yaml:4: .*needs backend: server"),
        ("{name: orm, model: m, backend: server, base_url: []}", "server needs base_url"),
        ("{name: orm, model: m, backend: server, base_url: 5}", r"s\.yaml:4: .*base_url"),
        (
            "{name: orm, model: m, backend: server, base_url: 'http://a', patience: 0}",
            r"s\.yaml:4: .*patience",
        ),
        (
            "{name: orm, model: m, backend: server, base_url: 'http://a', max_in_flight: 0}",
            r"s\.yaml:4: .*max_in_flight",
        ),
    ],
)
def test_faults_of_a_verifier_are_faults_of_the_suite(tmp_path: Path, block: str, message: str):
    with pytest.raises(SuiteError, match=message):
        verifier_of(tmp_path, block)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = make("trl", tmp_path_factory.mktemp("formats") / "trl")
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_rendered_of_the_first_steps_is_a_prefix_of_the_whole(name: str, words: Any):
    renderer = Renderer(FORMATS[name], words, "\n\n")
    whole = renderer.render("Add.", ["one\n\n", "two\n\n", "three\n\n"])
    assert len(whole.positions) == 3
    assert whole.positions[-1] == len(whole.token_ids) - 1
    for count in (1, 2):
        part = renderer.render("Add.", ["one\n\n", "two\n\n", "three\n\n"][:count])
        assert whole.token_ids[: len(part.token_ids)] == part.token_ids
        assert whole.positions[:count] == part.positions


def test_a_step_is_stripped_of_blank_lines_and_of_nothing_else(words: Any):
    renderer = Renderer(FORMATS["qwen2.5-math-prm"], words, "\n\n")
    ids = renderer.render("?", ["\n\n  one \n\n\n\n", "two\nthree\n\n\n"]).token_ids
    text = words.decode(list(ids))
    assert text.endswith("assistant\n  one <extra_0>two\nthree<extra_0>")


def test_an_open_last_piece_is_read_at_its_own_end(words: Any):
    renderer = Renderer(FORMATS["trl"], words, "\n\n")
    reading = renderer.render("?", ["one\n\n", "two"])
    assert words.decode(list(reading.token_ids)).endswith("one\n\ntwo")
    closed = renderer.render("?", ["one\n\n", "two\n\n"])
    assert len(closed.token_ids) > len(reading.token_ids)


def test_a_template_that_changes_earlier_turns_is_refused(words: Any):
    words = transformers.AutoTokenizer.from_pretrained(words.name_or_path)
    words.chat_template = "{{ messages | length }}" + words.chat_template
    renderer = Renderer(FORMATS["rlhflow"], words, "\n\n")
    with pytest.raises(VerifierError, match="changes earlier turns"):
        renderer.render("?", ["one\n\n", "two\n\n"])


def test_probabilities_of_logits():
    assert probability((0.0,)) == 0.5
    assert probability((2.0,)) == pytest.approx(0.880797)
    assert probability((1.0, 3.0)) == pytest.approx(0.880797)  # softmax of two is their difference
    assert probability((1.0, 3.0), right=0) == pytest.approx(0.119203)
    assert probability((900.0, -900.0)) == 0.0  # an underflow is a score
    assert probability((-900.0, 900.0)) == 1.0
