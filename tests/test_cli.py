from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["grade", "-h"], ["ls", "-h"]])
def test_help_shows_usage(cli, words):
    code, out, _ = cli(*words)
    assert code == 0
    assert out.startswith("Usage: tts-bench")


def test_version(cli):
    assert cli("--version")[1].startswith("tts-bench, version ")


def test_underscores_are_accepted_in_options(cli):
    code, out, _ = cli("run", "quickstart", "--dry_run", "--output_path", "x")
    assert code == 0
    assert "nothing was run." in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "quickstart", "--ouput-path", "x"], "Did you mean"),
        (["rnu"], "No such command 'rnu'"),
        (["run"], "Missing argument 'SUITE'"),
        (["run", "mth500"], "no such suite. Did you mean 'math500'?"),
        (["run", "quickstart", "--seeds", "a"], "--seeds a: must be numbers"),
        (["run", "quickstart", "--set", "samplng.top_p=1"], "Did you mean 'sampling'?"),
        (["run", "quickstart", "--set", "[]=3"], "is no address"),
        (["run", "quickstart", "--set", "name=../../n2"], "name: must be letters, digits"),
        (["run", "quickstart", "--fresh", "--replay"], "exclude each other"),
        (["run", "quickstart", "--include-path", "no/where"], "no such folder"),
        (["validate", "math500", "--set", "dataset.path=no/where.jsonl"], "no/where.jsonl"),
        (["validate", "quickstart", "--model", "./no/model"], "no/model"),
        (["validate", "quickstart", "--set", "verifier.model=./no/prm"], "no/prm"),
        (["report", "no/where"], "no/where: no such run folder"),
        (["grade", "no.jsonl", "--reference-field", "a", "--response-field", "b"], "no.jsonl"),
    ],
)
def test_a_users_mistake_is_a_line_without_traceback_and_exit_2(cli, words, message):
    code, _, err = cli(*words)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_every_fault_is_a_line_and_their_number_is_said(cli):
    code, _, err = cli(
        "run", "quickstart", "--set", "engin.name=x", "--set", "sampling.top_p=7", "--model", ""
    )
    assert code == 2
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 3
    assert err.rstrip().endswith("3 errors; nothing was run.")


def test_ls_lists_every_kind_as_text_and_as_json(cli):
    for kind in ("strategies", "suites", "engines", "verifiers", "datasets"):
        code, out, _ = cli("ls", kind)
        rows = json.loads(cli("ls", kind, "--json")[1])
        assert code == 0
        assert rows
        assert all(row["name"] in out for row in rows)
        assert not any("error" in row for row in rows)


STRATEGY = """
from __future__ import annotations
from dataclasses import dataclass
from tts_bench import Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    k: Nowhere = 1
    async def solve(self, problem, session):
        raise NotImplementedError
"""


@pytest.mark.parametrize(
    ("file", "source", "message"),
    [
        ("bad.py", "import no_such_module_anywhere", "cannot be imported: ModuleNotFoundError"),
        ("bad.py", "import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        ("bad.py", STRATEGY, "Mine.k: no type Nowhere"),
        ("bad.py", STRATEGY.replace("solve", "sovle"), "Mine is abstract: it lacks solve"),
        ("greedy.py", STRATEGY, "greedy.py: rename one of them"),
    ],
)
def test_ls_shows_a_broken_plugin_with_its_error_and_the_others_still(
    cli, tmp_path: Path, file, source, message
):
    (tmp_path / file).write_text(source)
    code, out, _ = cli("ls", "strategies", "--include-path", tmp_path)
    assert code == 0
    broken = [line for line in out.splitlines() if "broken: " in line]
    assert len(broken) == 1
    assert message in broken[0]
    assert "self_consistency" in out


def test_ls_runs_is_empty_where_there_are_none(cli, tmp_path: Path):
    assert cli("ls", "runs", "-o", tmp_path)[1] == "none\n"


def test_options_can_come_from_the_environment(cli, monkeypatch, tmp_path: Path):
    monkeypatch.setenv("TTS_BENCH_OUTPUT_PATH", str(tmp_path))
    assert cli("ls", "runs")[1] == "none\n"


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    rows = [
        {"gold": "\\frac{1}{2}", "pred": "So it is \\boxed{0.5}."},
        {"gold": "\\left( 3, \\frac{\\pi}{2} \\right)", "pred": "(3, \\pi/2)"},
        {"gold": "204", "pred": "The answer is 205"},
        {"gold": "7", "pred": None},
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_grade_gives_a_verdict_per_line_and_a_summary(cli, graded: Path):
    words = ["grade", graded, "--reference-field", "gold", "--response-field", "pred"]
    code, out, _ = cli(*words, "--json")
    *verdicts, last = map(json.loads, out.splitlines())
    assert code == 0
    assert [verdict["correct"] for verdict in verdicts] == [True, True, False, False]
    assert [verdict["timed_out"] for verdict in verdicts] == [False] * 4
    assert verdicts[0]["extracted"] == "0.5"
    assert verdicts[3]["extracted"] is None
    assert last["summary"]["n"] == 4
    assert last["summary"]["accuracy"] == 0.5
    assert cli(*words)[1].splitlines()[0] == "1\tcorrect\t0.5"


def test_a_misspelt_field_is_answered_with_a_suggestion(cli, graded: Path):
    code, _, err = cli("grade", graded, "--reference-field", "glod", "--response-field", "pred")
    assert code == 2
    assert "Did you mean 'gold'" in err


def test_the_module_is_the_cli():
    done = subprocess.run(
        [sys.executable, "-m", "tts_bench", "--version"], capture_output=True, check=True
    )
    assert done.stdout.startswith(b"tts-bench")
