"""The plug-ins that docs/plugins.md shows run as they stand there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done

from tts_bench.store.runs import RunStore, resolve_run
from tts_bench.suite.registry import STRATEGIES, Registry

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text("utf-8")
FILES = dict(re.findall(r"```(?:python|yaml)\n# (\S+)\n(.*?)```", PAGE, re.S))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the page, in the working folder."""
    for name, source in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(cli: Callable[..., Done], *words: str) -> RunStore:
    done = cli("run", "mine.yaml", "--output-path", "runs", "--display", "none", *words)
    assert done.returncode == 0, done.stderr
    return resolve_run(Path("runs/mine"))


def test_the_page_names_its_files() -> None:
    blocks = re.findall(r"```(?:python|yaml)\n", PAGE)
    assert len(blocks) == len(FILES) == 7


@pytest.mark.usefixtures("folder", "undrawn")
def test_the_suite_of_the_page_runs_with_all_four(cli: Callable[..., Done]) -> None:
    attempts = list(run(cli).attempts())
    assert len(attempts) == 5 * 3
    assert {attempt.status for attempt in attempts} == {"ok"}
    best = [one for one in attempts if one.cell.startswith("best_of_n")]
    assert all(one.correct for one in best if max(one.pool.score) == 1.0)
    assert all(one.verifier.requests == 0 for one in attempts)
    mine = [len(one.pool) for one in attempts if one.cell.startswith("my_rule")]
    assert set(mine) <= {2, 3}


@pytest.mark.usefixtures("folder", "undrawn")
def test_what_the_second_verifier_of_the_page_asks_is_charged(cli: Callable[..., Done]) -> None:
    found = run(cli, "--set", "verifier=second_opinion.py:SecondOpinion", "--strategy", "best_of_n")
    for attempt in found.attempts():
        assert attempt.verifier.requests == 4
        assert attempt.verifier.completion_tokens > 0


@pytest.mark.usefixtures("folder")
def test_faults_of_the_pages_plugins_are_one_line(cli: Callable[..., Done]) -> None:
    for setting, said in (
        ("strategies[2].most=1", "strategies[2]: most must be at least 2, not 1"),
        ("dataset.problems=100", "clocks: 100 steps of 35 minutes end after noon"),
        ("verifier.witout=1", "unknown key 'witout'. Did you mean 'without'?"),
    ):
        code, _, err = cli("validate", "mine.yaml", "--set", setting)
        assert code == 2
        assert said in err
        assert len(err.splitlines()) == 1


def test_a_strategy_of_the_working_folder_is_found_after_the_shipped_ones(folder: Path) -> None:
    names = Registry().names(STRATEGIES)
    assert names["my_rule"] == "strategies/my_rule.py"
    assert "best_of_n" in names


@pytest.mark.usefixtures("folder")
def test_a_clash_with_a_shipped_strategy_is_named(cli: Callable[..., Done]) -> None:
    Path("strategies/greedy.py").write_text(FILES["strategies/my_rule.py"])
    code, _, err = cli("validate", "mine.yaml")
    assert code == 2
    assert "strategy 'greedy' is in " in err
    assert "strategies/greedy.py: rename one of them" in err
    # Another strategy than the one that clashes is not concerned.
    assert cli("validate", "mine.yaml", "--set", "strategies=[my_rule]").returncode == 0


@pytest.mark.usefixtures("undrawn")
def test_the_working_folders_strategies_are_recorded_where_one_is_run(
    folder: Path, cli: Callable[..., Done]
) -> None:
    first = run(cli, "--strategy", "my_rule")
    assert first.read_manifest().include_path == (str(folder / "strategies"),)
    again = run(cli, "--strategy", "greedy")
    assert again.read_manifest().include_path == ()


@pytest.mark.usefixtures("folder", "undrawn")
def test_answers_of_the_page_are_found_and_checked(cli: Callable[..., Done]) -> None:
    texts = ["Answer: (10 - 6) * (5 - 4) * 4 = 24", "so\nAnswer: 4 * 6 = 24", "4 * (5 + 10) / 6"]
    texts += [
        "Answer: (10 - 4) * (5 - 1) = 24",
        "Answer: 5 * (10 - 4) - 6 = 24",
        "Answer: 1/0 = 24",
    ]
    rows = [{"id": 1, "problem": "4 5 6 10", "answer": "24", "completions": texts}]
    Path("p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = cli("import", "p.jsonl", "-o", "r", "--answer-kind", "game24.py:Game24")
    assert code == 0, err
    [attempt] = resolve_run(Path("r/p")).attempts()
    assert attempt.pool.answer[1] == "4 * 6"
    assert attempt.pool.correct == (False, False, False, False, True, False)
    rows = [{"problem": "4 5 6 10", "answer": "24", "text": text} for text in texts]
    Path("g.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    fields = [
        "--reference-field",
        "answer",
        "--response-field",
        "text",
        "--problem-field",
        "problem",
    ]
    code, out, err = cli("grade", "g.jsonl", *fields, "--answer-kind", "game24.py:Game24")
    assert code == 0, err
    assert [line.split("\t")[1] for line in out.splitlines()[:-1]].index("correct") == 4
    assert "correct=1 " in out
