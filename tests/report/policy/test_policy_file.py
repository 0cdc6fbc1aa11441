"""Policy files: what they say, what they refuse, and the strategy that follows one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from scripted_attempts import Attempt

from tts_bench.errors import SuiteError, UsageError
from tts_bench.report.points.point import read_points
from tts_bench.report.policy.difficulty import by_level, by_prediction
from tts_bench.report.policy.optimal import compute_optimal
from tts_bench.report.policy.text import policy_file, terminal
from tts_bench.suite.policy_file import load_policy
from tts_bench.types import Problem

LEVELS = {
    "format_version": 1,
    "made_of": "test",
    "by": "level",
    "bins": ["level 1", "level 2"],
    "levels": [1, 2],
    "budgets": [
        {
            "flops": 10.0,
            "choices": [
                {"strategy": "best_of_n", "params": {"n": 1}},
                {"strategy": "best_of_n", "params": {"n": 2}},
            ],
        },
        {
            "flops": 100.0,
            "choices": [
                {"strategy": "best_of_n", "params": {"n": 2}},
                {"strategy": "self_consistency", "params": {"n": 7}},
            ],
        },
    ],
}


@pytest.fixture
def write(tmp_path: Path):
    def write(content: dict) -> str:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(content))
        return str(path)

    return write


def solve(level: int | None, **params):
    problem = Problem("p", "What is 1 + 1?", level=level)
    return Attempt("policy", lambda *_: "\\boxed{2}", problem=problem, **params).run()


@pytest.mark.parametrize(("level", "budget", "n"), [(1, 10, 1), (2, 99, 2), (2, 100, 7)])
def test_the_level_and_the_budget_choose(write, level, budget, n):
    solution = solve(level, file=write(LEVELS), budget=budget)
    assert len(solution.candidates) == n


def test_a_predicted_bin_costs_its_probe(write):
    predicted = {**LEVELS, "by": "predicted", "probe": 3, "edges": [0.95]}
    del predicted["levels"]
    # Every scripted token has log-probability -0.1, so the mean confidence is exp(-0.1) = 0.905.
    trial = Attempt("policy", lambda *_: "\\boxed{2}", file=write(predicted), budget=100)
    assert len(trial.run().candidates) == 7
    assert trial.session.spent.requests == 3 + 7
    easier = {**predicted, "edges": [0.9]}
    trial = Attempt("policy", lambda *_: "\\boxed{2}", file=write(easier), budget=100)
    assert len(trial.run().candidates) == 2
    assert trial.session.spent.requests == 3 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budgets": []}, "budgets is empty"),
        ({"levels": [1]}, "level of each bin"),
        ({"by": "oracle"}, "'level' or 'predicted'"),
        ({"by": "predicted"}, "edges and a probe"),
        ({"by": "predicted", "probe": 1, "edges": [0.9, 0.5]}, "2 edges for 2 bins.*write .* anew"),
        ({"bins": ["level 1"]}, "2 choices for 1 bins"),
        ({"colour": "red"}, "unknown key 'colour'"),
    ],
)
def test_faults_of_a_file_are_told(write, change, message):
    with pytest.raises(SuiteError, match=message):
        load_policy(write({**LEVELS, **change}), 100)


def test_unknown_parameters_strategies_files_and_levels_are_told(write):
    wrong = {"flops": 1.0, "choices": [{"strategy": "greedy", "params": {"m": 1}}] * 2}
    with pytest.raises(SuiteError, match="greedy of bin 1 has no parameter 'm'"):
        load_policy(write({**LEVELS, "budgets": [wrong]}), 100)
    wrong = {"flops": 1.0, "choices": [{"strategy": "gredy", "params": {}}] * 2}
    with pytest.raises(UsageError, match="Did you mean 'greedy'"):
        load_policy(write({**LEVELS, "budgets": [wrong]}), 100)
    with pytest.raises(UsageError, match="tts-bench policy"):
        load_policy("none.yaml", 100)
    with pytest.raises(UsageError, match="smallest budget is 10 FLOPs, more than 5"):
        load_policy(write(LEVELS), 5)
    with pytest.raises(UsageError, match="levels 1, 2, not 3"):
        solve(3, file=write(LEVELS), budget=100)


@pytest.mark.parametrize("by", ["level", "predicted"])
def test_what_the_analysis_writes_can_be_run(make, write, by):
    run = read_points(make.realistic(problems=30))
    difficulty = by_level(run) if by == "level" else by_prediction(run)
    flat = [one for one in run.points if one.cell.strategy != "logprob_ranking"]
    found = compute_optimal(flat, difficulty, resamples=2)
    path = write(policy_file(found, "test"))
    policy = load_policy(path, 1e30)
    assert len(policy.strategies) == len(difficulty.names)
    assert "chosen on one half of each bin" in terminal(found)
    assert asyncio.iscoroutinefunction(policy.strategies[0].solve)
