from __future__ import annotations

import csv
import io
import json

import pandas as pd
import pytest

from tts_bench.report.points.content import build_report
from tts_bench.report.tables.render import as_csv, csv_table, markdown_table, terminal_table
from tts_bench.report.tables.summary import summarize
from tts_bench.types import Usage


@pytest.fixture(scope="module")
def report(shared):
    return build_report(shared)


def test_csv_loads_with_pandas_and_equals_the_summary(report):
    frame = pd.read_csv(io.StringIO(csv_table(report)))
    points = summarize(report)["points"]
    strategies = frame[frame.kind == "strategy"].reset_index(drop=True)
    assert len(strategies) == len(points)
    for row, point in zip(strategies.to_dict("records"), points, strict=True):
        accuracy = point["metrics"][0]
        assert row["cell"] == point["cell"]
        assert json.loads(row["params"]) == point["params"]
        assert row["accuracy"] == accuracy["value"]
        assert [row["accuracy_low"], row["accuracy_high"]] == accuracy["ci95"]
        assert row["tokens"] == point["policy"]["completion_tokens"]
        assert row["policy_flops_ideal"] == point["policy"]["flops_ideal"]
        assert row["verifier_flops_logical"] == point["verifier"]["flops_logical"]
    assert pd.isna(strategies.loc[0, "vs_greedy"])


def test_csv_has_coverage_rows_below_the_strategies(report):
    frame = pd.read_csv(io.StringIO(csv_table(report)))
    assert list(frame.kind) == sorted(frame.kind, reverse=True)
    coverage = frame[frame.kind == "coverage"]
    assert list(coverage.strategy) == ["pass@1", "pass@4", "pass@16"]
    curve = summarize(report)["coverage"][0]
    values = {at["k"]: at["metrics"][0]["value"] for at in curve["points"]}
    assert list(coverage.accuracy) == [values[1], values[4], values[16]]


def test_pass_at_1_is_every_votes_accuracy_at_one_candidate(report):
    frame = pd.read_csv(io.StringIO(csv_table(report))).query("n == 1")
    assert frame.accuracy.to_numpy() == pytest.approx(frame.accuracy.iloc[-1], abs=1e-9)


def test_markdown_is_one_table_of_even_width(report):
    page = markdown_table(report)
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + len(report.points) + 3
    assert page.startswith("# math-demo, toy-1.5B, 20 problems, 1 seed\n")
    assert "| pass@16 (oracle upper bound) |" in page
    assert "| normalize=sum |" in page


def test_markdown_escapes_what_would_end_a_cell(make):
    cell = make.cell("greedy", stop="a|b")
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))])
    assert r"stop=a\|b" in markdown_table(build_report(run))


def test_terminal_form_fits_120_columns(report):
    table = terminal_table(report).split("note:")[0]
    assert max(map(len, table.splitlines())) <= 120
    assert "logprob_ranking normalize=mean" in table


def test_terminal_form_cuts_long_names_rather_than_lines(make):
    cells = [
        make.cell("a_strategy_of_long_name", [4], "majority", an_option_of_long_name="x" * n)
        for n in (70, 80)
    ]
    attempts = [make.attempt(c["id"], "p", make.pool(["1"] * 4)) for c in cells]
    table = terminal_table(build_report(make.run(cells, attempts)))
    assert max(map(len, table.splitlines())) <= 120
    assert "…" in table


def test_only_settings_that_differ_are_shown_in_the_terminal(make):
    cells = []
    for temperature in (0.5, 1.0):
        cell = make.cell("self_consistency", [2], "majority", temperature=temperature)
        cells.append({**cell, "sampling": {**cell["sampling"], "temperature": temperature}})
    attempts = [make.attempt(c["id"], "p", make.pool(["1", "2"])) for c in cells]
    table = terminal_table(build_report(make.run(cells, attempts)))
    assert "self_consistency temperature=0.5 " in table
    assert "pass@2 temperature=1.0 (oracle) " in table
    assert "top_p" not in table


def test_a_limited_run_says_so_above_and_below_the_table(make):
    cell = make.cell("greedy")
    attempt = make.attempt(cell["id"], "p", make.pool(["1"]))
    run = make.run([cell], [attempt], partial=True, dataset={"name": "toy", "size": 500})
    for page in (terminal_table(build_report(run)), markdown_table(build_report(run))):
        assert "1 of 500 problems, 1 seed (partial)" in page
        assert "partial: 1 of 500 problems" in page


def test_unknown_flops_are_a_dash(make):
    cell = make.cell("greedy")
    unknown = make.usage(50, (10,), known=False)
    attempt = make.attempt(cell["id"], "p", make.pool(["1"]), policy=unknown)
    report = build_report(make.run([cell], [attempt]))
    frame = pd.read_csv(io.StringIO(csv_table(report)))
    assert pd.isna(frame.policy_flops_ideal[0])
    row = next(line for line in terminal_table(report).splitlines() if line.startswith("greedy"))
    assert row.split()[-5] == "-"


def test_unknown_tokens_and_seconds_are_a_dash_and_empty_in_csv(make):
    cell = make.cell("greedy")
    unknown = Usage(1, None, None, None, None, None)
    pool = make.pool(["1"], tokens=(), logprob=())
    attempt = make.attempt(cell["id"], "p", pool, policy=unknown, verifier=unknown)
    report = build_report(make.run([cell], [attempt], seconds=None))
    frame = pd.read_csv(io.StringIO(csv_table(report)))
    for column in ("tokens", "prompt_tokens_ideal", "seconds", "verifier_tokens_ideal"):
        assert frame[column].isna().all(), column
    row = next(line for line in terminal_table(report).splitlines() if line.startswith("greedy"))
    assert row.split()[-6] == "\N{EN DASH}"
    line = next(one for one in markdown_table(report).splitlines() if one.startswith("| greedy"))
    assert line.split(" | ")[6] == "\N{EN DASH}"


def test_no_text_in_a_csv_file_is_a_formula():
    texts = ["=1+1", "+x", "-x", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "a=1", "", "'=1"]
    rows = [{"name": text, "value": -0.5, "count": -1} for text in texts]
    read = list(csv.DictReader(io.StringIO(as_csv(rows), newline="")))
    assert [row["name"] for row in read] == [
        *("'" + text.replace("\r", "\n") for text in texts[:7]),
        *texts[7:],
    ]
    assert {(row["value"], row["count"]) for row in read} == {("-0.5", "-1")}
