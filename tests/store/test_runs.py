from __future__ import annotations

import os
from pathlib import Path

import pytest
from manifests import a_manifest
from parts import NOT_TO_BE_HAD

from tts_bench.errors import StoreError
from tts_bench.store.files import write_atomically
from tts_bench.store.runs import RunStore, find_run, point_latest, resolve_run
from tts_bench.types import Attempt, Measurement, Pool, Usage


def attempt(problem: str = "p", **changes) -> Attempt:
    values = {
        "cell": "c",
        "problem": problem,
        "seed": 0,
        "status": "ok",
        "answer": "\\frac{1}{2}",
        "correct": True,
        "chosen": 0,
        "pool": Pool(answer=("\\frac{1}{2}", None), correct=(True, None), score=(0.1, -2e-17)),
        "policy": Usage(2, 30, 40, 20, 1.5e12, None),
    }
    return Attempt(**{**values, **changes})


@pytest.fixture
def run(tmp_path: Path):
    store = RunStore(tmp_path / "run")
    store.open()
    yield store
    store.close()


def test_an_attempt_reads_back_exactly(run: RunStore):
    run.append(attempt(), Measurement(1.5, 3, 2.5e9))
    assert list(run.attempts()) == [attempt()]
    assert run.measurements() == {("c", "p", 0): Measurement(1.5, 3, 2.5e9)}


def test_equal_attempts_are_equal_bytes(run: RunStore):
    run.append(attempt("a"), Measurement(1.0))
    run.append(attempt("a"), Measurement(2.0))
    first, second = run.attempts_path.read_bytes().splitlines()
    assert first == second


@pytest.mark.parametrize("torn", [b"", b'{"cell"', b"x" * 200_000])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(run: RunStore, torn: bytes):
    run.append(attempt("a"), Measurement())
    run.close()
    with run.attempts_path.open("ab") as file:
        file.write(torn)
    assert [one.problem for one in run.attempts()] == ["a"]
    run.open()
    run.append(attempt("b"), Measurement())
    assert [one.problem for one in run.attempts()] == ["a", "b"]


def test_a_failure_that_was_repeated_counts_as_what_it_became(run: RunStore):
    run.append(attempt("a", status="error", error="no"), Measurement())
    run.append(attempt("b", status="error", error="no"), Measurement())
    run.append(attempt("a"), Measurement())
    run.append(attempt("b", status="error", error="again"), Measurement())
    assert [(one.problem, one.status, one.error) for one in run.attempts()] == [
        ("a", "ok", None),
        ("b", "error", "again"),
    ]


def test_a_run_is_open_once(run: RunStore):
    with pytest.raises(StoreError, match="another process is writing"):
        RunStore(run.folder).open()


def test_a_closed_run_refuses_attempts(tmp_path: Path):
    with pytest.raises(StoreError, match="not open"):
        RunStore(tmp_path).append(attempt(), Measurement())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason=f"{NOT_TO_BE_HAD}/dev/full")
def test_a_full_disk_is_a_store_error(run: RunStore):
    run._attempts.close()
    run._attempts = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
    with pytest.raises(StoreError, match="No space left"):
        run.append(attempt(), Measurement())
    with pytest.raises(StoreError, match="not open"):  # nothing is written behind a torn line
        run.append(attempt(), Measurement())


def test_a_manifest_is_replaced_whole(run: RunStore):
    with pytest.raises(StoreError, match="is this a run folder"):
        run.read_manifest()
    run.write_manifest(a_manifest(suite="s"))
    assert run.read_manifest().suite == "s"
    assert [path.name for path in run.folder.iterdir() if "manifest" in path.name] == [
        "manifest.json"
    ]


def test_the_newest_run_of_the_same_suite_is_found(tmp_path: Path):
    for name, suite_hash in [
        ("2026-01-01T00-00-00Z_abcd", "abcd1"),
        ("2026-01-02T00-00-00Z_abcd", "abcd1"),
        ("2026-01-03T00-00-00Z_abcd", "abcd2"),
    ]:
        (tmp_path / name).mkdir()
        RunStore(tmp_path / name).write_manifest(a_manifest(suite_hash=suite_hash))
    found = find_run(tmp_path, "abcd1")
    assert found is not None
    assert found.folder.name == "2026-01-02T00-00-00Z_abcd"
    assert find_run(tmp_path, "ffff") is None


def test_latest_is_a_link_or_a_file_and_is_followed(tmp_path: Path, monkeypatch):
    for name in ("one", "two"):
        RunStore(tmp_path / name).folder.mkdir()
        RunStore(tmp_path / name).write_manifest(a_manifest())
    point_latest(tmp_path / "one")
    assert resolve_run(tmp_path).folder.name == "one"

    def refuse(*_, **__):
        raise OSError("no links here")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    (tmp_path / "latest").unlink()
    point_latest(tmp_path / "two")
    assert (tmp_path / "latest").read_text() == "two\n"
    assert resolve_run(tmp_path / "latest").folder.name == "two"
    assert resolve_run(tmp_path).folder.name == "two"
    with pytest.raises(StoreError, match="no such run folder"):
        resolve_run(tmp_path / "three")


def test_atomic_writing_leaves_the_old_text_when_it_fails(tmp_path: Path, monkeypatch):
    write_atomically(tmp_path / "f", "old")

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="No space left"):
        write_atomically(tmp_path / "f", "new")
    assert (tmp_path / "f").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["f"]
