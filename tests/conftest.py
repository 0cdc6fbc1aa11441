"""Fixtures that many tests share."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the public test sets; tests that read them are skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("TTS_BENCH_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set TTS_BENCH_TEST_DATA to a folder that has it")
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a Llama with random weights, which transformers and vLLM load in a moment."""
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "tiny_model.py"
    make: Callable[[Path], None] = runpy.run_path(str(script))["make"]
    folder = tmp_path_factory.mktemp("tiny-model")
    make(folder)
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets reports leave out their figures, which take more than half of a small run's time.

    For tests of what a run does and stores; what is drawn of it is tested in tests/report.
    """
    monkeypatch.setattr("tts_bench.report.build._FIGURES", {})
