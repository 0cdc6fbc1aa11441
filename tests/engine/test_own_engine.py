"""The engine that docs/engines.md shows runs, and keeps what every engine must keep."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done

from tts_bench.store.runs import resolve_run

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "engines.md").read_text("utf-8")


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite of the page, with its engine beside it, in the working folder."""
    for language, name in (("python", "chain.py"), ("yaml", "chain.yaml")):
        [source] = re.findall(rf"```{language}\n(# {name}\n.*?)```", PAGE, re.S)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "chain.yaml"


def test_the_suite_of_the_page_runs(suite: Path, cli: Callable[..., Done]) -> None:
    assert cli("run", suite.name, "--output-path", "runs", "--display", "none").returncode == 0
    attempts = list(resolve_run(Path("runs/chain")).attempts())
    assert len(attempts) == 8
    assert {attempt.status for attempt in attempts} <= {"ok", "no_answer"}


def test_the_engine_of_the_page_keeps_the_contract(suite: Path) -> None:
    [words] = re.findall(r"```\nTTS_BENCH_TEST_ENGINE=chain.yaml pytest (.*?)\n```", PAGE)
    words = words.replace("path/to/tts-bench", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words.split()],
        env={**os.environ, "TTS_BENCH_TEST_ENGINE": suite.name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout
