"""Recordings taken at their word: answers, verdicts, layouts of public pools, and several files."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tts_bench.report.points.point import read_points
from tts_bench.store.runs import resolve_run

VOTES = [
    {"id": "a", "pred": ["B", "N", "N", "B", "C"], "correct": [True, False, False, True, False]},
    {"id": "b", "pred": ["A", "A", None, "", "D"], "correct": [False, False, False, False, True]},
]
"""Answers and verdicts, and nothing else."""
RECORDED = ("--answers", "recorded", "--verdicts", "recorded")


@pytest.fixture
def bench(tmp_path: Path, cli, undrawn):
    """Import rows, or files of them; returns what was said and the points of the run."""

    def bench(*files: list[dict[str, Any]] | Path, options: tuple[str, ...] = ()) -> Any:
        paths = []
        for number, file in enumerate(files):
            path = file if isinstance(file, Path) else tmp_path / f"f{number}.jsonl"
            if not isinstance(file, Path):
                path.write_text("".join(json.dumps(row) + "\n" for row in file))
            paths.append(path)
        code, out, err = cli("import", *paths, "-o", tmp_path / "r", "--name", "p", *options)
        said = " ".join(out.split())
        return (code, said, err, read_points(resolve_run(tmp_path / "r" / "p")) if not code else 0)

    return bench


def values(found: Any, name: str) -> dict[str, float]:
    return next(dict(one.by_problem) for one in found.points if one.name == name)


def pools_of(found: Any) -> dict[str, Any]:
    return {one.problem: one.pool for one in found.run.attempts()}


def test_recorded_answers_vote_and_recorded_verdicts_count(bench):
    code, said, err, found = bench(VOTES, options=(*RECORDED, "--no-answer", "N"))
    assert code == 0, err
    # Without N the two B win; with N there would be a tie.
    assert values(found, "self_consistency@5") == {"a": 1.0, "b": 0.0}
    assert pools_of(found)["b"].answer == ("A", "A", None, None, "D")
    assert pools_of(found)["b"].answer_class == (0, 0, -1, -1, 1)
    assert "verdicts are the recording's; nothing was graded here" in said
    assert "vote together, and 'N' is no answer" in said
    assert "a completion of every problem is right: if the problems were selected" in said
    entry = found.run.read_manifest().recording
    assert (entry.answers, entry.verdicts, entry.equal) == ("recorded", "recorded", "literal")


def test_a_word_for_no_answer_that_no_row_has_is_told(bench):
    said = bench(VOTES, options=(*RECORDED, "--no-answer", "n", "--no-answer", "N"))[1]
    assert "note: no recorded answer is 'n'" in said
    assert "no recorded answer is 'N'" not in said


def test_a_declared_word_for_no_answer_changes_the_vote(bench):
    found = bench(VOTES, options=RECORDED)[3]
    assert values(found, "self_consistency@5")["a"] == 0.5


def test_votes_of_recorded_answers_are_literal_unless_asked(bench):
    rows = [{"id": 1, "pred": ["1/2", "0.5", "7"], "correct": [True, True, False]}]
    assert pools_of(bench(rows, options=RECORDED)[3])["1"].answer_class == (0, 1, 2)
    equal = bench(rows, options=(*RECORDED, "--equal", "equivalent"))[3]
    assert pools_of(equal)["1"].answer_class == (0, 0, 1)


def test_recorded_answers_can_be_graded_here(bench):
    rows = [{"id": 1, "answer": "1/2", "pred": ["0.5", "7", None], "correct": [False, False, None]}]
    code, said, err, found = bench(rows, options=("--answers", "recorded"))
    assert code == 0, err
    assert pools_of(found)["1"].correct == (True, False, False)
    assert "1 of 2 recorded ones are not ours" in said


def test_our_answers_may_have_recorded_verdicts(bench):
    rows = [{"id": 1, "completions": [r"\boxed{3}", r"\boxed{4}"], "correct": [False, True]}]
    code, said, err, found = bench(rows, options=("--verdicts", "recorded"))
    assert code == 0, err
    assert pools_of(found)["1"].answer == ("3", "4")
    assert pools_of(found)["1"].correct == (False, True)
    assert "are not ours" not in said


def test_verdicts_alone_give_coverage_and_no_vote(bench):
    rows = [
        {"id": 1, "correct": [True, False, False], "step_scores": [[0.2, 0.9], [0.5], [0.9, 0.1]]},
        {"id": 2, "correct": [False, False, None], "step_scores": [[0.1], [0.2], [0.3]]},
    ]
    code, said, err, found = bench(rows, options=("--verdicts", "recorded"))
    assert code == 0, err
    assert "no answers were recorded, so nothing can vote" in said
    assert "counted as wrong, for no verdict was recorded: 1 candidates" in said
    assert {cell.strategy for cell in found.scope.cells} == {"random_choice", "best_of_n"}
    assert values(found, "random_choice@3") == {"1": pytest.approx(1 / 3), "2": 0.0}
    assert values(found, "best_of_n@3") == {"1": 1.0, "2": 0.0}
    assert all(one.unanswered is None and one.truncated is None for one in found.points)
    page = (found.run.folder / "report.html").read_text("utf-8")
    assert '"no_answer":null' in page.replace(" ", "")
    assert '"votes": [null]' in page


@pytest.mark.parametrize(("how", "best"), [("gmean", 1.0), ("max", 0.0), ("min", 1.0)])
def test_every_aggregate_folds_step_scores(bench, how: str, best: float):
    rows = [{"id": 1, "correct": [True, False], "scores": [[0.6, 0.6], [0.9, 0.3]]}]
    found = bench(rows, options=("--verdicts", "recorded", "--aggregate", how))[3]
    assert values(found, "best_of_n@2")["1"] == best


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (VOTES, (), "no column 'reference' or"),
        (VOTES, (), "--answers recorded --verdicts recorded takes what 'pred' and 'correct' say"),
        (VOTES, ("--answers", "recorded"), "; --verdicts recorded takes what 'correct' says"),
        (VOTES, ("--verdicts", "recorded"), "; --answers recorded takes what 'pred' says"),
        (VOTES, (*RECORDED[:2], "--map", "answer=prd"), "Did you mean 'pred'?"),
        (VOTES, ("--no-answer", "N"), "add --answers recorded"),
        (VOTES, ("--map", "answer=pred"), "read only with --answers recorded"),
        (VOTES, ("--verdicts", "ours", "--map", "verdict=correct"), "read only with --verdicts"),
        ([{"id": 1, "pred": ["1"], "correct": [None]}], RECORDED, "'correct' holds no verdict"),
        ([{"id": 1, "pred": [["1"]], "correct": [True]}], RECORDED, "an answer is no text"),
        ([{"id": 1, "answer": None, "completions": ["1"], "correct": [True]}], (), "--verdicts"),
        (
            [{"id": 1, "correct": [True], "scores": [[-1.0]]}],
            ("--verdicts", "recorded", "--aggregate", "gmean"),
            "a geometric mean of a score below 0",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_one_line(bench, tmp_path, rows, options, message):
    code, _, err, _ = bench(rows, options=options)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "r").exists()


def test_only_the_first_draws_of_each_pool_if_asked(bench):
    found = bench(VOTES, options=(*RECORDED, "--first", "2"))[3]
    assert [one.name for one in found.points] == ["self_consistency@1", "self_consistency@2"]


WIDE = {
    "problem_id": "p1", "problem": "1 + 1?", "answer": "2",
    "rollout_1": r"\boxed{2}", "rollout_2": r"\boxed{3}", "rollout_10": r"\boxed{2}",
    "correct_1": True, "correct_2": False, "correct_10": True,
}  # fmt: skip


def test_numbered_columns_are_one_pool_in_the_order_of_their_numbers(bench):
    found = bench([WIDE, {**WIDE, "problem_id": "p2", "rollout_10": None, "correct_10": None}])[3]
    assert pools_of(found)["p1"].answer == ("2", "3")
    assert pools_of(found)["p1"].correct == (True, False)
    other = {**WIDE, "gen.1.txt": "4", "gen.2.txt": "2", "gen.10.txt": "5"}
    found = bench([other], options=("--map", "text=gen.*.txt", "--map", "verdict=correct_*"))[3]
    assert pools_of(found)["p1"].answer == ("4", "2", "5")


def test_numbered_columns_that_do_not_match_are_one_line(bench):
    lacking = {name: cell for name, cell in WIDE.items() if name != "correct_10"}
    code, _, err, _ = bench([lacking])
    assert code == 2
    assert (
        "f0.jsonl:1: numbered columns that do not match: 3 of rollout_* and 2 of correct_*" in err
    )


def test_a_pattern_that_no_column_has_is_told(bench):
    code, _, err, _ = bench([WIDE], options=("--map", "text=rolout_*"))
    assert code == 2
    assert "no column 'rolout_*' for the text" in err
    assert "Did you mean 'rollout_*'?" in err


LISTS = [
    lambda values: repr(list(values)),
    lambda values: str(np.array(values, dtype=object)),
    lambda values: repr(np.array(values, dtype=object)),
    json.dumps,
]


@pytest.mark.parametrize("write", LISTS, ids=["python", "numpy", "array", "json"])
def test_lists_in_the_cells_of_a_csv_file_are_lists(bench, tmp_path, write):
    path = tmp_path / "t.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "answer", "samples", "is_corrects", "scores", "output_tokens"])
        texts = ["it's \\boxed{2}", 'so "3"\n#### 3']
        cells = [texts, [True, False], [[0.5, 0.25], [1.0]], [7, 8]]
        rows.writerow(["x", "2", *map(write, cells)])
    code, said, err, found = bench(path, options=("--aggregate", "last"))
    assert code == 0, err
    pool = pools_of(found)["x"]
    assert (pool.answer, pool.correct, pool.tokens) == (("2", "3"), (True, False), (7, 8))
    assert pool.score == (0.25, 1.0)
    assert "0 of 2 recorded ones are not ours" in said


def test_a_list_of_numbers_is_no_list_of_answers_unless_there_are_verdicts_for_each(bench):
    one = {"id": 1, "pred": "[1, 2]", "correct": True}
    assert pools_of(bench([one], options=RECORDED)[3])["1"].answer == ("[1, 2]",)
    two = {"id": 1, "pred": "[1, 2]", "correct": "[True, False]"}
    assert pools_of(bench([two], options=RECORDED)[3])["1"].answer == ("1", "2")


def test_a_list_cut_short_is_told(bench):
    cut = {"id": 1, "answer": "2", "samples": "['a' 'b' ... 'c']"}
    code, _, err, _ = bench([cut])
    assert (code, "f0.jsonl:1: a list is cut short by '...'" in err) == (2, True)


MATH_ARENA = [
    {"problem_idx": 1, "model_name": model, "idx_answer": i, "gold_answer": "70",
     "answer": f"so \\boxed{{{said}}}", "parsed_answer": said, "correct": said == "70",
     "output_tokens": 10 + i, "cost": 0.1}
    for model in ("one", "two") for i, said in ((1, "7"), (0, "70"))
]  # fmt: skip


def test_rows_of_one_completion_each_are_pools_of_one_model(bench):
    code, _, err, _ = bench(MATH_ARENA)
    assert code == 2
    assert "f0.jsonl:3: the completions of '1' are of several models, 'one' and 'two'" in err
    assert "--where model_name=one" in err
    code, _, err, found = bench(MATH_ARENA, options=("--where", "model_name=two"))
    assert code == 0, err
    pool = pools_of(found)["1"]
    assert (pool.answer, pool.tokens, pool.correct) == (("70", "7"), (10, 11), (True, False))
    both = ("--where", "model_name=two", "--where", "model_name=one")
    assert len(pools_of(bench(MATH_ARENA, options=both)[3])["1"]) == 4


def test_names_of_public_pools_are_known(bench):
    openr1 = {"uuid": "u", "problem": "?", "answer": "4", "solution": "so 4",
              "generations": ["\\boxed{4}", "\\boxed{5}"], "correctness_math_verify": [True, False],
              "is_reasoning_complete": [True, False], "finish_reasons": None}  # fmt: skip
    bon = {"unique_id": "u", "problem": "?", "ground_truth_answer": "4", "answer": "own words",
           "sampled_solutions": ["\\boxed{4}", "\\boxed{5}"],
           "sampled_prm_scores": [[0.5, 0.75], [0.25]]}  # fmt: skip
    code, _, err, found = bench([openr1, {**openr1, "uuid": "v"}])
    assert code == 0, err
    assert pools_of(found)["u"].correct == (True, False)
    assert found.scope.recording.selected
    code, _, err, found = bench([bon])
    assert code == 0, err
    assert pools_of(found)["u"].score == (0.75, 0.25)


ONE = [{"id": i, "answer": str(i), "completions": [str(i), "9"], "score": [0.5, 1]} for i in "123"]
TWO = [{"id": i, "answer": str(i), "completions": ["8"], "score": [0.1]} for i in "321"]


def test_several_files_are_draws_of_one_pool_by_id_or_by_line(bench):
    code, _, err, found = bench(ONE, TWO)
    assert code == 0, err
    assert pools_of(found)["3"].answer == ("3", "9", "8")
    assert pools_of(found)["1"].score == (0.5, 1.0, 0.1)
    nameless = [{"answer": one["answer"], "completions": ["7"], "score": [0]} for one in ONE]
    code, _, err, found = bench(ONE, nameless, options=("--join", "line"))
    assert code == 0, err
    assert pools_of(found)["2"].answer == ("2", "9", "7")


@pytest.mark.parametrize(
    ("other", "join", "message"),
    [
        (TWO[:2], "id", "f1.jsonl: no problem '1', which"),
        ([*TWO, {**TWO[0], "id": "4"}], "id", "f0.jsonl: no problem '4', which"),
        (TWO[:2], "line", "f1.jsonl: 2 problems, and"),
        (TWO, "line", "f1.jsonl: another reference of problem '1' than in"),
        ([{**one, "answer": "0"} for one in TWO], "id", "another reference of problem '1'"),
        ([{k: one[k] for k in ("id", "answer", "completions")} for one in TWO], "id", "no score"),
    ],
)
def test_files_that_do_not_match_are_one_line(bench, other, join, message):
    code, _, err, _ = bench(ONE, other, options=("--join", join))
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_what_is_not_recorded_is_unknown_in_tables_and_on_the_page(bench):
    found = bench(VOTES, options=RECORDED)[3]
    table = pd.read_csv(found.run.folder / "table.csv")
    for column in ("tokens", "seconds", "truncated", "policy_flops_ideal"):
        assert table[column].isna().all(), column
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (found.run.folder / "table.md").read_text().splitlines()
        if line.startswith("|")
    ]
    for row in rows:
        shown = dict(zip(head, row, strict=True))
        assert {shown["tokens/problem"], shown["truncated %"]} <= {"–", "-"}
    page = (found.run.folder / "report.html").read_text("utf-8")
    overview = re.search(r'<script[^>]*id="overview"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert overview is not None
    points = json.loads(overview[1])["summary"]["points"]
    assert len(points) == 3
    for point in points:
        unknown = point["policy"]["completion_tokens"], point["seconds"], point["truncated"]
        assert unknown == (None, None, None)


def test_answers_of_one_class_with_two_verdicts_are_told(bench):
    rows = [{"id": 1, "pred": ["7", "7"], "correct": [True, False]}]
    said = bench(rows, options=RECORDED)[1]
    assert "answers that vote together have different verdicts in 1 of 1 problems" in said


def test_draws_stand_in_the_order_of_their_numbers_also_where_these_are_texts(bench):
    rows = [
        {"id": 1, "draw": number, "pred": number, "correct": number == "2"}
        for number in ("10", "2", "1", "0")
    ]
    code, _, err, found = bench(rows, options=(*RECORDED, "--map", "draw=draw"))
    assert code == 0, err
    assert pools_of(found)["1"].answer == ("0", "1", "2", "10")


def test_a_verdict_that_is_not_there_is_no_other_verdict(bench):
    rows = [{"id": 1, "pred": ["5", "5"], "correct": [True, None]}]
    code, said, err, _ = bench(rows, options=RECORDED)
    assert code == 0, err
    assert "different verdicts" not in said
