"""Whole runs whose engine or verifier dies, falls silent, or leaves the process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import resolve_run

PLUGIN = Path(__file__).parents[1] / "plugins" / "failing.py"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 4},
    "engine": {"name": f"{PLUGIN}:FailingEngine"},
    "verifier": {"name": f"{PLUGIN}:FailingVerifier"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": ["greedy", {"strategy": "best_of_n", "n": [1, 4]}],
}
FATES = [
    *(("engine", how) for how in ("died", "pipe", "exit", "silent")),
    *(("verifier", how) for how in ("died", "silent")),
]


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli, monkeypatch):
    """Runs the suite with one of its models failing as is said."""

    def bench(*options: str, who: str = "engine", output: str = "results", **fate: str) -> Done:
        suite = json.loads(json.dumps(SUITE))
        if who == "engine":
            suite["verifier"] = "confidence"
        else:
            suite["engine"]["name"] = f"{PLUGIN.parent / 'asked.py'}:Asked"
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        for name in ("AT", "HOW", "START"):
            monkeypatch.delenv(f"FAILING_{name}", raising=False)
        for name, value in fate.items():
            monkeypatch.setenv(f"FAILING_{name}", value)
        return cli("run", path, *options, "--output-path", tmp_path / output)

    return bench


def lines(tmp_path: Path, output: str = "results") -> list[bytes]:
    run = resolve_run(tmp_path / output / "s")
    return sorted(run.attempts_path.read_bytes().splitlines())


def manifest(tmp_path: Path) -> RunManifest:
    return resolve_run(tmp_path / "results" / "s").read_manifest()


@pytest.mark.parametrize(("who", "how"), FATES)
def test_a_model_that_dies_is_started_anew_and_no_attempt_suffers(
    bench, tmp_path: Path, who: str, how: str
):
    assert bench(who=who, output="sound").returncode == 0
    options = ["--set", f"{who}.request_timeout=2"]
    done = bench(*options, who=who, AT="3,2", HOW=how)
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path) == lines(tmp_path, "sound")
    assert f"the {who} died: " in done.stderr
    assert "(2 of 2)" in done.stderr
    assert "(3 of 2)" not in done.stderr
    assert manifest(tmp_path).status == "complete"


@pytest.mark.parametrize(("who", "how"), FATES)
def test_a_model_that_dies_too_often_stops_the_run_which_can_go_on(
    bench, tmp_path: Path, who: str, how: str
):
    options = ["--concurrency", "2"]
    for key in ("restarts=1", "request_timeout=2"):
        options += ["--set", f"{who}.{key}"]
    done = bench(*options, who=who, AT="3,2", HOW=how)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"the {who} died: " in errors[0]
    assert "1 time; the setting is `restarts`" in errors[0]
    assert "continue with: tts-bench run" in done.stderr
    assert "Traceback" not in done.stderr
    assert "accuracy" not in done.stdout
    assert manifest(tmp_path).status == "stopped"
    assert not (resolve_run(tmp_path / "results" / "s").folder / "table.md").exists()
    rows = [json.loads(line) for line in lines(tmp_path)]
    assert all(row["error"] is None for row in rows)
    # How often it may die is no matter of what a run is: the same run goes on.
    assert bench(who=who).returncode == 0
    bench(who=who, output="sound")
    assert lines(tmp_path) == lines(tmp_path, "sound")


def test_a_model_that_cannot_be_started_anew_stops_the_run(bench, tmp_path: Path):
    done = bench(AT="3", START="no")
    assert done.returncode == 1
    assert "could not be started anew: RuntimeError: no device is left" in done.stderr
    assert "2 times" in done.stderr


def test_a_strategy_that_catches_everything_records_nothing_for_a_lost_engine(
    bench, tmp_path: Path
):
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "careless.py").write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench import Problem, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Careless(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        "        try:\n"
        "            return Solution(tuple(await session.sample(2)), None)\n"
        "        except Exception:\n"
        "            return Solution((), None)\n"
    )
    options = ["--include-path", str(tmp_path / "strategies"), "--set", "strategies=[careless]"]
    done = bench(*options, "--set", "engine.restarts=0", AT="3")
    assert done.returncode == 1
    assert "the engine died: the device fell off (it was started anew 0 times" in done.stderr
    assert all(len(json.loads(line)["pool"]["answer"]) == 2 for line in lines(tmp_path))


@pytest.mark.parametrize(
    ("key", "value"),
    [("restarts", "-1"), ("restarts", "many"), ("request_timeout", "0"), ("request_timeout", "x")],
)
def test_a_senseless_upkeep_is_a_fault_of_the_suite(bench, key: str, value: str):
    done = bench("--set", f"engine.{key}={value}")
    assert done.returncode == 2
    assert f"engine.{key}" in done.stderr
    assert "must be" in done.stderr


def test_no_limit_is_set_by_null(bench, tmp_path: Path):
    assert bench("--set", "engine.request_timeout=null").returncode == 0
