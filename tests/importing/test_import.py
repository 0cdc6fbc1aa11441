"""Recorded completions as runs: the public layouts, by hand, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from tts_bench.dataset.columns import POOLS, Columns
from tts_bench.dataset.row import Row
from tts_bench.dataset.rows import read_rows
from tts_bench.errors import DatasetError, UsageError
from tts_bench.importing.layout import Layout
from tts_bench.importing.pools import RecordedPool, read_pools
from tts_bench.importing.searched import SignsOfSearch
from tts_bench.importing.table import Table
from tts_bench.report.points.point import read_points
from tts_bench.store.runs import resolve_run


def rows(*cells: dict) -> list[Row]:
    return [Row(f"f:{i}", one) for i, one in enumerate(cells, 1)]


def pools_of(table: list[Row], mapping: dict[str, str] | None = None) -> list[RecordedPool]:
    return list(read_pools(Table(lambda _: table, "f"), Layout(str, mapping or {})))


LISTS = [
    {
        "unique_id": f"algebra/{i}",
        "problem": f"What is {i} + 1?",
        "answer": str(i + 1),
        "completions": [rf"It is \boxed{{{i + 1 + wrong}}}." for wrong in (0, 1, 0, 2)],
        "scores": [[0.9, 0.8], [0.9, 0.1], [0.5, 0.7], [0.2, 0.9 if i else 0.1]],
        "level": "Level 2",
    }
    for i in range(3)
]
"""As search-and-learn writes them: a row for each problem, step scores."""
SAMPLES = [
    {
        "question": f"What is {i} * 2?",
        "gt_answer": f"so 2 * {i}\n#### {2 * i}",
        "samples": [f"#### {2 * i}", "The answer is 7."],
        "is_corrects": [True, i == 1],
    }
    for i in (1, 2)
]
"""As Large Language Monkeys publishes them: verdicts, no scores."""


@pytest.fixture
def run_import(tmp_path: Path, cli):
    def run_import(data: list[dict], *options: str, suffix: str = "jsonl"):
        file = tmp_path / f"pools.{suffix}"
        if suffix == "jsonl":
            file.write_text("".join(json.dumps(row) + "\n" for row in data))
        else:
            pd.DataFrame(data).to_parquet(file)
        return cli("import", file, "-o", tmp_path / "results", *options)

    return run_import


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_step_scores_select_by_their_aggregate(run_import, tmp_path, suffix):
    code, out, err = run_import(LISTS, "--name", "sal", suffix=suffix)
    assert code == 0, err
    run = read_points(resolve_run(tmp_path / "results" / "sal"))
    values = {one.name: one.values["accuracy"] for one in run.points}
    # By the last step, the fourth completion (wrong) wins but for problem 0.
    assert values["best_of_n@4"] == {"algebra/0": 1.0, "algebra/1": 0.0, "algebra/2": 0.0}
    assert values["self_consistency@4"] == dict.fromkeys(values["best_of_n@4"], 1.0)
    assert values["best_of_n@1"]["algebra/1"] == 0.5
    assert run.scope.levels == dict.fromkeys(values["best_of_n@4"], 2)
    assert "accuracy" in out
    frame = pd.read_parquet(run.run.folder / "candidates.parquet")
    assert frame.text.str.startswith("It is").all()
    assert frame[frame.cell == "best_of_n?n=4"].steps.map(len).eq(2).all()


def test_another_aggregate_chooses_another_completion(run_import, tmp_path):
    assert run_import(LISTS, "--aggregate", "min")[0] == 0
    run = read_points(resolve_run(tmp_path / "results" / "pools"))
    best = next(one for one in run.points if one.name == "best_of_n@4")
    assert set(best.values["accuracy"].values()) == {1.0}


def test_recorded_verdicts_stay_beside_ours_and_disagreements_are_listed(run_import, tmp_path):
    code, out, err = run_import(SAMPLES, "--n", "1")
    assert code == 0, err
    run = resolve_run(tmp_path / "results" / "pools")
    lines = (run.folder / "disagreements.jsonl").read_text().splitlines()
    listed = [json.loads(line) for line in lines]
    assert [(row["candidate"], row["recorded"], row["ours"]) for row in listed] == [
        (1, True, False)
    ]
    assert "1 of 4 recorded ones are not ours" in out
    assert len((run.folder / "recorded_verdicts.jsonl").read_text().splitlines()) == 4
    # Without scores there is nothing for best-of-N to read.
    assert {cell.strategy for cell in run.read_manifest().cells} == {"self_consistency"}
    assert "tokens" in out
    assert run.read_manifest().status == "complete"


def test_the_report_shows_each_problem_with_its_text_and_reference(run_import, tmp_path):
    code, _, err = run_import(SAMPLES)
    assert code == 0, err
    run = resolve_run(tmp_path / "results" / "pools")
    page = (run.folder / "report.html").read_text("utf-8")
    overview = re.search(r'<script[^>]*id="overview"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert overview is not None
    shown = json.loads(overview[1])["problems"]
    assert [(one["text"], one["reference"]) for one in shown] == [
        ("What is 1 * 2?", "2"),
        ("What is 2 * 2?", "4"),
    ]
    assert read_points(run).scope.contents == {
        one["id"]: (one["text"], one["reference"]) for one in shown
    }


def test_a_row_may_hold_one_completion_and_pools_are_cut_to_the_smallest():
    found = pools_of(
        rows(
            {"id": "a", "answer": "1", "text": "1", "score": 0.5, "tokens": 3},
            {"id": "b", "answer": "2", "text": "2", "score": 1, "tokens": 4},
            {"id": "a", "answer": "1", "text": "2", "score": 0.25, "tokens": 5},
        ),
    )
    assert [(pool.item.problem.id, pool.text, pool.score, pool.tokens) for pool in found] == [
        ("a", ("1", "2"), (0.5, 0.25), (3, 5)),
        ("b", ("2",), (1.0,), (4,)),
    ]
    assert found[0].first(1).score == (0.5,)


@pytest.mark.parametrize(
    ("cells", "mapping", "message"),
    [
        ([], {}, "f is empty"),
        (
            [{"id": "a", "answer": "1"}],
            {},
            r"no column 'completion' or .*; name it: --map text=NAME",
        ),
        ([{"text": "t", "answer": "1"}], {}, "neither an id nor a problem"),
        ([{"id": "a", "answer": "", "text": "t"}], {}, "f:1: no reference"),
        ([{"id": "", "answer": "1", "text": "t"}], {}, "f:1: no id"),
        ([{"id": "a", "answer": "1", "text": 5}], {}, "f:1: a completion is no text"),
        ([{"id": "a", "answer": "1", "text": []}], {}, "no completion of 'a'"),
        (
            [{"id": "a", "answer": "1", "text": ["x"], "scores": [1, 2]}],
            {},
            "different lengths: 1 in 'text', 2 in 'scores'",
        ),
        ([{"id": "a", "answer": "1", "text": "t", "score": "good"}], {}, "is no number .*: 'good'"),
        ([{"id": "a", "answer": "1", "text": "t", "tokens": -1}], {}, "no count .*: -1"),
        ([{"id": "a", "answer": "1", "text": "t", "correct": "yes"}], {}, "not true or false"),
        (
            [{"id": "a", "answer": "1", "text": "t"}, {"id": "a", "answer": "2", "text": "t"}],
            {},
            "f:2: another problem or reference under the id 'a'",
        ),
    ],
)
def test_unusable_rows_are_told_with_their_place(cells, mapping, message):
    with pytest.raises(DatasetError, match=message):
        pools_of(rows(*cells), mapping)


def test_a_wrong_mapping_gets_a_suggestion():
    cells = rows({"id": "a", "answer": "1", "completions": ["t"]})
    with pytest.raises(UsageError, match=r"no column 'completion' for the text; .*'completions'\?"):
        pools_of(cells, {"text": "completion"})
    with pytest.raises(UsageError, match=r"--map texts=completions: no role .* mean 'text'"):
        pools_of(cells, {"texts": "completions"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "8"], "--n 8: the smallest pool has 4 completions"),
        (["--n", "four"], "must be numbers"),
        (["--map", "text"], "must be ROLE=NAME"),
        (["--map", "text=completions", "--map", "text=completions"], "text is named twice"),
        (["--name", "latest"], '--name must not be "latest"'),
        (["--name", "generations.sqlite"], '--name must not be "generations.sqlite"'),
    ],
)
def test_wrong_options_are_one_line(run_import, options, message):
    code, _, err = run_import(LISTS, *options)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


GOOD = {"problem": "P1", "answer": "12", "completion": "so \\boxed{12}", "score": 0.5}
BAD: dict[str, tuple[str, str]] = {
    "nan": ('{"problem":"P1","answer":"12","completion":"x","score":NaN}', "score is not finite"),
    "inf": ('{"problem":"P1","answer":"12","completion":"x","score":-Infinity}', "not finite"),
    "huge": ('{"problem":"P1","answer":"12","completion":"x","score":1e999}', "not finite"),
    "long": (
        f'{{"problem":"P1","answer":"12","completion":"x","score":{"9" * 400}}}',
        "not finite",
    ),
    "longer": (f'{{"problem":"P1","answer":{"9" * 5000}}}', "thousands of digits"),
    "steps": ('{"problem":"P1","answer":"12","completion":"x","score":[0.5,NaN]}', "not finite"),
    "no steps": ('{"problem":"P1","answer":"12","completion":"x","score":[]}', "is empty"),
    "null score": ('{"problem":"P1","answer":"12","completion":"x"}', "a score is no number"),
    "null": ('{"problem":"P1","answer":"12","completion":null,"score":1}', "is no text"),
    "object": ('{"problem":"P1","answer":"12","completion":{"a":1},"score":1}', "is no text"),
    "half": ('{"problem":"P1","answer":"12","completion":"\\ud83d","score":1}', "half of a char"),
    "half id": ('{"problem":"\\udc00","answer":"12","completion":"x","score":1}', "half of a char"),
    "ragged": ('{"problem":"P1","answer":"12","completion":["x","y"],"score":[1]}', "lengths"),
    "no list": ('{"problem":"P1","answer":"12","completion":[],"score":[]}', "no completion"),
    "no answer": ('{"problem":"P1","answer":null,"completion":"x","score":1}', "no reference"),
    "list": ('["P1"]', "an object is expected"),
    "torn": ('{"problem":"P1","answer":"12","comp', "bad JSON"),
    "deep": ("[" * 100_000, "nested too deeply"),
}


@pytest.fixture
def run_lines(tmp_path: Path, cli, undrawn):
    def run_lines(*lines: str, options: tuple[str, ...] = ()):
        (tmp_path / "p.jsonl").write_text("".join(f"{line}\n" for line in lines))
        return cli("import", tmp_path / "p.jsonl", "-o", tmp_path / "results", *options)

    return run_lines


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_one_line_with_its_place_and_leaves_nothing(run_lines, tmp_path, name):
    line, message = BAD[name]
    code, _, err = run_lines(json.dumps(GOOD), "", line)
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "p.jsonl:3: " in err
    assert message in err
    assert len(err) < 600
    assert not (tmp_path / "results").exists()


def test_bad_rows_are_left_out_if_asked_and_counted_by_kind(run_lines, tmp_path):
    lines = [line for line, _ in BAD.values()]
    code, out, err = run_lines(json.dumps(GOOD), *lines, options=("--skip-bad",))
    assert code == 0, err
    assert f"{len(BAD)} of {len(BAD) + 1} rows were left out: " in out
    assert "5 x a score is not finite" in out
    run = resolve_run(tmp_path / "results" / "p")
    left_out = run.read_manifest().dataset.left_out
    assert sum(left_out.values()) == len(BAD)
    assert left_out["half of a character (a lone surrogate)"] == 2
    [attempt] = [one for one in run.attempts() if one.cell.startswith("best_of_n")]
    assert attempt.pool.score == (0.5,)


def test_a_file_of_bad_rows_alone_is_no_run(run_lines, tmp_path):
    code, _, err = run_lines(BAD["nan"][0], BAD["torn"][0], options=("--skip-bad",))
    assert code == 2
    assert "no usable row; left out: 1 x a score is not finite, 1 x bad JSON" in err
    assert run_lines()[0] == run_lines("", "")[0] == 2
    assert not (tmp_path / "results").exists()


def test_an_import_that_fails_while_it_writes_leaves_no_run(run_lines, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "tts_bench.store.runs.append_line", lambda *_: (_ for _ in ()).throw(OSError(28, "full"))
    )
    code, _, err = run_lines(json.dumps(GOOD))
    assert code == 2
    assert "full" in err
    assert [path.name for path in (tmp_path / "results" / "p").iterdir()] in ([], [".lock"])


def test_a_line_of_another_encoding_is_a_bad_row(tmp_path, cli, undrawn):
    path = tmp_path / "p.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"problem": "\xe9"}\n')
    code, _, err = cli("import", path, "-o", tmp_path / "results")
    assert (code, "p.jsonl:2: not UTF-8 text" in err) == (2, True)
    code, out, err = cli("import", path, "-o", tmp_path / "results", "--skip-bad")
    assert code == 0, err
    assert "1 of 2 rows were left out: 1 x not UTF-8 text" in out


def test_a_cell_of_a_csv_file_may_be_long(tmp_path):
    (tmp_path / "p.csv").write_text("id,answer,text\n1,3," + "a" * 300_000 + "\n")
    assert len(str(read_rows(str(tmp_path / "p.csv"))[0].cells["text"])) == 300_000


def test_an_empty_verdict_is_none():
    cells = {"id": 1, "answer": "3", "text": ["3", "4"], "correct": [1.0, float("nan")]}
    [pool] = pools_of(rows(cells))
    assert pool.verdict == (True, None)


def test_the_numbers_of_a_csv_file_are_numbers(tmp_path, cli, undrawn):
    rows = [{**GOOD, "correct": str(right), "tokens": 3} for right in (True, False)]
    pd.DataFrame(rows).to_csv(tmp_path / "p.csv", index=False, encoding="utf-8-sig")
    code, out, err = cli("import", tmp_path / "p.csv", "-o", tmp_path / "results")
    assert code == 0, err
    assert "1 of 2 recorded ones are not ours" in out
    [best] = [
        one
        for one in resolve_run(tmp_path / "results" / "p").attempts()
        if one.cell.startswith("best_of_n")
    ]
    assert (best.pool.score, best.pool.tokens) == ((0.5, 0.5), (3, 3))


CUT = {"problem": "P1", "answer": "3", "completion": "so we have 17 + 3"}


def test_a_text_that_was_cut_off_does_not_vote(run_lines, tmp_path):
    texts = [
        {**CUT, "finish_reason": "length"},
        {**CUT, "finish_reason": "MAX_TOKENS"},
        {**CUT, "finish_reason": "length", "completion": "\\boxed{3}, but wait"},
        {**CUT, "finish_reason": "eos", "completion": "so it is 20"},
        {**CUT, "finish_reason": None},
    ]
    code, _, err = run_lines(*map(json.dumps, texts))
    assert code == 0, err
    [attempt] = resolve_run(tmp_path / "results" / "p").attempts()
    assert attempt.pool.answer == (None, None, "3", "20", "17 + 3")
    assert attempt.pool.finish_reason == ("length", "length", "length", "stop", None)
    frame = pd.read_parquet(tmp_path / "results" / "p" / "latest" / "candidates.parquet")
    assert frame.finish_reason.astype(object).tolist()[:4] == ["length"] * 3 + ["stop"]
    assert pd.isna(frame.finish_reason[4])


@pytest.mark.parametrize("reasons", [["true", "stop"], [True, False], ["END_TURN", "max_length"]])
def test_reasons_may_stand_in_lists(reasons):
    [pool] = pools_of(
        rows({"id": "a", "answer": "1", "text": ["1", "2"], "finish_reasons": reasons}),
    )
    assert len(pool.finish_reason) == 2


def test_an_unknown_reason_is_an_error_with_its_row():
    cells = {"id": "a", "answer": "1", "text": "1", "finish_reason": "tired"}
    message = r"f:1: a finish reason is not known \(column 'finish_reason'\): 'tired'"
    with pytest.raises(DatasetError, match=message):
        pools_of(rows(cells))


def test_what_a_recording_does_not_tell_is_unknown_and_not_0(run_lines, tmp_path):
    code, _, err = run_lines(json.dumps(CUT))
    assert code == 0, err
    run = resolve_run(tmp_path / "results" / "p")
    [attempt] = run.attempts()
    assert attempt.prompt_tokens is None
    assert attempt.policy.completion_tokens is None
    assert attempt.policy.prompt_tokens_ideal is None
    assert attempt.pool.tokens == ()
    assert run.measurements()[attempt.key].seconds is None
    [point] = read_points(run).points
    assert (point.policy.completion_tokens, point.seconds, point.flops) == (None, None, None)
    assert point.values["tokens"] == {}
    assert "nor are all of their lengths known" in run.read_manifest().engine.shape_note


def test_the_length_of_one_text_may_be_unknown(run_lines, tmp_path):
    code, _, err = run_lines(*(json.dumps({**CUT, "tokens": n}) for n in (3, None)))
    assert code == 0, err
    [attempt] = resolve_run(tmp_path / "results" / "p").attempts()
    assert attempt.pool.tokens == (3, None)
    assert attempt.policy.completion_tokens is None


PUBLISHED = {
    "mathArena": (
        {"problem_idx": 1, "answer": "It is 3.", "gold_answer": "3", "output_tokens": 5},
        {
            "id": "problem_idx",
            "text": "answer",
            "reference": "gold_answer",
            "tokens": "output_tokens",
        },
    ),
    "openr1": (
        {
            "problem": "P",
            "answer": "3",
            "solution": "so 3",
            "generations": ["3", "4"],
            "correctness_math_verify": [True, False],
            "is_reasoning_complete": [True, True],
            "finish_reasons": None,
        },
        {"text": "generations", "reference": "answer", "verdict": "correctness_math_verify"},
    ),
    "bon": (
        {
            "problem": "P",
            "answer": "3",
            "ground_truth_answer": "3",
            "sampled_solutions": ["3"],
            "sampled_prm_scores": [[0.5]],
        },
        {
            "text": "sampled_solutions",
            "score": "sampled_prm_scores",
            "reference": "ground_truth_answer",
        },
    ),
    "search-and-learn": (
        {
            "problem": "P",
            "answer": "3",
            "solution": "so 3",
            "completions": ["3"],
            "scores": [[0.5]],
            "agg_scores": [0.5],
            "completion_tokens": [3],
            "unique_id": "a",
        },
        {
            "text": "completions",
            "score": "scores",
            "tokens": "completion_tokens",
            "id": "unique_id",
        },
    ),
    "monkeys": (
        {"question": "P", "samples": ["3"], "is_corrects": [True], "gt_answer": "3"},
        {"text": "samples", "reference": "gt_answer", "verdict": "is_corrects"},
    ),
    "own": (
        {"id": 1, "text": "P", "expected_answer": "3", "response": "3", "answer": "3"},
        {"text": "response", "reference": "expected_answer"},
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_columns_of_published_pools_are_known(name):
    cells, expected = PUBLISHED[name]
    found = Columns(POOLS, {}, ("reference", "text")).find(list(cells), name)
    assert {role: found.get(role) for role in expected} == expected
    assert pools_of(rows(cells))


def test_two_columns_that_may_equally_be_meant_are_refused():
    cells = rows({"id": 1, "answer": "3", "response": "3", "completion": "4"})
    with pytest.raises(DatasetError, match="'completion' and 'response' may each be the text"):
        pools_of(cells, {})


MIXED = [
    {**GOOD, "problem": problem, "model": model, "completion": f"\\\\boxed{{{answer}}}"}
    for problem in ("P1", "P2")
    for model, answer in (("a", 12), ("b", 13))
]


def test_rows_may_be_chosen_by_their_cells(run_lines, tmp_path):
    lines = list(map(json.dumps, MIXED))
    code, _, err = run_lines(*lines, options=("--where", "model=b", "--where", "problem=P1"))
    assert code == 0, err
    found = [one.pool.answer for one in resolve_run(tmp_path / "results" / "p").attempts()]
    assert set(found) == {("13",)}


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("model", "--where 'model': must be COLUMN=VALUE"),
        ("modle=a", "no column 'modle'; there are 'problem'"),
        ("model=c", "no row whose 'model' is 'c', only 'a', 'b'"),
    ],
)
def test_wrong_conditions_are_one_line(run_lines, condition, message):
    code, _, err = run_lines(*map(json.dumps, MIXED), options=("--where", condition))
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


BEGIN = "Let us add the numbers one after the other, first 3 and 4. "
SEARCHED = {
    "method": {"method": "beam_search"},
    "approach": {"approach": "DVTS"},
    "beams": {"beam_width": 4},
    "number": {"beam_idx": "2"},
    "settings": {"column": {"approach": "beam_search"}},
}


@pytest.mark.parametrize("sign", SEARCHED)
def test_texts_of_a_search_are_no_independent_draws(run_lines, tmp_path, sign):
    texts = [BEGIN + rf"\boxed{{{answer}}}" for answer in (12, 12, 13)]
    cells = {**GOOD, **SEARCHED[sign], "completion": texts, "score": [0.1, 0.2, 0.9]}
    code, _, err = run_lines(json.dumps(cells))
    assert code == 2
    assert "no independent draws" in err
    assert "p.jsonl:1: column '" in err
    assert len(err.splitlines()) == 1
    code, _, err = run_lines(json.dumps(cells), options=("--not-independent",))
    assert code == 0, err
    found = read_points(resolve_run(tmp_path / "results" / "p"))
    shown = {one.name: one.accuracy.value for one in found.points}
    assert shown == {"self_consistency@3": 1.0, "best_of_n@3": 0.0, "weighted_vote@3": 0.0}
    code, _, err = run_lines(json.dumps(cells), options=("--not-independent", "--n", "1"))
    assert (code, "exclude each other" in err) == (2, True)


@pytest.mark.parametrize("more", [{"method": "best_of_n"}, {"beam_width": 1}, {"beams": 4}])
def test_draws_are_not_taken_for_a_search(run_lines, more):
    texts = ["First \\boxed{12}", "So \\boxed{12}", "It is \\boxed{13}"]
    code, _, err = run_lines(json.dumps({**GOOD, **more, "completion": texts, "score": [1, 2, 3]}))
    assert code == 0, err


def test_a_name_that_tells_of_a_search_is_one_if_no_column_says_otherwise():
    def sign(cells, name="Llama-3.2-1B-Instruct-DVTS-completions"):
        signs = SignsOfSearch()
        signs.see(Row("f:1", cells))
        return signs.found([], (name, ""))

    assert sign({"problem": "P"}) is not None
    assert sign({"problem": "P", "method": "best_of_n"}) is None
    assert sign({"problem": "P"}, "pools.jsonl") is None
