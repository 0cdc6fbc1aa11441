"""What a report says of strategies that are held to a budget."""

from __future__ import annotations

import pytest

from tts_bench.report.points.content import build_report
from tts_bench.report.tables.render import terminal_table
from tts_bench.report.tables.summary import summarize
from tts_bench.types import Pool


def forced(make, waits, thinking, right):
    """A cell and its attempts at two problems."""
    cell = make.cell("budget_forcing", waits=waits, max_thinking_tokens=400, wait="Hmm")
    attempts = [
        make.attempt(
            cell["id"],
            problem,
            make.pool(["1" if good else "2"]),
            facts={"thinking_tokens": tokens, "waits": waits},
        )
        for problem, tokens, good in zip("ab", thinking, right, strict=True)
    ]
    return cell, attempts


@pytest.fixture
def report(make):
    cells, attempts = [], []
    for options in [(0, (100, 200), (1, 0)), (2, (250, 450), (1, 1)), (4, (500, 500), (1, 1))]:
        cell, found = forced(make, *options)
        cells.append(cell)
        attempts += found
    for budget, used in ((50, (40, 80)), (200, (100, 140))):
        cell = make.cell("token_budget", budget=budget)
        cells.append(cell)
        attempts += [
            make.attempt(
                cell["id"],
                problem,
                make.pool(["1"]),
                facts={"tokens_allowed": budget, "tokens_used": tokens},
            )
            for problem, tokens in zip("ab", used, strict=True)
        ]
    cells.append(make.cell("greedy"))
    attempts.append(make.attempt("greedy", "a", make.pool(["1"])))
    attempts.append(make.attempt("greedy", "b", Pool(), status="error", error="x"))
    return build_report(make.run(cells, attempts))


def test_the_three_figures_over_the_settings_of_one_method(report):
    [one] = report.controls
    assert (one.strategy, one.params) == ("budget_forcing", {"wait": "Hmm"})
    assert [run.tokens for run in one.runs] == [150, 350, 500]
    assert [run.accuracy for run in one.runs] == [0.5, 1.0, 1.0]
    assert one.control == pytest.approx(2 / 3)  # 500 is more than the 400 allowed
    assert one.scaling == pytest.approx((0.5 / 200 + 0.5 / 350 + 0) / 3)
    assert one.performance == 1.0


def test_tokens_used_against_tokens_allowed(report):
    [curve] = report.elasticities
    few, many = curve.points
    assert (few.allowed, few.used, few.within) == (50, 60, 0.5)
    assert (many.allowed, many.used, many.within) == (200, 120, 1.0)
    assert few.elasticity == pytest.approx(0.5)  # twice the tokens for four times the budget
    assert many.elasticity is None


def test_they_stand_in_the_summary_and_under_the_table(report):
    whole = summarize(report)
    assert whole["control"][0]["control"] == pytest.approx(2 / 3)
    assert whole["elasticity"][0]["points"][0]["used"] == 60
    table = terminal_table(report)
    assert "budget_forcing (wait=Hmm): control 67% of 3 settings" in table
    assert "tokens allowed -> used: 50 -> 60 (50% within), 200 -> 120 (100% within)" in table


def test_other_strategies_have_none(make):
    cell = make.cell("greedy")
    report = build_report(make.run([cell], [make.attempt("greedy", "a", make.pool(["1"]))]))
    assert report.controls == report.elasticities == ()
    assert summarize(report)["control"] == []
