from __future__ import annotations

import json

import pytest

from tts_bench.report.points.content import build_report
from tts_bench.report.tables.summary import summarize, summary_text


def strict(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_metrics_are_objects_with_value_error_interval_and_n(shared):
    summary = strict(summary_text(build_report(shared)))
    point = next(p for p in summary["points"] if p["strategy"] == "best_of_n" and p["n"] == 4)
    accuracy, gain = point["metrics"]
    assert accuracy["metric"] == "accuracy"
    assert accuracy["n"] == 20
    assert accuracy["higher_is_better"] is True
    assert accuracy["ci95"][0] < accuracy["value"] < accuracy["ci95"][1]
    assert gain["metric"] == "accuracy_minus_greedy"
    greedy = summary["points"][0]
    assert gain["value"] == pytest.approx(accuracy["value"] - greedy["metrics"][0]["value"])


def test_summary_says_what_was_run_and_how_much_of_it(shared):
    summary = strict(summary_text(build_report(shared)))
    head = {
        key: summary[key]
        for key in ("format_version", "run", "suite", "status", "partial", "n_problems")
    }
    assert head == {
        "format_version": 1,
        "run": "realistic",
        "suite": "math-demo",
        "status": "complete",
        "partial": False,
        "n_problems": 20,
    }


def test_levels_and_subjects_split_the_problems(shared):
    summary = strict(summary_text(build_report(shared)))
    for by in ("level", "subject"):
        rows = [row for row in summary[f"by_{by}"] if row["strategy"] == "greedy"]
        assert sum(row["metrics"][0]["n"] for row in rows) == 20
        whole = sum(row["metrics"][0]["value"] * row["metrics"][0]["n"] for row in rows) / 20
        assert whole == pytest.approx(summary["points"][0]["metrics"][0]["value"])
    largest = {row["n"] for row in summary["by_level"] if row["strategy"] == "best_of_n"}
    assert largest == {16}
    assert {row["n"] for row in summary["by_level"] if row["cell"] is None} == {16}


def test_without_levels_there_is_no_breakdown(make):
    cell = make.cell("greedy")
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))])
    summary = summarize(build_report(run))
    assert "by_level" not in summary
    assert "by_subject" not in summary


def test_what_is_unknown_is_null(make):
    cell = make.cell("self_consistency", [1, 2], "majority")
    unknown = make.usage(50, (10, 10), known=False)
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "2"]), policy=unknown)
    point = strict(summary_text(build_report(make.run([cell], [attempt]))))["points"][0]
    assert point["policy"]["flops_ideal"] is None
    assert point["policy"]["flops_measured"] is None
    assert point["seconds"] is None


def test_numbers_that_json_cannot_hold_become_null(make):
    cell = make.cell("beam_search", temperature=float("inf"))
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))])
    point = strict(summary_text(build_report(run)))["points"][0]
    assert point["params"] == {"temperature": None}


def test_a_limited_run_is_marked_partial(make):
    cell = make.cell("greedy")
    attempt = make.attempt(cell["id"], "p", make.pool(["1"]))
    run = make.run([cell], [attempt], partial=True, dataset={"name": "toy", "size": 500})
    summary = strict(summary_text(build_report(run)))
    assert summary["partial"] is True
    assert summary["notes"] == ["partial: 1 of 500 problems"]


def test_weighted_votes_carry_their_monte_carlo_error(shared):
    points = strict(summary_text(build_report(shared)))["points"]
    errors = {
        (p["strategy"], p["n"]): p["metrics"][0]["monte_carlo_stderr"]
        for p in points
        if p["strategy"] in ("weighted_vote", "self_consistency")
    }
    assert 0 < errors["weighted_vote", 4] < 0.05
    assert errors["self_consistency", 4] == 0.0
