"""Training reward models: formats, labels at step ends, and readers that agree with them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from tts_bench.dataset.row import Row
from tts_bench.dataset.rows import read_rows
from tts_bench.errors import DatasetError, ModelError
from tts_bench.training import orm, prm
from tts_bench.training.config import OrmConfig, PrmConfig
from tts_bench.training.config_file import load_config
from tts_bench.training.losses import IGNORED
from tts_bench.training.models import load_tokenizer


def losses(folder: Path) -> list[float]:
    with (folder / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.fixture
def configure(
    tiny_model_dir: Path,
    write_config: Callable[..., Path],
    write_rows: Callable[..., str],
    sums: list[dict[str, Any]],
) -> Callable[..., Any]:
    data = write_rows(sums)

    def make(cls: type = PrmConfig, **keys: Any) -> Any:
        defaults = {"model": str(tiny_model_dir), "data": data, "max_steps": 12, "log_every": 1}
        return load_config(cls, write_config(**{**defaults, "batch_size": 16, **keys}))

    return make


Learnt = tuple[str, tuple[str, ...], tuple[float | None, ...]]


def solutions(cells: dict[str, Any], config: PrmConfig) -> list[Learnt]:
    """Problem, steps and labels of a row, as they are encoded."""
    found = prm.make_reader(config).read([Row("f:1", cells)])
    closed = [one.delimited(config.delimiter) for _, one in found]
    return [(one.problem, one.steps, one.labels) for one in closed]


def test_label_files_and_trls_columns_mean_the_same(configure: Callable[..., Any]):
    bare = {"prompt": "p", "completions": ["a", "b"], "labels": [True, False]}
    closed = {**bare, "completions": ["a\n\n", "b"], "soft": [0.75, None]}
    expected = ("p", ("a\n\n", "b"), (1.0, 0.0))
    assert solutions(bare, configure()) == solutions(closed, configure()) == [expected]
    assert solutions(closed, configure(labels="soft"))[0][2] == (0.75, None)
    probabilities = {**bare, "labels": [0.5, 1]}
    assert solutions(probabilities, configure(labels="soft"))[0][2] == (0.5, 1.0)
    with pytest.raises(DatasetError, match=r"f:1: label 0.5 is a probability, .*`labels: soft`"):
        solutions(probabilities, configure())
    with pytest.raises(DatasetError, match=r"f:1: has 1 labels for 2 steps"):
        solutions({**bare, "labels": [True]}, configure())
    with pytest.raises(
        DatasetError,
        match=r"f:1: no labelled steps; .*columns a; name them",
    ):
        solutions({"a": 1}, configure())


def test_more_tokens_of_a_step_may_carry_its_label(configure: Callable[..., Any]):
    cells = {"prompt": "p", "completions": ["1 plus 2", "3"], "labels": [1, 0]}
    found = {}
    for count in (1, 2, 99):
        config = configure(label_tokens=count)
        renderer = prm.make_renderer(config, load_tokenizer(config))
        [example] = prm.encode([Row("f:1", cells)], config, prm.make_reader(config), renderer)
        found[count] = example.labels
    ends = np.flatnonzero(found[1] != IGNORED)
    assert [found[1][i] for i in ends] == [1.0, 0.0]
    assert np.flatnonzero(found[2] == 1.0).tolist() == [ends[0] - 1, ends[0]]
    # A label never reaches back into the step before it.
    behind = found[99][ends[0] + 1 : ends[1] + 1]
    assert (behind == 0.0).all()
    prompt = renderer.prompt_length("p")
    assert (found[99][:prompt] == IGNORED).all()
    assert (found[99][prompt : ends[0] + 1] == 1.0).all()


def test_a_step_that_holds_the_delimiter_is_labelled_at_its_end(configure: Callable[..., Any]):
    cells = {"prompt": "p", "completions": ["a\n\nb", "c"], "labels": [0, 1]}
    expected = ("p", ("a\n\n", "b\n\n", "c"), (None, 0.0, 1.0))
    assert solutions(cells, configure()) == [expected]


@pytest.mark.parametrize(
    ("neutral", "expected"), [("positive", 1.0), ("negative", 0.0), ("ignore", None)]
)
def test_prm800k_in_both_layouts(configure: Callable[..., Any], neutral: str, expected: Any):
    chosen = [{"text": "a", "rating": 1}, {"text": "b", "rating": 0}, {"text": "x", "rating": -1}]
    original = {
        "question": {"problem": "p"},
        "label": {
            "steps": [
                {"completions": chosen[:1], "chosen_completion": 0, "human_completion": None},
                {
                    "completions": chosen[2:],
                    "chosen_completion": None,
                    "human_completion": {"text": "h"},
                },
                {"completions": chosen[1:2], "chosen_completion": 0, "human_completion": None},
                {"completions": chosen[2:], "chosen_completion": None, "human_completion": None},
            ]
        },
    }
    flat = {
        "problem": "p",
        "steps": ["a", "h", "b"],
        "ratings": [1, None, 0, -1],
        "alternatives": [chosen[:1], chosen[2:], None, chosen[2:]],
    }
    path = ("p", ("a\n\n", "h\n\n", "b"), (1.0, None, expected))
    others = [
        ("p", ("a\n\n", "x"), (None, 0.0)),
        ("p", ("a\n\n", "h\n\n", "b\n\n", "x"), (None, None, None, 0.0)),
    ]
    config = configure(neutral=neutral)
    assert solutions(original, config) == [path, *others]
    assert solutions(flat, config) == [path, *others]
    assert solutions(flat, configure(neutral=neutral, alternatives=False)) == [path]


def test_processbench_and_math_shepherd(configure: Callable[..., Any]):
    cells = {"problem": "p", "steps": ["a", "b", "c"], "label": 1}
    assert solutions(cells, configure())[0][2] == (1.0, 0.0, 0.0)
    assert solutions(cells, configure(after_error="ignore"))[0][2] == (1.0, 0.0, None)
    assert solutions({**cells, "label": -1}, configure())[0][2] == (1.0, 1.0, 1.0)
    with pytest.raises(DatasetError, match="f:1: step 3 is the first wrong one of"):
        solutions({**cells, "label": 3}, configure())
    text = "Two + two? Step 1: 2 + 2 = 4 ки\nStep 2: The answer is: 5 ки"
    marked = "Two + two? Step 1: 2 + 2 = 4 +\nStep 2: The answer is: 5 -"
    expected = ("Two + two?", ("Step 1: 2 + 2 = 4\n\n", "Step 2: The answer is: 5"), (1.0, 0.0))
    assert solutions({"input": text, "label": marked}, configure()) == [expected]
    with pytest.raises(DatasetError, match="label does not follow input at step 1"):
        solutions({"input": text, "label": marked[:-1] + "?"}, configure())


def test_labels_stand_where_steps_end_and_nowhere_else(configure: Callable[..., Any]):
    config = configure()
    tokenizer = load_tokenizer(config)
    row = Row("f:1", {"prompt": "p", "completions": ["1 plus 1", "2"], "labels": [1, 0]})
    (example,) = prm.encode(
        [row], config, prm.make_reader(config), prm.make_renderer(config, tokenizer)
    )
    places = np.flatnonzero(example.labels != IGNORED).tolist()
    read = [tokenizer.decode(example.input_ids[: place + 1]) for place in places]
    prompt = "<|start|>user\np<|end|>\n<|start|>assistant\n"
    assert read == [f"{prompt}1 plus 1\n\n", f"{prompt}1 plus 1\n\n2"]
    assert example.labels[places].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(("name", "rows"), [("prm800k_sample", 8), ("processbench_sample", 25)])
def test_public_step_labels_can_be_learnt(
    shared_data: Path, configure: Callable[..., Any], tmp_path: Path, name: str, rows: int
):
    given = read_rows(str(shared_data / f"{name}.jsonl"))
    kept = [row.cells for row in given if len(str(row.cells["steps"])) < 900][-rows:]
    data = tmp_path / "public.jsonl"
    data.write_text("".join(json.dumps(cells) + "\n" for cells in kept))
    outcome = prm.train_prm(configure(data=str(data), batch_size=4, learning_rate=0.003))
    assert outcome.finished
    found = losses(tmp_path / "out")
    assert sum(found[-3:]) < 0.9 * sum(found[:3])


def test_a_prm_is_read_where_it_was_trained(configure: Callable[..., Any], tmp_path: Path):
    """Soft labels of 3/4 and 1/4: the verifier's own classes must come near them."""
    config = configure(labels="soft", max_steps=60, optimizer="muon", learning_rate=0.02)
    prm.train_prm(config)
    found = losses(tmp_path / "out")
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert found[-1] < found[0]
    assert found[-1] > 0.9 * entropy  # no loss can be below the labels' own entropy
    loader: Any = transformers.AutoModelForTokenClassification
    model = loader.from_pretrained(tmp_path / "out")
    assert model.config.id2label == {0: "wrong", 1: "right"}
    assert model.config.architectures == ["LlamaForTokenClassification"]


def test_an_orm_learns_and_scores_alike_under_padding_on_either_side(
    configure: Callable[..., Any], tmp_path: Path
):
    config = configure(OrmConfig, max_steps=60, optimizer="muon", learning_rate=0.02)
    orm.train_orm(config)
    found = losses(tmp_path / "out")
    assert found[-1] < 0.5 < found[0] + 0.2
    loader: Any = transformers.AutoModelForSequenceClassification
    model = loader.from_pretrained(tmp_path / "out").eval()
    ids = [[5, 6, 7], [8, 9, 10, 11, 12, 2]]  # the second ends with the end-of-turn token
    with torch.no_grad():
        alone = [model(torch.tensor([one])).logits.item() for one in ids]
        for side in ("left", "right"):
            # Padded with the end-of-turn token, as tokenizers without a padding token are.
            pad, real = [2] * 3, [1] * 3
            first = pad + ids[0] if side == "left" else ids[0] + pad
            mask = [0, 0, 0, *real] if side == "left" else [*real, 0, 0, 0]
            batch = orm.logits(model, torch.tensor([first, ids[1]]), torch.tensor([mask, [1] * 6]))
            assert batch.tolist() == pytest.approx(alone, abs=1e-4)


def test_data_of_one_kind_are_refused(configure: Callable[..., Any], write_rows: Any):
    rows = [{"prompt": "p", "completion": str(i), "label": True} for i in range(3)]
    config = configure(OrmConfig, data=write_rows(rows, "all_right.jsonl"))
    with pytest.raises(DatasetError, match=r"^all 3 solutions are right: "):
        orm.train_orm(config)
    steps = [{"prompt": "p", "completions": ["a", "b"], "labels": [False, False]}]
    with pytest.raises(DatasetError, match="2 wrong and 0 right steps"):
        prm.train_prm(configure(data=write_rows(steps, "all_wrong.jsonl")))
    half = [{"prompt": "p", "completion": "x", "label": "yes"}]
    with pytest.raises(DatasetError, match="label must be true, false or from 0 to 1, not 'yes'"):
        orm.train_orm(configure(OrmConfig, data=write_rows(half, "words.jsonl")))


def test_a_marker_that_the_tokenizer_lacks_is_refused(configure: Callable[..., Any]):
    with pytest.raises(ModelError, match="its tokenizer has no token '<step>'"):
        prm.train_prm(configure(delimiter="<step>"))
    with pytest.raises(ModelError, match="its tokenizer has no token '<extra_0>'"):
        prm.train_prm(
            configure(format={"layout": "pieces", "head": "labels", "marker": "<extra_0>"})
        )
    with pytest.raises(ModelError, match="layout pieces, head labels"):
        prm.train_prm(configure(format="rlhflow"))


def test_steps_that_do_not_fit_are_left_out_with_their_count(
    configure: Callable[..., Any],
    write_rows: Any,
    sums: list[dict[str, Any]],
    capsys: pytest.CaptureFixture[str],
):
    long = {"prompt": "p", "completions": ["1 plus 1 " * 400], "labels": [True]}
    data = write_rows([*sums, long], "long.jsonl")
    assert prm.train_prm(configure(data=data, max_steps=1)).finished
    assert (
        "long.jsonl: 1 of 33 rows left out: longer than max_length 512" in capsys.readouterr().err
    )
    with pytest.raises(DatasetError, match=r"long.jsonl:33: \d+ tokens do not fit max_length 512"):
        prm.train_prm(configure(data=data, too_long="error"))
