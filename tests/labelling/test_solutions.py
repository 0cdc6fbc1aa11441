"""Traces from files and runs: what is read, what is looked up, what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tts_bench.commands.label import label
from tts_bench.dataset.base import Dataset, Item, LoadedDataset
from tts_bench.dataset.jsonl import JsonlDataset
from tts_bench.errors import DatasetError, StoreError, UsageError
from tts_bench.labelling.label_file import read_labels
from tts_bench.labelling.solutions import Solutions
from tts_bench.labelling.trace import Trace, complete_steps, distinct
from tts_bench.store.runs import resolve_run
from tts_bench.types import Problem


@dataclass(frozen=True)
class Known(Dataset):
    """One problem; `touched` tells whether it was ever loaded."""

    touched: list[bool]

    def load(self) -> LoadedDataset:
        self.touched.append(True)
        return LoadedDataset("known", "", "", (Item(Problem("p", "What is 1 + 1?"), "2"),))


def read(tmp_path: Path, *rows: dict, **settings) -> list[Trace]:
    path = tmp_path / "solutions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return list(Solutions(path, **{"columns": {}, "dataset": Known([]), **settings}).read())


def test_a_file_that_says_all_needs_no_data_set(tmp_path: Path):
    path = tmp_path / "s.jsonl"
    row = {"problem": "1 + 2?", "answer": 3, "response": "1 + 2 = 3\n\nSo 3."}
    path.write_text(json.dumps(row))
    touched: list[bool] = []
    [trace] = Solutions(path, Known(touched), {}).read()
    assert trace.steps == ("1 + 2 = 3\n\n", "So 3.")
    assert (trace.problem.text, trace.reference) == ("1 + 2?", "3")
    assert trace.problem.id
    assert touched == []


@pytest.mark.parametrize(
    "row",
    [{"problem_id": "p"}, {"id": "p"}, {"problem": "What is 1 + 1?"}, {"id": "p", "gold": ""}],
)
def test_what_a_file_lacks_is_looked_up_in_the_data_set(tmp_path: Path, row: dict):
    [trace] = read(tmp_path, {**row, "solution": "2"})
    assert (trace.problem.text, trace.reference) == ("What is 1 + 1?", "2")


def test_a_reference_of_zero_is_one(tmp_path: Path):
    [trace] = read(tmp_path, {"problem": "1 - 1?", "reference": 0, "solution": "0"})
    assert trace.reference == "0"


def test_listed_steps_get_the_delimiter_that_they_lack(tmp_path: Path):
    [trace] = read(tmp_path, {"id": "p", "steps": ["One.", "Two.\n\n", "Three."]})
    assert trace.steps == ("One.\n\n", "Two.\n\n", "Three.")
    [trace] = read(tmp_path, {"id": "p", "steps": ["1\n", "2"]}, delimiter="\n")
    assert trace.steps == ("1\n", "2")


def test_the_same_steps_have_the_same_id_however_they_are_written(tmp_path: Path):
    [listed] = read(tmp_path, {"id": "p", "steps": ["One.", "Two."]})
    [written] = read(tmp_path, {"id": "p", "solution": "One.\n\nTwo."})
    assert listed.id == written.id
    [other] = read(tmp_path, {"id": "p", "solution": "One.\n\nTwo!"})
    assert other.id != listed.id


@pytest.mark.parametrize(
    ("text", "cut_off", "steps"),
    [
        ("a\n\nb", False, ("a\n\n", "b")),
        ("a\n\nb", True, ("a\n\n",)),
        ("a\n\nb\n\n", True, ("a\n\n", "b\n\n")),
        ("a", True, ()),
        ("", False, ()),
    ],
)
def test_the_piece_in_which_a_text_was_cut_off_is_no_step(text, cut_off, steps):
    assert complete_steps(text, "\n\n", cut_off) == steps


def test_listed_steps_of_a_cut_off_solution_end_with_the_last_whole_one(tmp_path: Path):
    row = {"id": "p", "finish_reason": "length"}
    [torn] = read(tmp_path, {**row, "steps": ["a", "b"]})
    [whole] = read(tmp_path, {**row, "steps": ["a\n\n", "b\n\n"]})
    assert (torn.steps, whole.steps) == (("a\n\n",), ("a\n\n", "b\n\n"))


@pytest.mark.parametrize(
    ("text", "cut_off"),
    [
        ("1 + 1 = 2\n\n", True),  # the last number is no answer that anyone announced
        ("1 + 1 = 2\n\n\\boxed{2}\n\n", False),
        ("1 + 1 = 2\n\nThe answer is 2.\n\n", False),
        ("1 + 1 = 2", False),
        ("", False),
    ],
)
def test_a_text_that_pauses_behind_a_step_was_cut_off(tmp_path: Path, text: str, cut_off: bool):
    [trace] = read(tmp_path, {"id": "p", "solution": text})
    assert trace.cut_off is cut_off
    steps = trace.steps or ("",)
    [listed] = read(tmp_path, {"id": "p", "steps": list(trace.steps)}) if text else [trace]
    assert (listed.steps or ("",), listed.cut_off) == (steps, cut_off)


def test_copies_and_empty_solutions_are_left_out_and_counted(tmp_path: Path):
    rows = [{"id": "p", "solution": text} for text in ("a\n\nb", " \n\n", "a\n\nb", "a\n\nc")]
    found = distinct(read(tmp_path, *rows))
    assert [trace.prefix(2) for trace in found.traces] == ["a\n\nb", "a\n\nc"]
    assert (found.copies, found.empty) == (1, 1)
    with pytest.raises(UsageError, match="none with a complete step"):
        distinct(read(tmp_path, rows[1]))


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        ({"id": "q", "solution": "a"}, {}, r"jsonl:1: problem 'q' has no problem text"),
        ({"problem": "Why?", "solution": "a"}, {}, "'Why\\?' has no reference answer"),
        ({"id": "p", "soluton": "a"}, {}, "no column with solutions"),
        ({"id": "p", "solution": "a"}, {"solution": "soluton"}, "Did you mean 'solution'"),
        ({"id": "p", "steps": "a"}, {}, "jsonl:1: steps must be a list of texts"),
        ({"id": "p", "steps": ["a", " "]}, {}, "jsonl:1: step 1 is empty"),
    ],
)
def test_what_is_unusable_is_said_with_its_place(
    tmp_path: Path, row: dict, columns: dict, message: str
):
    with pytest.raises(UsageError, match=message):
        read(tmp_path, row, columns=columns)


def test_a_judge_needs_no_reference(tmp_path: Path):
    row = {"problem": "Why?", "solution": "a"}
    [trace] = read(tmp_path, row, needs_reference=False)
    assert trace.reference is None


def test_files_that_are_not_there_or_empty_are_errors(tmp_path: Path):
    (tmp_path / "empty.jsonl").write_text("")
    for name, kind in (("no.jsonl", DatasetError), ("empty.jsonl", UsageError)):
        with pytest.raises(kind):
            list(Solutions(tmp_path / name, Known([]), {}).read())
    with pytest.raises(StoreError, match=r"no manifest\.json"):
        list(Solutions(tmp_path, Known([]), {}).read())


BEAMS = {"strategy": "beam_search", "n": [4], "beam_width": 2}


class TestOfARun:
    """The candidates of a finished run, by the suite that made it."""

    @pytest.fixture
    def finished(self, tmp_path: Path, write_suite, cli) -> Path:
        suite = write_suite(slip=0.3, sampling={"max_tokens": 60})
        data = yaml.safe_load(suite.read_text())
        data["strategies"] = ["greedy", {"strategy": "best_of_n", "n": [4]}, BEAMS]
        suite.write_text(yaml.safe_dump(data))
        done = cli("run", suite, "--output-path", tmp_path / "results", "--display", "none")
        assert done.returncode == 0, done.stderr
        return suite

    def test_every_candidate_is_a_trace_with_its_whole_text(self, finished, tmp_path, capsys):
        output = tmp_path / "labels.jsonl"
        words = ["mc", finished, "--solutions", tmp_path / "results" / "s" / "latest", "-k", 2]
        words += ["--output", output, "--output-path", tmp_path / "results", "--display", "none"]
        assert label(args=list(map(str, words)), standalone_mode=False) == 0
        rows = read_labels(output).values()
        assert {row.problem_id for row in rows} == {f"p{i}" for i in range(6)}
        # What was cut off at 60 characters, or paused in a search, ends with a whole step.
        cut = [row for row in rows if row.finish_reason == "length"]
        assert cut
        assert all(row.completions[-1].endswith("\n\n") and row.correct is None for row in cut)
        whole = [row for row in rows if row.finish_reason == "stop"]
        assert all("\\boxed{" in row.completions[-1] for row in whole)

    def test_candidates_of_a_search_have_the_texts_of_all_their_steps(self, finished, tmp_path):
        run = resolve_run(tmp_path / "results" / "s")
        dataset = JsonlDataset(str(tmp_path / "problems.jsonl"))
        traces = [t for t in Solutions(run.folder, dataset, {}).read() if "beam" in t.where]
        assert traces
        for trace in traces:
            first = trace.problem.text.split()[2]
            assert trace.steps[0].startswith(f"{first} + 3 = "), "whole, not its last part"

    def test_a_suite_of_other_problems_is_refused(self, finished, tmp_path):
        words = ["mc", finished, "--solutions", tmp_path / "results" / "s" / "latest"]
        words += ["--output", tmp_path / "l.jsonl", "--set", ""]
        other = tmp_path / "other.jsonl"
        other.write_text('{"id": "x", "problem": "1?", "reference": 1}\n')
        words[-1] = f"dataset.path={other}"
        with pytest.raises(UsageError, match="is not in the suite's data set"):
            label(args=list(map(str, words)), standalone_mode=False)
