"""Graded candidates of a real run as data for an outcome reward model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from tts_bench.cli import cli
from tts_bench.commands.train import train
from tts_bench.errors import StoreError
from tts_bench.store.runs import resolve_run
from tts_bench.training.collect import collect


@pytest.fixture
def run(tmp_path: Path, tiny_model_dir: Path) -> Path:
    """Two strategies that share their draws: four candidates of each problem, twice."""
    suite = tmp_path / "s.yaml"
    blocks = {
        "dataset": {"name": "arithmetic", "problems": 3, "levels": [1]},
        "engine": {"name": "transformers", "model": str(tiny_model_dir)},
        "sampling": {"max_tokens": 8},
        "strategies": [
            {"strategy": "best_of_n", "n": 4},
            {"strategy": "self_consistency", "n": 4},
        ],
    }
    suite.write_text(yaml.safe_dump(blocks))
    done = CliRunner().invoke(
        cli, ["run", str(suite), "-o", str(tmp_path), "--display", "none"], standalone_mode=False
    )
    assert done.return_value in (0, None), done.output
    return tmp_path / "s" / "latest"


def test_a_run_becomes_orm_data_without_copies(run: Path, tmp_path: Path):
    output = tmp_path / "orm.jsonl"
    done = collect(resolve_run(run), output)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert done.rows == len(rows) == 24 - done.copies
    assert done.copies >= 12
    assert len({(row["problem_id"], row["completion"]) for row in rows}) == len(rows)
    assert all(row["prompt"].startswith("Compute ") for row in rows)
    assert done.right == sum(row["label"] for row in rows)
    fewer = collect(resolve_run(run), output, per_problem=2, seed=1)
    assert (fewer.rows, fewer.problems) == (6, 3)
    result = CliRunner().invoke(train, ["data", str(run), "-o", str(output)], standalone_mode=False)
    assert f"{done.rows} solutions of 3 problems" in result.stdout


def test_other_problems_than_those_of_the_run_are_refused(run: Path, tmp_path: Path):
    path = run / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["dataset"]["content_hash"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match="has changed since the run"):
        collect(resolve_run(run), tmp_path / "orm.jsonl")
