"""What is told of a plug-in's mistake: its place, one line, and with --debug the traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.store.runs import resolve_run

ENGINE = Path(__file__).parents[1] / "plugins" / "asked.py"
HEAD = """
import sys
from dataclasses import dataclass
from tts_bench import *
from tts_bench.verifier.base import VerifierInfo
"""
RULE = f"""{HEAD}
def pick(candidates):
    table = {{}}
    return table["last"]

@dataclass(frozen=True)
class Rule(Strategy):
    async def solve(self, problem: Problem, session: Session) -> Solution:
        drawn = await session.sample(1)
        return Solution(tuple(drawn), pick(drawn))
"""
CHILD = f"""{HEAD}
from pathlib import Path
from tts_bench.suite.registry import STRATEGIES, Registry
Rule = Registry([Path(__file__).parent]).load(STRATEGIES, "rule")

@dataclass(frozen=True)
class Child(Rule):
    pass
"""


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli):
    """Runs a suite with plug-ins of these sources beside it."""

    def bench(*options: str, files: dict[str, str], **changed: object) -> Done:
        suite = {
            "dataset": {"name": "arithmetic", "problems": 2},
            "engine": {"name": f"{ENGINE}:Asked"},
            "sampling": {"max_tokens": 64},
            "strategies": ["greedy"],
        }
        own = tmp_path / "own"
        own.mkdir(exist_ok=True)
        for name, source in files.items():
            (own / f"{name}.py").write_text(source)
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite | changed))
        words = ["--include-path", own, "--output-path", tmp_path / "results"]
        return cli("run", path, *options, *words)

    return bench


@pytest.mark.parametrize("name", ["rule", "child"])
def test_the_place_in_the_strategys_file_is_told(bench, tmp_path: Path, name: str):
    done = bench(files={"rule": RULE, "child": CHILD}, strategies=[name])
    line = RULE.splitlines().index('    return table["last"]') + 1
    said = f"KeyError: 'last' (rule.py:{line} in pick)"
    assert done.returncode == 1
    assert f"the first: {said}" in done.stderr
    attempts = list(resolve_run(tmp_path / "results" / "s").attempts())
    assert [attempt.error for attempt in attempts] == [said] * 2
    assert "Traceback" not in done.stderr


def test_with_debug_the_first_traceback_is_shown_and_no_other(bench):
    done = bench("--debug", files={"rule": RULE}, strategies=["rule"])
    assert done.returncode == 1
    assert done.stderr.count("Traceback (most recent call last)") == 1
    assert 'return table["last"]' in done.stderr


STARTS = {
    "a_wrong_key": ("return {}['weights']", "KeyError: 'weights'"),
    "a_score_that_failed": ("raise EngineError('no weights')", "no weights"),
    "an_exit": ("sys.exit(3)", "it called sys.exit(3)"),
}


@pytest.mark.parametrize("who", ["engine", "verifier"])
@pytest.mark.parametrize("how", STARTS)
def test_what_fails_at_the_start_is_one_line(bench, tmp_path: Path, who: str, how: str):
    body, said = STARTS[how]
    base, argument, method = {
        "engine": ("Engine", "", "async def generate(self, request): ..."),
        "verifier": ("Verifier", ", policy", "async def score(self, problem, candidates): ..."),
    }[who]
    source = (
        f"{HEAD}\n@dataclass(frozen=True)\nclass Own({base}):\n    model: str = 'own'\n"
        f"    tokenizer = None\n    async def close(self): ...\n    {method}\n"
        f"    async def start(self{argument}):\n        {body}\n"
    )
    options = {who: {"name": f"{tmp_path / 'own' / 'own.py'}:Own"}}
    done = bench(files={"own": source}, **options)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in done.stderr
    debugged = bench("--debug", files={"own": source}, **options)
    assert "Traceback" in debugged.stderr
    assert debugged.returncode == 2


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("exits_when_imported", f"{HEAD}\nsys.exit(3)"),
        (
            "exits_when_made",
            f"{HEAD}\n@dataclass(frozen=True)\nclass Own(Strategy):\n"
            "    def __post_init__(self): sys.exit(3)\n"
            "    async def solve(self, problem, session): ...\n",
        ),
    ],
)
def test_a_plug_in_that_leaves_the_process_is_no_failed_gate(bench, name: str, source: str):
    done = bench(files={name: source}, strategies=[name])
    assert done.returncode == 2
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "sys.exit(3)" in error or "SystemExit: 3" in error
    assert "Traceback" not in done.stderr


def test_what_nobody_foresaw_is_a_line_and_with_debug_a_traceback(bench, tmp_path: Path):
    source = (
        f"{HEAD}\n@dataclass(frozen=True)\nclass Own(Dataset):\n"
        "    def load(self): return {}['rows']\n"
    )
    dataset = {"name": f"{tmp_path / 'own' / 'own.py'}:Own"}
    done = bench(files={"own": source}, dataset=dataset)
    assert done.returncode == 1
    assert done.stderr == "error: unforeseen KeyError: 'rows'; --debug shows where\n"
    debugged = bench("--debug", files={"own": source}, dataset=dataset)
    assert debugged.returncode == 1
    assert "return {}['rows']" in debugged.stderr
