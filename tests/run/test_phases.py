"""`tts-bench run --phases`: first only the engine is loaded, then only the verifier."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = Path(__file__).parents[1] / "plugins" / "placed.py"
FLAT = [
    "greedy",
    {"strategy": "best_of_n", "n": [2, 6]},
    {"strategy": "weighted_vote", "n": 6},
    {"strategy": "self_consistency", "n": 4},
]


@pytest.fixture
def bench(tmp_path: Path, cli, monkeypatch):
    """Runs a suite; returns the exit code, the attempts, what was noted and what was said."""
    notes = tmp_path / "notes"
    monkeypatch.setenv("PLACED_NOTES", str(notes))

    def bench(*options: str, output: str = "out", **changes: Any) -> tuple[int, Any, Any, str]:
        suite = {
            "name": "s",
            "dataset": {"name": "arithmetic", "problems": 5},
            "engine": {"name": f"{PLUGIN}:Policy"},
            "verifier": {"name": f"{PLUGIN}:Scorer"},
            "sampling": {"max_tokens": 32, "temperature": 0.8},
            "strategies": FLAT,
            **changes,
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        notes.write_text("")
        code, _, err = cli("run", path, *options, "--output-path", tmp_path / output)
        rows = []
        if code in (0, 1):
            run = resolve_run(tmp_path / output / "s")
            rows = sorted(map(json.loads, run.attempts_path.read_bytes().splitlines()), key=str)
        return code, rows, notes.read_text().split("\n")[:-1], err

    return bench


def test_one_model_is_loaded_at_a_time_and_the_run_is_the_same(bench, tmp_path: Path):
    code, together, notes, _ = bench(output="together")
    assert code == 0
    assert notes == ["policy starts", "verifier starts", "verifier closes", "policy closes"]
    code, apart, notes, said = bench("--phases")
    assert code == 0, said
    assert notes == ["policy starts", "policy closes", "verifier starts", "verifier closes"]
    assert apart == together
    assert any(row["pool"]["score"] for row in apart)
    assert all(row["verifier"]["requests"] for row in apart if row["pool"]["score"])
    manifests = [
        resolve_run(tmp_path / output / "s").read_manifest() for output in ("out", "together")
    ]
    tokens = [manifest.throughput.generated_tokens for manifest in manifests]
    assert tokens[0] == tokens[1] > 0


def test_how_it_is_placed_is_no_part_of_what_a_run_is(bench):
    _, first, _, _ = bench("--phases", "--limit", "5")
    code, again, notes, _ = bench()
    assert code == 0
    assert again == first
    assert notes == []  # the same run: it is complete, and nothing is loaded


def test_a_draw_that_fails_is_a_failed_attempt_and_all_others_are_scored(bench, monkeypatch):
    _, whole, _, _ = bench(output="whole")
    monkeypatch.setenv("PLACED_FAIL", "Compute 3")
    code, rows, notes, _ = bench("--phases")
    assert code == 1
    failed = [row for row in rows if row["status"] == "error"]
    assert 0 < len(failed) < len(rows)
    assert all("cannot be drawn" in row["error"] for row in failed)
    assert [row for row in rows if row not in failed] == [
        row for row in whole if row["problem"] not in {one["problem"] for one in failed}
    ]
    assert notes[-2:] == ["verifier starts", "verifier closes"]
    monkeypatch.delenv("PLACED_FAIL")
    code, mended, _, said = bench("--phases")
    assert code == 0, said
    ok = [row for row in mended if row["status"] != "error"]
    assert ok == whole


def test_a_search_is_refused_at_its_first_draw_that_would_depend_on_scores(bench):
    search = {"strategy": "beam_search", "n": 4, "step_tokens": 4}
    code, _, notes, said = bench("--phases", strategies=[*FLAT, search])
    assert code == 2
    assert "draws after it has seen scores" in said
    assert "beam_search?n=4" in said
    assert notes == ["policy starts", "policy closes"]


def test_a_strategy_that_never_asks_for_scores_may_draw_as_it_likes(bench):
    strategies = [{"strategy": "logprob_beam_search", "n": 4, "step_tokens": 8}]
    _, together, _, _ = bench(strategies=strategies, output="together")
    code, apart, notes, said = bench("--phases", strategies=strategies)
    assert code == 0, said
    assert apart == together
    assert notes[:2] == ["policy starts", "policy closes"]


def test_a_verifier_on_the_policys_engine_is_refused(bench):
    code, _, notes, said = bench("--phases", verifier={"name": "judge"})
    assert code == 2
    assert "one model only" in said
    assert notes == []


def test_a_replay_has_no_phases(bench):
    code, _, _, said = bench("--phases", "--replay")
    assert code == 2
    assert "--phases and --replay exclude each other" in said
