"""Replays of runs in which something failed: it fails again, and the rest is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.store.runs import RunStore, resolve_run

PLUGINS = Path(__file__).parents[1] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 6},
    "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": ["greedy", {"strategy": "best_of_n", "n": 4}],
}


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli):
    def bench(*options: object, suite: Path | None = None, **changed: object) -> Done:
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(SUITE | changed))
        return cli("run", suite or path, *options, "--output-path", tmp_path / "results")

    return bench


def run(tmp_path: Path, name: str = "s") -> RunStore:
    return resolve_run(tmp_path / "results" / name)


def lines(store: RunStore) -> list[str]:
    """Its attempts without the checksums and the order of their lines."""
    return sorted(map(repr, store.attempts()))


@pytest.fixture
def failed(bench, tmp_path: Path, monkeypatch) -> RunStore:
    """A run of whose attempts some failed, since the engine did; it fails always from now on."""
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "7")
    done = bench()
    assert done.returncode == 1, done.stderr
    statuses = [attempt.status for attempt in run(tmp_path).attempts()]
    assert 0 < statuses.count("error") < len(statuses)
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "1")
    return run(tmp_path)


def test_the_same_command_with_replay_leaves_the_run_as_it_is(bench, tmp_path: Path, failed):
    before, manifest = failed.attempts_path.read_bytes(), failed.read_manifest()
    done = bench("--replay")
    assert done.returncode == 1, done.stderr
    assert "attempts failed and count as wrong" in done.stderr
    assert "--replay" not in done.stderr
    assert failed.attempts_path.read_bytes() == before
    assert failed.read_manifest().status == "failed_attempts"
    assert failed.read_manifest().ended == manifest.ended


@pytest.mark.parametrize("how", ["the manifest", "another name"])
def test_a_replay_elsewhere_fails_where_the_run_did(bench, tmp_path: Path, failed, how: str):
    if how == "the manifest":
        done = bench("--replay", suite=failed.manifest_path)
        again = run(tmp_path)
    else:
        done = bench("--replay", "--set", "name=other")
        again = run(tmp_path, "other")
    assert done.returncode == 1, done.stderr
    assert again.folder != failed.folder
    assert lines(again) == lines(failed)
    assert again.read_manifest().status == "failed_attempts"


def test_what_failed_and_was_made_later_is_what_a_replay_finds(
    bench, tmp_path: Path, failed, monkeypatch
):
    monkeypatch.delenv("SCRIPTED_FAIL_AT")
    assert bench().returncode == 0
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "1")
    assert bench("--replay", "--set", "name=other").returncode == 0
    assert lines(run(tmp_path, "other")) == lines(run(tmp_path))


def test_a_replay_of_a_failed_score_fails_as_it_did(bench, tmp_path: Path, monkeypatch):
    verifier = {"name": f"{PLUGINS / 'lying.py'}:LyingVerifier"}
    engine = {"name": f"{PLUGINS / 'lying.py'}:LyingEngine"}
    monkeypatch.setenv("LYING_HOW", "inf")
    done = bench(verifier=verifier, engine=engine)
    assert done.returncode == 1, done.stderr
    monkeypatch.setenv("LYING_HOW", "")
    again = bench("--replay", "--set", "name=other", verifier=verifier, engine=engine)
    assert again.returncode == 1, again.stderr
    assert lines(run(tmp_path, "other")) == lines(run(tmp_path))


def test_a_replay_that_lacks_a_request_says_so_and_stops(bench, tmp_path: Path, failed):
    done = bench("--replay", "--seeds", "0,5")
    assert done.returncode == 2
    assert "was never recorded" in done.stderr
