"""The published tables of this project are those that its script makes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from parts import NOT_TO_BE_HAD, ROOT

from tts_bench.report.conventions.rows import tool_rows
from tts_bench.report.conventions.tools import TOOLS
from tts_bench.store.runs import resolve_run


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


ROWS = {
    "majority of": ("majority@{k}", "majority@{k}", "maj@n:n={k}", "pred_maj@{k}"),
    "best of": ("best@{k}", "rm_best@{k}", None, "pred_naive@{k}"),
    "weighted vote of": ("weighted@{k}", "rm_majority@{k}", None, "pred_weighted@{k}"),
    "pass@": ("pass@{k}", "pass@{k}", "pass@k:k={k}&n=16", "pass@{k}"),
}
"""Rows of the page's example, and their names by tool."""


def test_the_pages_example_of_four_conventions_is_what_they_give(shared_data, tmp_path, cli):
    pool = shared_data / "pools" / "soren_math500_20x16.pool.jsonl"
    if not pool.is_file():
        pytest.skip(f"{NOT_TO_BE_HAD}the recorded pools with published figures")
    options = ("--answers", "recorded", "--equal", "equivalent", "--name", "p")
    assert cli("import", pool, "-o", tmp_path, *options)[0] == 0
    run = resolve_run(tmp_path / "p")
    page = (ROOT / "docs" / "published.md").read_text("utf-8")
    [table] = re.findall(r"^\| \| this project \|.*?(?=^$)", page, re.M | re.S)
    head, _, *lines = [
        [cell.strip() for cell in row.split("|")[1:-1]] for row in table.splitlines()
    ]
    tools = ["this", *head[2:]]
    found = {
        tool: {row.name: row.value for row in tool_rows(run, TOOLS[tool]).rows} for tool in tools
    }
    assert len(lines) == 7
    for name, *cells in lines:
        kind, k = re.fullmatch(r"(\D+?) ?(\d+)(?: by score)?", name).groups()
        for tool, row, cell in zip(tools, ROWS[kind], cells, strict=True):
            value = "-" if row is None else f"{100 * found[tool][row.format(k=k)]:.2f}"
            assert value == cell, (tool, name)
