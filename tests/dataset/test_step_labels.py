from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.dataset.step_labels import StepLabels
from tts_bench.errors import DatasetError

PROCESSBENCH = {
    "id": "gsm8k-1",
    "split": "gsm8k",
    "problem": "1 + 1 + 1?",
    "steps": ["1 + 1 = 2", "2 + 1 = 4", "It is 4."],
    "label": 1,
    "final_answer_correct": False,
}
TRL = {"prompt": "1 + 1?", "completions": ["One.\n\n", "Two."], "labels": [True, False]}


@pytest.fixture
def read(tmp_path: Path):
    def read(*rows: dict, **settings):
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return StepLabels(str(path), **settings).read()

    return read


def test_processbench_knows_nothing_of_the_steps_behind_the_first_error(read):
    [one, none] = read(PROCESSBENCH, PROCESSBENCH | {"label": -1, "final_answer_correct": True})
    assert one.labels == (True, False, None)
    assert (one.first_error, one.correct, one.group, one.id) == (1, False, "gsm8k", "gsm8k-1")
    assert none.labels == (True, True, True)
    assert (none.first_error, none.correct) == (-1, True)
    assert one.problem_id == none.problem_id


def test_processbench_of_the_hub_has_its_parts_in_the_ids(read):
    row = {key: value for key, value in PROCESSBENCH.items() if key != "split"}
    found = read(row, row | {"id": "omnimath-20"}, row | {"id": 7}, row | {"id": "x-y"})
    assert [one.group for one in found] == ["gsm8k", "omnimath", "", ""]


def test_trl_labels_are_truth_values_also_as_numbers(read):
    rows = TRL, TRL | {"labels": [0, 1], "prompt": "2 + 2?"}
    [one, other] = read(*rows)
    assert one.steps == ("One.\n\n", "Two.")
    assert one.labels == (True, False)
    assert other.labels == (False, True)
    assert (one.correct, one.problem_id == other.problem_id) == (None, False)


@pytest.mark.parametrize(
    ("neutral", "label"), [("positive", True), ("negative", False), ("ignore", None)]
)
def test_of_ratings_zero_is_neutral(read, neutral, label):
    row = {"problem": "p", "steps": ["a", "b", "c", "d"], "ratings": [1, 0, None, -1]}
    [one] = read(row, neutral=neutral)
    assert one.labels == (True, label, None, False)
    assert one.first_error == (1 if neutral == "negative" else 3)


def test_ratings_are_known_by_their_column_or_by_one_that_is_negative(read):
    row = {"problem": "p", "steps": ["a", "b"]}
    [one] = read(row | {"ratings": [1, 0]}, neutral="ignore")
    assert one.labels == (True, None)
    first, other = read(row | {"labels": [0, -1]}, row | {"labels": [1, 0]}, neutral="ignore")
    assert (first.labels, other.labels) == ((None, False), (True, None))
    [named] = read(row | {"r": [1, -1]}, columns={"labels": "r"})
    assert named.labels == (True, False)


def test_steps_under_two_usual_names_are_an_error_that_names_both(read):
    with pytest.raises(DatasetError, match=r"'steps' and 'completions' may each be the steps"):
        read(TRL | {"steps": ["a", "b"]})


def test_prm800k_as_published_follows_what_the_labeller_chose(read):
    def option(text, rating):
        return {"text": text, "rating": rating, "flagged": False}

    steps = [
        {"completions": [option("no", -1), option("yes", 1)], "chosen_completion": 1},
        {"completions": None, "human_completion": option("mine", None), "chosen_completion": None},
        {"completions": [option("hm", 0)], "chosen_completion": 0},
        {"completions": [option("off", -1), option("worse", -1)], "chosen_completion": None},
    ]
    row = {
        "labeler": "x",
        "question": {"problem": "Why?", "ground_truth_answer": "2"},
        "label": {"steps": steps, "finish_reason": "found_error"},
    }
    [one] = read(row)
    assert one.problem == "Why?"
    assert one.steps == ("yes", "mine", "hm", "off")
    assert one.labels == (True, None, True, False)


def test_math_shepherd_is_cut_at_its_marks(read):
    problem = "Tom has 3 - 1 apples. How many?"
    text = f"{problem} Step 1: 3 - 1 = 2. ки\nStep 2: So 2 + 1 = 3. ки\nThe answer is: 3 ки"
    row = {"input": text, "label": text.replace("ки", "+", 1).replace("ки", "-"), "task": "GSM8K"}
    [one] = read(row)
    assert one.problem == problem
    assert one.steps == ("Step 1: 3 - 1 = 2.", "Step 2: So 2 + 1 = 3.", "The answer is: 3")
    assert one.labels == (True, False, False)


def test_columns_of_other_names_are_mapped(read):
    row = {"q": "p", "cut": ["a", "b"], "ok": [True, True], "who": 7, "answered": True}
    columns = {"problem": "q", "steps": "cut", "labels": "ok", "id": "who", "correct": "answered"}
    [one] = read(row, columns=columns)
    assert (one.problem, one.id, one.correct, one.labels) == ("p", "7", True, (True, True))
    with pytest.raises(DatasetError, match=r"--column step=cut: no role 'step',.* mean 'steps'"):
        read(row, columns={"step": "cut"})
    with pytest.raises(DatasetError, match="no column 'cutt' for the steps; there are"):
        read(row, columns={"steps": "cutt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 3}, "step 3 is the first wrong one of 3 steps"),
        ({"label": "1"}, "must be an index, not '1'"),
        ({"label": True}, "must be an index, not True"),
        ({"label": None}, "no labelled steps; .* the columns id, split, problem"),
        ({"steps": "1 + 1 = 2"}, "steps must be a list"),
        ({"steps": [], "label": -1}, "has no steps"),
        ({"steps": ["a", "  "], "label": -1}, "a step must be a text that is not empty"),
        ({"problem": ""}, "a problem must be a text"),
        ({"final_answer_correct": "yes"}, "a correct must be true or false"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(read, change, message):
    with pytest.raises(DatasetError, match=r"rows\.jsonl:2: .*" + message):
        read(PROCESSBENCH, PROCESSBENCH | change)


def test_labels_and_steps_of_different_number_are_an_error(read):
    with pytest.raises(DatasetError, match=r"rows\.jsonl:1: has 1 labels for 2 steps"):
        read(TRL | {"labels": [True]})
    with pytest.raises(DatasetError, match="a label must be true or false, not 'yes'"):
        read(TRL | {"labels": ["yes", "no"]})


def test_rows_without_labels_and_files_without_rows_are_one_clear_line(read, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"no labelled steps; .* the columns problem"):
        read({"problem": "p", "answer": "1"})
    with pytest.raises(DatasetError, match="is empty"):
        read()
    with pytest.raises(DatasetError, match="no such file"):
        StepLabels(str(tmp_path / "absent.jsonl")).read()
    for source in ("an odd name", "./absent", "../absent/x", "~/absent", "absent/"):
        with pytest.raises(DatasetError, match="no such file or folder, and no id of the Hugging"):
            StepLabels(source).read()


def test_a_hub_id_is_fetched_as_it_is_named(monkeypatch):
    from tts_bench.dataset import step_labels
    from tts_bench.dataset.row import Row

    asked = []

    def download(*place):
        asked.append(place)
        return [Row("Qwen/ProcessBench row 1", PROCESSBENCH)], "abc"

    monkeypatch.setattr(step_labels, "download", download)
    [one] = StepLabels("Qwen/ProcessBench", split="gsm8k+math", revision="r").read()
    assert asked == [("Qwen/ProcessBench", None, "gsm8k+math", "r")]
    assert one.first_error == 1


def test_processbench_as_it_lies_in_the_shared_data(shared_data: Path):
    found = StepLabels(str(shared_data / "processbench_sample.jsonl")).read()
    assert len(found) == 197
    lines = (shared_data / "processbench_sample.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [one.first_error for one in found] == [row["label"] for row in rows]
    assert {one.group for one in found} == {"gsm8k", "math", "olympiadbench", "omnimath"}


def test_prm800k_as_it_lies_in_the_shared_data(shared_data: Path):
    found = StepLabels(str(shared_data / "prm800k_sample.jsonl")).read()
    assert [one.first_error for one in found] == [-1, 6, -1, -1, -1, -1, -1, -1]
    # The labeller gave up at the ninth step, which has no text.
    assert len(found[4].steps) == 8
    assert found[0].labels == (True, None, True, True, True, True)
    strict = StepLabels(str(shared_data / "prm800k_sample.jsonl"), neutral="negative").read()
    assert strict[1].first_error == 1
