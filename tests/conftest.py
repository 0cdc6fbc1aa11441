"""Fixtures that many tests share."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done, tts_bench

pytest_plugins = ["parts"]

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama with random weights, which transformers and vLLM load in a moment."""
    script = ROOT / "benchmarks" / "tiny_model.py"
    make: Callable[[Path], None] = runpy.run_path(str(script))["make"]
    folder = tmp_path_factory.mktemp("tiny-model")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def cli() -> Callable[..., Done]:
    """Runs `tts-bench WORDS...` in this process; returns exit code, output and errors."""
    return tts_bench


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets reports leave out their figures, which take more than half of a small run's time.

    For tests of what a run does and stores; what is drawn of it is tested in tests/report.
    """
    monkeypatch.setattr("tts_bench.report.build._FIGURES", {})
