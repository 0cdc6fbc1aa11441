"""Files that no one means to write: one line each, with the place, and nothing of it at length."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.dataset.hub import Gsm8k, Math500
from tts_bench.dataset.jsonl import JsonlDataset
from tts_bench.dataset.step_labels import StepLabels
from tts_bench.errors import DatasetError

GOOD = {"problem": "Compute 1 + 2.", "answer": "3"}
ROWS = {
    "half a character": ('{"problem": "P \\ud83d", "answer": "1"}', "lone surrogate"),
    "half in an id": ('{"problem": "P", "answer": "1", "id": "\\udfff"}', "lone surrogate"),
    "half in a name": ('{"problem": "P", "answer": "1", "\\ud83d": 1}', "lone surrogate"),
    "half in a list": ('{"problem": "P", "answer": "1", "x": [{"\\ud83d": 1}]}', "lone surrogate"),
    "a level that is no number": (json.dumps({**GOOD, "level": "²"}), "level '²' is neither"),
    "a long level": (json.dumps({**GOOD, "level": "9" * 5000}), "is neither a number"),
    "a long word as level": (json.dumps({**GOOD, "level": "x" * 5000}), "is neither a number"),
    "a number of 5,000 digits": (f'{{"problem": "P", "answer": {"9" * 5000}}}', "of digits"),
    "an id of 5,000 digits": (f'{{"problem": "P", "answer": 1, "id": -{"9" * 5000}}}', "of digits"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "deep in a cell": (f'{{"x": {"[" * 100_000}{"]" * 100_000}}}', "nested too deeply"),
    "a list": (json.dumps({**GOOD, "answer": ["x" * 5000]}), "is a list"),
    "infinite": ('{"problem": "P", "answer": Infinity}', "is not finite"),
    "empty": ('{"problem": "P", "answer": NaN}', "no reference"),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_hostile_row_is_one_line_with_its_place(tmp_path: Path, name: str) -> None:
    row, message = ROWS[name]
    path = tmp_path / "p.jsonl"
    path.write_text(f"{json.dumps({**GOOD, 'level': 1})}\n{row}\n")
    with pytest.raises(DatasetError) as caught:
        JsonlDataset(str(path)).load()
    said = str(caught.value)
    assert said.startswith(f"{path}:2: ")
    assert message in said
    assert "\n" not in said
    assert len(said) < len(str(path)) + 400


def test_a_deep_table_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(DatasetError, match="nested too deeply"):
        JsonlDataset(str(path)).load()


@pytest.mark.parametrize("depth", [100, 900, 980])
def test_what_is_nested_as_deeply_as_can_be_read_is_one_line(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "p.jsonl"
    cell = "[" * depth + "]" * depth
    path.write_text(f'{{"problem": "P", "steps": {cell}, "labels": {cell}}}\n')
    with pytest.raises(DatasetError) as caught:
        StepLabels(str(path)).read()
    assert len(str(caught.value)) < len(str(path)) + 400


def test_long_ids_are_ids_and_are_not_quoted_at_length(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    row = json.dumps({**GOOD, "id": "a" * 3000})
    path.write_text(row)
    [item] = JsonlDataset(str(path)).load()
    assert item.problem.id == "a" * 3000
    path.write_text(f"{row}\n{row}\n")
    with pytest.raises(DatasetError, match="is that of") as caught:
        JsonlDataset(str(path)).load()
    assert len(str(caught.value)) < 2 * len(str(path)) + 400


@pytest.mark.parametrize(
    "path",
    ["a" * 5000, "a" * 300 + ".jsonl", "~nosuchuser/p.jsonl", "~nosuchuser", "a\0.jsonl", ""],
)
def test_a_path_that_can_be_none_is_one_line(path: str) -> None:
    for data in (JsonlDataset(path), Math500(path=path), Gsm8k(path=path), StepLabels(path)):
        with pytest.raises(DatasetError) as caught:
            data.load() if not isinstance(data, StepLabels) else data.read()
        assert len(str(caught.value)) < 400
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["import", "grade"])
@pytest.mark.parametrize("path", ["a" * 5000, "~nosuchuser/p.jsonl", "~nosuchuser"])
def test_so_it_is_on_the_command_line(cli, tmp_path: Path, command: str, path: str) -> None:
    options = {
        "import": ("-o", tmp_path / "results"),
        "grade": ("--reference-field", "a", "--response-field", "b"),
    }
    code, _, err = cli(command, path, *options[command])
    assert code == 2
    assert len(err.splitlines()) == 1
    assert len(err) < 400
