"""Whole runs in which an engine, a verifier or a strategy returns what cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.store.runs import RunStore, resolve_run

PLUGINS = Path(__file__).parents[1] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 8},
    "engine": {"name": f"{PLUGINS / 'lying.py'}:LyingEngine"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": [{"strategy": "best_of_n", "n": 1}],
}
ENGINE = [
    "surrogate",
    "no_text",
    "large_id",
    "negative_id",
    "float_ids",
    "nan",
    "lengths",
    "reason",
]
VERIFIER = ["nan", "inf", "count", "call", "text"]


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli, monkeypatch):
    def bench(*options: str, lie: str = "", **changed: object) -> Done:
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(SUITE | changed))
        monkeypatch.setenv("LYING_HOW", lie)
        return cli("run", path, *options, "--output-path", tmp_path / "results")

    return bench


def run(tmp_path: Path) -> RunStore:
    return resolve_run(tmp_path / "results" / "s")


def check_that_only_some_failed(done: Done, tmp_path: Path, who: str) -> None:
    """Some attempts are errors of `who`'s, and every line is read again."""
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    attempts = list(run(tmp_path).attempts())
    errors = [attempt.error for attempt in attempts if attempt.status == "error"]
    assert len(attempts) == 8
    assert 0 < len(errors) < 8
    assert all(error and who in error for error in errors)
    assert run(tmp_path).read_manifest().status == "failed_attempts"


@pytest.mark.parametrize("lie", ENGINE)
def test_a_bad_completion_is_its_attempts_error(bench, tmp_path: Path, lie: str):
    check_that_only_some_failed(bench(lie=lie), tmp_path, "EngineError: the engine ")
    assert bench().returncode == 0  # nothing bad was stored


@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize("lie", VERIFIER)
def test_a_bad_score_is_its_attempts_error(bench, tmp_path: Path, lie: str, model: bool):
    verifier = {"name": f"{PLUGINS / 'lying.py'}:LyingVerifier", "model": model}
    done = bench(lie=lie, verifier=verifier, engine={"name": f"{PLUGINS / 'lying.py'}:LyingEngine"})
    check_that_only_some_failed(done, tmp_path, "")
    assert bench(verifier=verifier).returncode == 0


BAD_SOLUTIONS = {
    "a_fact_that_is_no_number": ("facts={'x': float('nan')}", "fact 'x' must be a finite number"),
    "a_fact_without_a_name": ("facts={1: 2.0}", "the name of a fact must be a string"),
    "a_fact_of_surrogates": ("facts={'\\ud800': 2.0}", "the name of a fact must be a string"),
    "a_fact_of_text": ("facts={'x': '1'}", "fact 'x' must be a finite number"),
    "a_score_that_is_a_number": ("scores=(0.5,)", "a score of the Solution is float, not Score"),
}


@pytest.mark.parametrize("name", BAD_SOLUTIONS)
def test_what_a_strategy_returns_is_checked_before_it_is_written(bench, tmp_path: Path, name: str):
    part, said = BAD_SOLUTIONS[name]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / f"{name}.py").write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench import Problem, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Own(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        f"        return Solution(tuple(await session.sample(1)), 0, {part})\n"
    )
    done = bench("--include-path", str(tmp_path / "own"), strategies=[name])
    assert done.returncode == 1, done.stderr
    assert all(said in (attempt.error or "") for attempt in run(tmp_path).attempts())


def test_numbers_of_numpy_are_written_as_numbers(bench, tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "with_numpy.py").write_text(
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "from tts_bench import Problem, Score, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Own(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        "        drawn = await session.sample(2)\n"
        "        scores = np.array([0.25, 0.5], dtype=np.float32)\n"
        "        facts = {'best': scores.max(), 'n': np.int64(2)}\n"
        "        return Solution(tuple(drawn), np.argmax(scores), tuple(map(Score, scores)),\n"
        "                        facts=facts)\n"
    )
    done = bench("--include-path", str(tmp_path / "own"), strategies=["with_numpy"])
    assert done.returncode == 0, done.stderr
    row = json.loads(run(tmp_path).attempts_path.read_text().splitlines()[0])
    assert row["chosen"] == 1
    assert row["pool"]["score"] == [0.25, 0.5]
    assert row["facts"] == {"best": 0.5, "n": 2.0}


def test_an_error_of_surrogates_can_be_written(bench, tmp_path: Path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "raises.py").write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench import Problem, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Own(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        "        raise ValueError('\\ud800 ' + 10_000 * 'x')\n"
    )
    done = bench("--include-path", str(tmp_path / "own"), strategies=["raises"])
    assert done.returncode == 1, done.stderr
    [first, *_] = run(tmp_path).attempts()
    assert first.error is not None
    assert first.error.startswith(r"ValueError: \ud800 xxx")
    assert len(first.error) < 1100
