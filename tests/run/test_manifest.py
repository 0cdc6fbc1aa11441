"""The verifier's record in a run's manifest."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tts_bench.store.runs import resolve_run

PLUGINS = Path(__file__).parents[1] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 3},
    "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    "verifier": {"name": f"{PLUGINS / 'verifier.py'}:Length"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": [{"strategy": "best_of_n", "n": 4}],
}


@pytest.fixture
def bench(tmp_path: Path, cli):
    def bench(*options: str, **changes) -> tuple[int, str]:
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(SUITE | changes))
        done = cli("run", path, *options, "--output-path", tmp_path / "results")
        return done.returncode, done.stderr

    return bench


def undo_last_attempt(tmp_path: Path) -> None:
    """As if the run had been killed before its last attempt was written."""
    path = resolve_run(tmp_path / "results" / "s").attempts_path
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def test_the_verifier_says_what_it_is_and_what_its_model_is(bench, tmp_path: Path):
    assert bench()[0] == 0
    run = resolve_run(tmp_path / "results" / "s")
    record = run.read_manifest().verifier
    assert record.name.endswith("verifier.py:Length")
    assert record.recipe == 'Length {"model": "some/prm"}'
    assert (record.model.model, record.model.revision) == ("some/prm", "first")
    assert record.shape == record.model.shape
    assert record.shape["hidden"] == 4
    [used] = {attempt.verifier.requests for attempt in run.attempts()}
    assert used == 4
    assert all(attempt.verifier.flops_ideal > 0 for attempt in run.attempts())


def test_a_verifier_without_a_model_says_so(bench, tmp_path: Path):
    assert bench(verifier="confidence")[0] == 0
    record = resolve_run(tmp_path / "results" / "s").read_manifest().verifier
    assert record.name == "confidence"
    assert record.model is None
    assert record.shape is None


def test_scores_of_two_models_never_stand_in_one_run(bench, tmp_path: Path, monkeypatch):
    assert bench()[0] == 0
    undo_last_attempt(tmp_path)
    run = resolve_run(tmp_path / "results" / "s")
    before = run.attempts_path.read_bytes()
    monkeypatch.setenv("VERIFIER_REVISION", "retrained")
    code, errors = bench()
    assert code == 2
    assert "begun with verifier revision first, which is now retrained" in errors
    assert "--fresh" in errors
    assert run.attempts_path.read_bytes() == before
    monkeypatch.delenv("VERIFIER_REVISION")
    assert bench()[0] == 0
    assert len(list(run.attempts())) == 3


def test_a_run_from_before_verifiers_had_models_is_continued(bench, tmp_path: Path):
    assert bench()[0] == 0
    undo_last_attempt(tmp_path)
    run = resolve_run(tmp_path / "results" / "s")
    run.write_manifest(run.read_manifest().changed(verifier={"name": "confidence", "shape": None}))
    assert bench()[0] == 0
    assert len(list(run.attempts())) == 3
