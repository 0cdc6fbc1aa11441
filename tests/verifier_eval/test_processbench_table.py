"""ProcessBench's table: the threshold fitted on one part, every part told, from recorded scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def verify(tmp_path: Path, cli):
    def verify(rows: list[dict], *options: str):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = ("--output", str(tmp_path / "out"), "--resamples", "20")
        return cli("verify", "recorded", file, *output, *options)

    return verify


def labelled(part: str, number: int, label: int, scores: list[float]) -> dict:
    return {
        "id": f"{part}-{number}",
        "problem": f"{part} {number}",
        "steps": [f"step {i}" for i in range(len(scores))],
        "label": label,
        "step_scores": scores,
    }


ROWS = [
    # On gsm8k every threshold in (0.4, 0.6] is best; its middle, 0.5, is taken.
    labelled("gsm8k", 0, -1, [0.9, 0.6]),
    labelled("gsm8k", 1, 1, [0.9, 0.4]),
    # On math one of two wrong ones is found there, and both right ones are left alone.
    labelled("math", 0, 0, [0.1, 0.2]),
    labelled("math", 1, 1, [0.9, 0.7]),
    labelled("math", 2, -1, [0.8, 0.8]),
    labelled("math", 3, -1, [0.7, 0.5]),
]


def figures(folder: Path) -> dict[str, float]:
    metrics = json.loads((folder / "out" / "verify.json").read_text())["metrics"]
    return {one["metric"]: one["value"] for one in metrics}


def test_the_threshold_of_one_part_serves_all_and_the_part_is_told_too(verify, tmp_path):
    code, out, err = verify(ROWS, "--fit-on", "gsm8k")
    assert code == 0, err
    found = figures(tmp_path)
    assert json.loads((tmp_path / "out" / "verify.json").read_text())["threshold"] == 0.5
    assert found["F1, gsm8k"] == 1
    assert (found["math, with an error"], found["math, without an error"]) == (0.5, 1.0)
    assert found["F1, math"] == pytest.approx(2 / 3)
    assert found["F1, mean of parts"] == pytest.approx(5 / 6)
    assert found["F1, mean by size"] == pytest.approx((2 * 1 + 4 * 2 / 3) / 6)
    assert "fitted on gsm8k, which is reported, too" in out


def test_a_given_threshold_counts_a_score_at_it_as_right(verify, tmp_path):
    assert verify(ROWS, "--threshold", "0.5")[0] == 0
    assert figures(tmp_path)["F1, mean of parts"] == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fit-on", "gsm8"), "no such part, only gsm8k, math. Did you mean 'gsm8k'"),
        (("--fit-on", "math", "--threshold", "0.5"), "exclude each other"),
    ],
)
def test_a_threshold_that_cannot_be_fitted_so_is_one_line(verify, options, words):
    code, _, err = verify(ROWS, *options)
    assert (code, err.count("\n")) == (2, 1)
    assert words in err


@pytest.mark.parametrize("scores", [[0.5], [0.5, None], [0.5, float("inf")], None, [0.5, True]])
def test_a_step_without_a_recorded_score_is_one_line_with_its_place(verify, scores):
    code, _, err = verify([ROWS[0] | {"step_scores": scores}, ROWS[1]])
    assert (code, err.count("\n")) == (2, 1)
    assert "must have a finite number for each of 2 steps" in err


def test_without_recorded_scores_the_missing_column_is_named(verify):
    bare = [{name: cell for name, cell in row.items() if name != "step_scores"} for row in ROWS]
    code, _, err = verify(bare)
    assert code == 2
    assert "no column 'step_scores' or 'step_score' or 'scores' for the score" in err
