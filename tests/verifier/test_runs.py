"""Verifiers that ask a model, in whole runs: their own engine, the policy's, and a replay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = Path(__file__).parents[1] / "plugins" / "asked.py"
ENGINE = {"name": f"{PLUGIN}:Asked"}
OTHER = {**ENGINE, "role": "verifier"}
FORBIDDEN = "ASKED_MAY_NOT_START"
VERIFIERS = {
    "judge on the policy": {"name": "judge"},
    "judge of its own": {"name": "judge", "engine": OTHER, "scale": "1-10"},
    "generative on the policy": {"name": "generative", "n": 2},
    "generative of its own": {"name": "generative", "engine": OTHER, "rounds": 2},
}


@pytest.fixture
def bench(tmp_path: Path, cli):
    """Runs a suite with a verifier, in this process; returns exit code and attempts."""

    def bench(verifier: dict[str, Any], *options: str, name: str = "s") -> tuple[int, Any, str]:
        suite = {
            "name": name,
            "dataset": {"name": "arithmetic", "problems": 3},
            "engine": ENGINE,
            "verifier": verifier,
            "sampling": {"max_tokens": 64, "temperature": 0.8},
            "strategies": [
                {"strategy": "best_of_n", "n": 4},
                {"strategy": "weighted_vote", "n": 4},
            ],
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        code, _, err = cli("run", path, *options, "--output-path", tmp_path / "results")
        rows = []
        if code in (0, 1):
            run = resolve_run(tmp_path / "results" / name)
            rows = sorted(map(json.loads, run.attempts_path.read_bytes().splitlines()), key=str)
        return code, rows, err

    return bench


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_run_is_scored_charged_and_replayed_without_a_model(name, bench, monkeypatch):
    verifier = VERIFIERS[name]
    code, rows, said = bench(verifier)
    assert code == 0, said
    assert len(rows) == 6
    per_candidate = {"judge": 1, "generative": 2 * verifier.get("n", 1)}[verifier["name"]]
    per_candidate += verifier.get("rounds", 1) - 1
    for row in rows:
        distinct = len(set(row["pool"]["generation"]))
        assert row["verifier"]["requests"] >= per_candidate * distinct
        assert row["verifier"]["completion_tokens"] > 0
        assert all(0 <= score <= 1 for score in row["pool"]["score"])
        assert row["chosen"] is not None
    monkeypatch.setenv(FORBIDDEN, "1")
    code, replayed, said = bench(verifier, "--replay", name="again")
    assert code == 0, said
    assert replayed == rows


def test_a_replay_with_another_rubric_misses_and_says_so(bench, monkeypatch):
    assert bench({"name": "judge"})[0] == 0
    monkeypatch.setenv(FORBIDDEN, "1")
    code, _, said = bench({"name": "judge", "scale": "1-5"}, "--replay", name="again")
    assert code == 2
    assert "ever recorded" in said
    assert "Traceback" not in said


def test_a_verifier_on_the_policys_engine_is_recalled_for_that_policy(bench, monkeypatch):
    """Two policies in one store, and a judge on whichever it is: a replay tells them apart."""
    small = ["--set", "engine.max_model_len=3000"]
    _, large_rows, _ = bench({"name": "judge"})
    _, small_rows, _ = bench({"name": "judge"}, *small, name="small")
    monkeypatch.setenv(FORBIDDEN, "1")
    assert bench({"name": "judge"}, "--replay", name="a")[:2] == (0, large_rows)
    assert bench({"name": "judge"}, "--replay", *small, name="b")[:2] == (0, small_rows)


def test_a_judge_that_cannot_be_read_fails_its_attempts_and_shows_why(bench):
    verifier = {"name": "judge", "scale": "90-99", "retries": 0}
    code, rows, _ = bench(verifier)
    assert code == 1
    assert {row["status"] for row in rows} == {"error"}
    assert all("no grade from 90-99" in row["error"] for row in rows)


@pytest.mark.vllm
@pytest.mark.slow
def test_policy_and_verifier_on_vllm_live_in_one_process(bench, tiny_model_dir: Path, tmp_path):
    """Closing one of two breaks the other, so the run closes both when it has used both."""
    engine = {"name": "vllm", "model": str(tiny_model_dir), "kv_cache_gb": 0.25}
    form = {"layout": "pieces", "head": "tokens", "prompt": "{problem}\n"}
    verifier = {"name": "prm_causal", "engine": engine, "format": form, "delimiter": "e"}
    search = {"strategy": "beam_search", "n": 4, "beam_width": 2, "delimiter": "e"}
    options = ["--set", f"engine={json.dumps(engine)}"]
    options += ["--set", f"strategies={json.dumps([search | {'step_tokens': 16}])}"]
    code, rows, said = bench(verifier, *options)
    assert code == 0, said
    assert all(row["verifier"]["requests"] for row in rows)
    steps = [steps for row in rows for steps in row["pool"]["steps"]]
    assert any(len(scores) > 1 for scores in steps)
    assert bench(verifier, *options, "--replay", name="again")[:2] == (0, rows)


@pytest.mark.parametrize(
    ("verifier", "message"),
    [
        ({"name": "generative", "n": 2, "rounds": 2}, "exclude each other"),
        ({"name": "judge", "scale": "high"}, "scale must be LOW-HIGH"),
        ({"name": "judge", "engine": {"name": "vlm"}}, "Did you mean 'vllm'"),
        ({"name": "judge", "max_token": 5}, "Did you mean 'max_tokens'"),
        (
            {"name": "prm_causal", "aggregate": "median"},
            "'last', 'min', 'prod', 'mean', 'gmean' or 'max'",
        ),
    ],
)
def test_mistakes_in_the_suite_are_one_line_before_anything_starts(bench, verifier, message):
    code, _, said = bench(verifier)
    assert code == 2
    assert message in said
    assert "Traceback" not in said
