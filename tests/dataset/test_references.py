"""Worked solutions in place of reference answers, wherever references are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tts_bench.dataset.jsonl import JsonlDataset
from tts_bench.errors import DatasetError, UsageError
from tts_bench.labelling.solutions import Solutions
from tts_bench.store.runs import resolve_run

SOLVED = {"problem": "P1", "solution": "We get $\\boxed{12}$.", "completion": "\\boxed{12}"}
UNMARKED = {**SOLVED, "solution": "First we add.\nThen we find twelve in the end."}
SAID = "references of 1 rows are more than an answer; the final answer that each states is taken"


@pytest.fixture
def write(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(row: dict[str, Any]) -> Path:
        path = tmp_path / "p.jsonl"
        path.write_text(json.dumps(row) + "\n")
        return path

    return write


@pytest.mark.usefixtures("undrawn")
def test_import_takes_the_final_answer_and_says_so(write, tmp_path: Path, cli) -> None:
    code, out, err = cli("import", write(SOLVED), "-o", tmp_path / "results")
    assert code == 0, err
    assert SAID in out
    run = resolve_run(tmp_path / "results" / "p")
    assert [one.correct for one in run.attempts()] == [True]
    assert run.read_manifest().problems[0].reference == "12"


def test_import_refuses_a_solution_without_a_marked_answer(write, tmp_path: Path, cli) -> None:
    code, _, err = cli("import", write(UNMARKED), "-o", tmp_path / "results")
    assert code == 2
    assert "p.jsonl:1: column 'solution' holds a worked solution" in err


def test_grade_takes_the_final_answer_and_says_so(write, cli) -> None:
    options = ("--reference-field", "solution", "--response-field", "completion")
    code, out, err = cli("grade", write(SOLVED), *options)
    assert (code, out.splitlines()[0]) == (0, "1\tcorrect\t12")
    assert SAID in err
    code, _, err = cli("grade", write(UNMARKED), *options)
    assert code == 2
    assert "p.jsonl:1: field 'solution' holds a worked solution" in err


def test_a_run_takes_the_final_answer_and_says_so(write, tmp_path: Path, cli, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "dataset: {name: jsonl, path: p.jsonl, columns: {reference: solution}}\n"
        "engine: {name: transformers, model: tts_bench/tiny/policy}\n"
        "sampling: {max_tokens: 8}\nstrategies: [greedy]\n"
    )
    path = write(SOLVED)
    code, _, err = cli("validate", suite)
    assert code == 0, err
    assert SAID in err
    data = JsonlDataset(str(path), columns={"reference": "solution"})
    assert [item.reference for item in data.load()] == ["12"]
    write(UNMARKED)
    with pytest.raises(
        DatasetError, match=r"p\.jsonl:1: column 'solution' holds a worked solution"
    ):
        data.load()


def test_labelling_takes_the_final_answer_and_says_so(write) -> None:
    columns = {"reference": "solution", "solution": "completion"}
    unused = JsonlDataset("absent.jsonl")
    solutions = Solutions(write(SOLVED), unused, columns)
    assert [trace.reference for trace in solutions.read()] == ["12"]
    assert SAID in solutions.references.notes[0]


def test_only_the_rows_of_a_condition_are_labelled(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    rows = [{**SOLVED, "problem": f"P{i}", "model": "ab"[i]} for i in (0, 1)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"reference": "solution", "solution": "completion"}
    unused = JsonlDataset("absent.jsonl")
    solutions = Solutions(path, unused, columns, where=("model=b",))
    assert [trace.problem.text for trace in solutions.read()] == ["P1"]
    with pytest.raises(UsageError, match="not of a run"):
        Solutions(tmp_path, unused, columns, where=("model=b",)).read()
