"""Whole runs of strategies that share one budget out, or hold conversations: resume and replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import tts_bench

from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = Path(__file__).parents[1] / "plugins" / "scripted.py"
SUITE_WIDE = ["greedy", {"strategy": "compute_optimal", "n": [2, 6], "probe": 3, "max_n": 12}]
CONVERSING = [
    {"strategy": "budget_forcing", "waits": [0, 1, 2], "end_of_thinking": None},
    {"strategy": "self_refine", "rounds": 1},
    {"strategy": "token_budget", "budget": [10, 20, 40]},
    "token_budget",
    "adaptive_consistency",
    "early_stopping_consistency",
    {"strategy": "adaptive_best_of_n", "n_medium": 6, "n_hard": 9},
]
PROBLEMS = 12


class Bench:
    """`tts-bench run` on a suite of these strategies."""

    def __init__(self, folder: Path, strategies: list[Any]) -> None:
        self.folder, self.suite = folder, folder / "s.yaml"
        suite = {
            "dataset": {"name": "arithmetic", "problems": PROBLEMS},
            "engine": {"name": f"{PLUGIN}:Arithmetic"},
            "sampling": {"max_tokens": 64, "temperature": 0.8},
            "strategies": strategies,
        }
        self.suite.write_text(yaml.safe_dump(suite))

    def words(self, output: str, *options: str) -> list[str]:
        return ["run", str(self.suite), *options, "--output-path", str(self.folder / output)]

    def run(self, *options: str, output: str = "results") -> int:
        return tts_bench(*self.words(output, *options)).returncode

    def die(self, after: int) -> int:
        """Run in a process of its own that is killed at that request."""
        command = [sys.executable, "-m", "tts_bench", *self.words("results", "--concurrency", "2")]
        environment = os.environ | {"SCRIPTED_DIE_AFTER": str(after)}
        return subprocess.run(command, env=environment, capture_output=True, check=False).returncode

    def lines(self, output: str = "results") -> list[bytes]:
        run = resolve_run(self.folder / output / "s")
        return sorted(run.attempts_path.read_bytes().splitlines())

    def rows(self, cell: str, output: str = "results") -> list[dict[str, Any]]:
        rows = map(json.loads, self.lines(output))
        return [row for row in rows if row["cell"].startswith(cell)]

    def summary(self, output: str = "results") -> dict[str, Any]:
        run = resolve_run(self.folder / output / "s")
        found: dict[str, Any] = json.loads((run.folder / "summary.json").read_text())
        return found


@pytest.fixture
def suite_wide(tmp_path: Path) -> Bench:
    return Bench(tmp_path, SUITE_WIDE)


def test_the_suites_draws_are_shared_out_and_each_is_paid_once(suite_wide):
    assert suite_wide.run() == 0
    for n in (2, 6):
        rows = suite_wide.rows(f"compute_optimal?max_n=12&n={n}&")
        assert len(rows) == PROBLEMS
        assert sum(row["policy"]["requests"] for row in rows) == n * PROBLEMS
        assert all(len(row["pool"]["answer"]) == row["facts"]["n"] for row in rows)
    assert len({row["facts"]["n"] for row in rows}) > 2
    assert min(row["facts"]["n"] for row in rows) >= 3


@pytest.mark.parametrize("die_after", [15, 60, 75])
def test_a_run_that_was_killed_shares_out_as_it_would_have(suite_wide, die_after):
    assert suite_wide.run(output="whole") == 0
    assert suite_wide.die(die_after) == -9
    assert suite_wide.run("--concurrency", "64") == 0
    assert suite_wide.lines() == suite_wide.lines("whole")


def test_concurrency_does_not_change_who_gets_what(suite_wide):
    for concurrency in ("1", "64"):
        assert suite_wide.run("--concurrency", concurrency, output=concurrency) == 0
    assert suite_wide.lines("1") == suite_wide.lines("64")


def replayed(bench: Bench) -> None:
    """The same attempts come from the generation store alone."""
    assert bench.run() == 0
    before = bench.lines()
    run = resolve_run(bench.folder / "results" / "s")
    for path in run.folder.iterdir():
        path.unlink()
    run.folder.rmdir()
    assert bench.run("--replay") == 0
    assert bench.lines() == before


def test_shared_out_draws_are_replayed_without_a_model(suite_wide):
    replayed(suite_wide)


def test_conversations_are_replayed_without_a_model(tmp_path):
    replayed(Bench(tmp_path, CONVERSING))


def test_a_probe_that_fails_is_an_attempt_that_fails(suite_wide, monkeypatch):
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "7")
    assert suite_wide.run() == 1
    rows = suite_wide.rows("compute_optimal")
    assert {row["status"] for row in rows} > {"error"}
    monkeypatch.delenv("SCRIPTED_FAIL_AT")
    assert suite_wide.run() == 0
