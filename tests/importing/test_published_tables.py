"""The published tables of this project are those that its script makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from parts import NOT_TO_BE_HAD, ROOT


@pytest.mark.slow
def test_the_tables_are_remade_to_the_byte(shared_data: Path, tmp_path: Path):
    pools = shared_data / "pools"
    if not pools.is_dir():
        pytest.skip(f"{NOT_TO_BE_HAD}the recorded pools with published figures")
    script = [sys.executable, ROOT / "benchmarks" / "published.py", pools, tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    kept = ROOT / "results" / "reference" / "published" / "README.md"
    assert (tmp_path / "README.md").read_text("utf-8") == kept.read_text("utf-8")


def test_a_missing_pool_is_one_line(tmp_path: Path):
    script = [sys.executable, ROOT / "benchmarks" / "published.py", tmp_path]
    done = subprocess.run(script, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.endswith("tot_game24_standard100.pool.jsonl: no such pool\n")
