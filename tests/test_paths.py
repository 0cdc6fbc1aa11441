"""Paths that no file can have, and values of any length, are one line and exit code 2."""

from __future__ import annotations

import sys

import pytest

from tts_bench.cli import main

LONG = "x" * 5000
NAME = "n" * 256
SUITE = """\
dataset: {name: arithmetic, problems: 2}
engine: {name: transformers, model: org/model}
sampling: {max_tokens: 32}
strategies: [greedy]
"""


@pytest.fixture
def ask(tmp_path, monkeypatch, capsys):
    """Exit code, and lines of standard error, of a command in an empty folder with a suite."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text(SUITE)

    def ask(*arguments: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["tts-bench", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), capsys.readouterr().err.splitlines()

    return ask


@pytest.mark.parametrize("path", [LONG, NAME, f"{NAME}.yaml", f"a/{LONG}/b", "~nosuchuser/x.yaml"])
@pytest.mark.parametrize(
    "command",
    [
        "validate PATH",
        "validate s.yaml --include-path PATH",
        "validate s.yaml --model ./PATH",
        "validate s.yaml --set verifier={name:prm,model:./PATH}",
        "validate s.yaml --set dataset={name:jsonl,path:PATH}",
        "validate s.yaml --set verifier=PATH.py:Mine",
        "validate s.yaml --set strategies=[{strategy:policy,file:PATH,budget:1.0e+9}]",
        "report PATH",
        "compare PATH PATH",
        "gate PATH --baseline PATH",
        "policy PATH",
        "export PATH",
        "verify PATH --verifier confidence",
        "grade PATH",
        "import PATH.jsonl",
        "label PATH --suite s.yaml --output out.jsonl",
        "train prm PATH",
    ],
)
def test_a_path_that_no_file_has_is_one_line(ask, command, path):
    code, lines = ask(*(word.replace("PATH", path) for word in command.split(" ")))
    assert code == 2, lines
    found = [line for line in lines if line.lower().startswith("error")]
    assert len(found) == 1, lines
    assert len(found[0]) < 700, found


def test_an_output_path_that_no_folder_has_is_one_line(ask):
    for path in (LONG, NAME, "s.yaml"):
        code, lines = ask("run", "s.yaml", "--dry-run", "-o", f"{path}/deeper")
        assert code in (0, 2)
        assert sum(line.startswith("error") for line in lines) == (code == 2), lines


@pytest.mark.parametrize(
    "options",
    [
        ("--limit", "0"),
        ("--limit", "-1"),
        ("--limit", "9" * 5000),
        ("--limit", "x" * 5000),
        ("--limit", "3-1"),
        ("--limit", "\u00b2"),
        ("--seeds", "9" * 5000),
        ("--seeds", "9" * 19),
        ("--seeds", "-1"),
        ("--seeds", "x" * 5000),
        ("--seeds", ""),
        ("--concurrency", "0"),
        ("--concurrency", "9" * 30),
        ("--concurrency", "x" * 5000),
        ("--set", "sampling.max_tokens=" + "9" * 5000),
        ("--set", "sampling.temperature=.nan"),
        ("--set", "x" * 5000),
        ("--set", "x" * 5000 + "=1"),
        ("--strategy", "x" * 5000),
        ("--model", ""),
    ],
    ids=lambda options: f"{options[0]} {options[1][:12]}",
)
def test_an_option_of_any_value_is_one_short_line(ask, options):
    code, lines = ask("validate", "s.yaml", *options)
    assert code == 2, lines
    found = [line for line in lines if line.lower().startswith("error")]
    assert found
    assert all(len(line) < 1200 for line in found)
