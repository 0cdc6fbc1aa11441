from __future__ import annotations

import dataclasses
import json
from itertools import islice
from pathlib import Path

import pytest
from click.testing import CliRunner

from tts_bench.dataset.rows import read_rows
from tts_bench.tiny import data
from tts_bench.tiny.worked_arithmetic import check_steps

SLIP = "<think>42 - 17 = 35\n\nWait, check: 42 - 17 = 25\n\n</think>\\boxed{25}"


def test_rows_of_every_kind():
    problem = "Compute 42 - 17."
    assert data.policy_row(problem, SLIP) == {"prompt": problem, "completion": SLIP}
    assert data.prm_row(problem, SLIP) == {
        "prompt": problem,
        "completions": [
            "<think>42 - 17 = 35",
            "Wait, check: 42 - 17 = 25",
            "</think>\\boxed{25}",
        ],
        "labels": [False, True, True],
    }
    assert data.orm_row(problem, SLIP, 25)["label"] == 1
    assert data.orm_row(problem, SLIP, 35)["label"] == 0


@pytest.mark.parametrize("name", ["base-3", "prm-1", "orm"])
def test_rows_follow_from_the_name_alone(name: str):
    first, second = (list(islice(data.rows_of(name, data.FILES[name]), 20)) for _ in range(2))
    assert first == second


def test_no_evaluation_problem_is_trained_on(monkeypatch: pytest.MonkeyPatch):
    file = dataclasses.replace(data.FILES["policy-2"], rows=300, weights=(1, 0, 0, 0, 0))
    seen = {row["prompt"] for row in data.rows_of("policy-2", file)}
    assert not seen & data.evaluation_problems()
    # The same rows would hold such problems, were they not left out.
    monkeypatch.setattr(data, "evaluation_problems", frozenset)
    assert {row["prompt"] for row in data.rows_of("policy-2", file)} - seen


def test_the_base_never_sees_a_slip():
    for name in ("base-1", "base-2", "base-3", "careful"):
        for row in islice(data.rows_of(name, data.FILES[name]), 100):
            assert all(check_steps(row["prompt"], row["completion"]))


def test_a_policys_own_solutions_are_labelled(tmp_path: Path):
    held_out = min(data.evaluation_problems())
    rows = [{"prompt": problem, "completion": SLIP} for problem in ("Compute 42 - 17.", held_out)]
    samples = tmp_path / "samples.jsonl"
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(data.main, [str(tmp_path / "out"), "--samples", str(samples)])
    assert result.exit_code == 0, result.output
    [steps] = read_rows(str(tmp_path / "out" / "prm.jsonl"))
    [whole] = read_rows(str(tmp_path / "out" / "orm.jsonl"))
    assert steps.cells == data.prm_row("Compute 42 - 17.", SLIP)
    assert whole.cells == {"prompt": "Compute 42 - 17.", "completion": SLIP, "label": 1}


def test_files_are_written_beside_the_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small = {name: dataclasses.replace(file, rows=5) for name, file in data.FILES.items()}
    monkeypatch.setattr(data, "FILES", small)
    data.write_files(tmp_path / "data")
    assert (tmp_path / "data" / "tokenizer" / "tokenizer.json").is_file()
    for name in small:
        lines = (tmp_path / "data" / f"{name}.jsonl").read_text("utf-8").splitlines()
        assert len([json.loads(line) for line in lines]) == 5
