"""Reward models with random weights through `verify`: as many scores as there are labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from reward_models import make


@pytest.fixture(scope="module")
def labels(tmp_path_factory) -> Path:
    """Worked arithmetic as a label file of TRL's columns, with blank lines within a step."""
    path = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    rows = [
        {
            "prompt": f"Compute {i} + 1 + 1.",
            "completions": [f"{i} + 1 = {i + 1}\n\n", f"{i + 1} + 1\n\n= {i + 2 + i % 2}"],
            "labels": [True, i % 2 == 0],
            "correct": i % 2 == 0,
        }
        for i in range(6)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def verify(labels: Path, tmp_path: Path, cli):
    def verify(kind: str, name: str) -> tuple[dict, str]:
        block = {"name": name, "model": str(make(kind, tmp_path / kind)), "device": "cpu"}
        (tmp_path / "v.yaml").write_text(yaml.safe_dump({"verifier": {**block, "threads": 1}}))
        options = ["--threshold", "0.5", "--resamples", "20", "--display", "none"]
        words = ["verify", str(tmp_path / "v.yaml"), str(labels), *options]
        done = cli(*words, "-o", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        record = json.loads((tmp_path / "out" / "verify.json").read_text())
        return record, done.stdout

    return verify


def test_a_process_reward_model_scores_every_labelled_step(verify, tmp_path: Path):
    record, out = verify("trl", "prm")
    lines = (tmp_path / "out" / "scores.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert all(len(row["steps"]) == len(row["labels"]) == 2 for row in rows)
    assert "left out" not in out
    assert "6 solutions have steps that held the delimiter" in out
    values = {metric["metric"]: metric["value"] for metric in record["metrics"]}
    assert 0 <= values["step AUC"] <= 1
    assert values["step Brier"] is not None
    assert record["spent"]["requests"] == 6
    assert record["spent"]["flops_ideal"] > 0
    # The chat template's beginning is read once for each problem: nothing else is shared.
    assert record["spent"]["prompt_tokens_ideal"] == record["spent"]["prompt_tokens"]


def test_an_outcome_reward_model_gets_the_figures_of_answers(verify):
    record, out = verify("orm", "orm")
    assert "the verifier gives no step scores" in out
    assert record["metrics"][0]["metric"] == "answer AUC"
    assert record["metrics"][0]["value"] is not None
