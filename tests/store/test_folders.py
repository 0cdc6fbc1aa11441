"""Folders of runs: each run has its own, and what killed ones left is removed, nothing else."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from manifests import a_manifest

from tts_bench.errors import StoreError
from tts_bench.store.folders import held, is_alive, new_run, refuse_twin
from tts_bench.store.runs import RunStore, find_run, next_number


@pytest.fixture(scope="module")
def dead() -> int:
    """Number of a process that was."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def begun(folder: Path) -> RunStore:
    with held(folder):
        return new_run(folder, "abcd1")


def test_runs_that_begin_within_one_second_have_folders_of_their_own(tmp_path: Path):
    runs: list[RunStore] = []
    threads = [threading.Thread(target=lambda: runs.append(begun(tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run.folder for run in runs}) == 8
    for run in runs:
        run.close()


def test_a_twin_is_refused_while_the_first_is_alive(tmp_path: Path):
    run = begun(tmp_path)
    refuse_twin(tmp_path, "abcd2")
    with pytest.raises(StoreError, match="has begun this very run"):
        refuse_twin(tmp_path, "abcd1")
    run.close()
    refuse_twin(tmp_path, "abcd1")


def test_the_newest_run_is_the_one_with_the_highest_number(tmp_path: Path):
    for name, number in [("2026-01-03", 0), ("2026-01-02", 1), ("2026-01-01", 2)]:
        run = RunStore(tmp_path / f"{name}T00-00-00Z_abcd")
        run.folder.mkdir()
        if number:
            assert next_number(run, "abcd1") == number
        parts = {"number": number} if number else {}
        run.write_manifest(a_manifest(suite_hash="abcd1", **parts))
    found = find_run(tmp_path, "abcd1")
    assert found is not None
    assert found.folder.name == "2026-01-01T00-00-00Z_abcd"


def test_what_killed_runs_left_is_removed(tmp_path: Path, dead: int):
    empty, finished = (tmp_path / f"2026-01-0{day}T00-00-00Z_abcd" for day in (1, 2))
    for folder in (empty, finished):
        folder.mkdir()
        (folder / ".lock").touch()
        (folder / "attempts.jsonl").touch()
        (folder / f".manifest.json-{dead}").write_text("{")
    (empty / ".owner").write_text(f"{dead} abcd1")
    RunStore(finished).write_manifest(a_manifest())
    (tmp_path / f".latest-{dead}").symlink_to(empty.name)
    with held(tmp_path):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", finished.name]
    assert sorted(path.name for path in finished.iterdir()) == [
        ".lock",
        "attempts.jsonl",
        "manifest.json",
    ]


def test_what_lives_or_is_not_ours_stays(tmp_path: Path, dead: int):
    alive = begun(tmp_path)
    mine = alive.folder / f".table.md-{threading.main_thread().native_id}"
    kept = []
    for name, file in [
        ("2026-01-01T00-00-00Z_abcd", "notes.txt"),  # somebody's own file
        ("2026-01-02T00-00-00Z_abcd", "attempts.jsonl"),  # attempts, whose manifest was lost
        ("drafts", "attempts.jsonl"),
    ]:
        kept.append(tmp_path / name / file)
        kept[-1].parent.mkdir()
        kept[-1].write_text("{}\n")
    for path in (mine, tmp_path / ".notes-draft", tmp_path / f"table.md-{dead}"):
        path.touch()
        kept.append(path)
    with held(tmp_path):
        pass
    assert [path for path in kept if not path.exists()] == []
    assert alive.folder.is_dir()
    alive.close()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path):
    (tmp_path / "results").write_text("a file")
    with pytest.raises(StoreError, match="results"), held(tmp_path / "results" / "s"):
        raise AssertionError("nothing is done")


def test_a_process_is_alive_until_it_ends(dead: int):
    assert not is_alive(dead)
    assert is_alive(1)
    assert is_alive(2**70)  # whatever it is, it was not seen to end
