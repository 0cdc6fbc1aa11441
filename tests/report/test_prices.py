"""Dollars in everything that a report writes, and nowhere if there is no price."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.support.command_line import tts_bench
from tts_bench.report.build import build_report, write_report
from tts_bench.report.tables.render import csv_table, markdown_table, terminal_table
from tts_bench.report.tables.summary import summarize
from tts_bench.types import Measurement

PRICES = {"engine": {"name": "scripted", "price": {"input": 2, "output": 10}}}


@pytest.fixture
def run_of(make, tmp_path):
    """A run of greedy and a pool, whose draws are of 10 tokens from a prompt of 50."""

    def run_of(folder: str = "run", **manifest):
        cells = [make.cell("greedy"), make.cell("self_consistency", (1, 4), "majority")]
        attempts = [
            make.attempt(cell["id"], f"p{i}", make.pool(answers))
            for cell, answers in zip(cells, (["1"], ["1", "1", "2", None]), strict=True)
            for i in range(2)
        ]
        make.folder = tmp_path / folder
        return make.run(cells, attempts, **manifest)

    return run_of


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_tables_have_dollars_where_there_is_a_price(run_of):
    report = build_report(run_of(resolved=PRICES))
    rows = rows_of(csv_table(report))
    greedy = (50 * 2 + 10 * 10) / 1e6
    assert float(rows[0]["dollars"]) == pytest.approx(greedy)
    assert float(rows[0]["verifier_dollars"]) == 0.0
    (whole,) = [row for row in rows if row["strategy"] == "self_consistency" and row["n"] == "4"]
    assert float(whole["policy_dollars"]) == pytest.approx(4 * greedy)
    (pass_4,) = [row for row in rows if row["strategy"] == "pass@4"]
    assert float(pass_4["dollars"]) == pytest.approx(4 * greedy)
    assert "$0.000200" in terminal_table(report)
    assert "| $/problem | policy, $ | verifier, $ |" in markdown_table(report)
    summary = summarize(report)
    assert summary["prices"] == {"policy": {"input": 2.0, "output": 10.0, "gpus": 1}}
    assert summary["points"][0]["dollars"] == pytest.approx(greedy)


def test_without_a_price_no_dollar_is_written_anywhere(run_of):
    run = run_of()
    report = build_report(run)
    for text in (csv_table(report), markdown_table(report), terminal_table(report)):
        assert "$" not in text
        assert "dollars" not in text
    assert "dollars" not in json.dumps(summarize(report))
    assert not [path for path in write_report(run, report) if "dollars" in path.name]


def test_a_run_is_priced_anew_by_the_command(run_of, tmp_path):
    run = run_of(resolved=PRICES)
    wanted = ["--price", "input=0,output=1", "--output", tmp_path / "out", "--cost", "dollars"]
    done = tts_bench("report", run.folder, *wanted, "--pair", "greedy", "self_consistency")
    assert done.returncode == 0, done.stderr
    (row, *_) = rows_of((tmp_path / "out" / "table.csv").read_text())
    assert float(row["dollars"]) == pytest.approx(10 / 1e6)
    assert (tmp_path / "out" / "accuracy_vs_dollars.png").is_file()
    assert "dollars: policy input $0, output $1 a million tokens" in " ".join(done.stdout.split())
    assert (tmp_path / "out" / "crossings.md").is_file()


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("imput=1", "unknown price 'imput'. Did you mean 'input'?"),
        ("input=cheap", "input: "),
        ("input=inf", "must be finite"),
        ("judge:input=1", "judge is neither policy nor verifier"),
        ("gpu_hour=shared", "gpu_hour=shared is for a verifier"),
        ("input=1,gpu_hour=2", "not both"),
        ("", "unknown price"),
    ],
)
def test_a_senseless_price_is_one_line_and_nothing_is_written(run_of, price: str, reason: str):
    run = run_of()
    done = tts_bench("report", run.folder, "--price", price)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"--price {price}" in done.stderr
    assert reason in done.stderr
    assert not (run.folder / "table.csv").exists()


def test_several_runs_meet_on_an_axis_of_dollars(run_of, tmp_path):
    dear = {"engine": {"name": "scripted", "price": {"input": 4, "output": 20}}}
    runs = [run_of("a", resolved=PRICES), run_of("b", resolved=dear)]
    done = tts_bench(
        "report",
        *(run.folder for run in runs),
        *("--cost", "dollars", "--output", tmp_path / "out", "--label", "cheap", "--label", "dear"),
    )
    assert done.returncode == 0, done.stderr
    assert "by dollars: cheap:greedy" in done.stdout
    rows = rows_of((tmp_path / "out" / "table.csv").read_text())
    assert float(rows[-1]["dollars"]) == pytest.approx(2 * 4 * 0.0002)
    assert "$/problem" in (tmp_path / "out" / "table.md").read_text()
    assert (tmp_path / "out" / "accuracy_vs_dollars.png").is_file()


def test_runs_are_compared_by_dollars(run_of):
    dear = {"engine": {"name": "scripted", "price": {"input": 4, "output": 20}}}
    folders = [run_of("a", resolved=dear).folder, run_of("b", resolved=PRICES).folder]
    done = tts_bench("compare", *folders, "--json")
    assert json.loads(done.stdout)["pairs"][0]["cost_ratios"]["dollars"]["value"] == pytest.approx(
        2
    )
    assert " $\n" in tts_bench("compare", *folders).stdout


def test_cached_input_is_paid_by_what_was_measured(run_of):
    price = {"input": 2, "cached_input": 1, "output": 10}
    run = run_of(resolved={"engine": {"name": "scripted", "price": price}})
    (attempt, *_) = run.attempts()
    run.open()
    run.append(attempt, Measurement(2.0, 40, 0.0, 0, 0.0))
    run.close()
    by_problem = build_report(run).points[0].values["dollars"]
    assert by_problem["p0"] == pytest.approx((10 * 2 + 40 * 1 + 10 * 10) / 1e6)
    assert by_problem["p1"] == pytest.approx((50 * 2 + 10 * 10) / 1e6)


def test_each_of_several_runs_may_have_a_price_of_its_own(run_of, tmp_path):
    runs = [run_of("a").folder, run_of("b").folder]
    out = ("--output", tmp_path / "out", "--label", "small", "--label", "large")
    prices = ("--price", "input=1,output=1", "--price", "large/policy:input=3,output=3")
    done = tts_bench("report", *runs, *out, *prices)
    assert done.returncode == 0, done.stderr
    rows = rows_of((tmp_path / "out" / "table.csv").read_text())
    found = {row["run"]: float(row["dollars"]) for row in rows if row["strategy"] == "greedy"}
    assert found == {"small": pytest.approx(60 / 1e6), "large": pytest.approx(180 / 1e6)}
    wrong = tts_bench("report", *runs, *out, "--price", "larg/policy:input=3")
    assert (wrong.returncode, len(wrong.stderr.splitlines())) == (2, 1)
    assert "--price larg/...: no run of that name. Did you mean 'large'?" in wrong.stderr
    alone = tts_bench("report", runs[0], "--price", "large/policy:input=3")
    assert (alone.returncode, len(alone.stderr.splitlines())) == (2, 1)


def test_a_comparison_is_priced_anew_side_by_side(run_of):
    folders = [run_of("a").folder, run_of("b").folder]
    both = ("--price", "input=1,output=1", "--price", "b/policy:input=4,output=4", "--json")
    ratios = json.loads(tts_bench("compare", *folders, *both).stdout)["pairs"][0]["cost_ratios"]
    assert ratios["dollars"]["value"] == pytest.approx(0.25)
    wrong = tts_bench("compare", *folders, "--price", "c/policy:input=1")
    assert wrong.stderr == "error: --price c/...: no run of that name; the runs are a, b\n"
