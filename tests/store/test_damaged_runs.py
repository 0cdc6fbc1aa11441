"""Every command that reads a run says in one line what is wrong with it, and how to go on."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Done
from parts import NOT_TO_BE_HAD

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "version_0_1"


@pytest.fixture
def results(tmp_path: Path, monkeypatch) -> Path:
    """A copy of recorded results: a run with its store."""
    shutil.copytree(RECORDED, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("tts_bench.report.build._FIGURES", {})
    monkeypatch.chdir(tmp_path)
    return tmp_path / "results"


def run_of(results: Path) -> Path:
    [folder] = results.glob("*/*Z_*")
    return folder


COMMANDS: dict[str, Callable[[Path], list[object]]] = {
    "report": lambda run: ["report", run],
    "compare": lambda run: ["compare", run, run],
    "gate": lambda run: ["gate", run, "--baseline", run, "--exact"],
    "export": lambda run: ["export", run, "--format", "lm-eval"],
    "run": lambda run: ["run", run / "manifest.json", "--replay"],
}


def one_line(done: Done) -> str:
    """What a command said that was refused: one line; a run says before it what it has."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    *before, line = done.stderr.splitlines()
    assert before in ([], ["stopped: no attempt was finished"])
    assert line.startswith("error: ")
    assert len(line) < 700
    return line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "data", [b'{"format_version": 1, ', b"[" * 100_000, b'{"format_version":1}']
)
def test_a_damaged_manifest_is_one_line(results: Path, cli, command: str, data: bytes):
    run = run_of(results)
    (run / "manifest.json").write_bytes(data)
    assert "manifest.json" in one_line(cli(*COMMANDS[command](run)))


def test_a_damaged_manifest_is_a_row_of_the_list_of_runs(results: Path, cli):
    (run_of(results) / "manifest.json").write_bytes(b"[" * 100_000)
    done = cli("ls", "runs", "-o", results)
    assert done.returncode == 0
    assert "no JSON: " in done.stdout


@pytest.mark.parametrize("command", ["report", "export", "run"])
def test_a_store_that_is_no_database_is_one_line(results: Path, cli, command: str):
    (results / "generations.sqlite").write_bytes(b"no database at all " * 1000)
    line = one_line(cli(*COMMANDS[command](run_of(results))))
    assert "generations.sqlite" in line
    assert "move it elsewhere" in line


def test_a_store_with_pages_of_noise_is_one_line(results: Path, cli):
    path = results / "generations.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    path.write_bytes(data)
    assert "generations.sqlite" in one_line(cli("report", run_of(results)))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("command", ["report", "export"])
def test_a_folder_that_takes_nothing_is_one_line_and_loses_nothing(
    results: Path, cli, monkeypatch, command: str, number: int
):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    run = run_of(results)
    before = {path: path.read_bytes() for path in run.iterdir() if path.is_file()}
    monkeypatch.setattr(Path, "write_bytes", refuse)
    monkeypatch.setattr("tts_bench.store.files.os.replace", refuse)
    assert os.strerror(number) in one_line(cli(*COMMANDS[command](run)))
    assert {path: path.read_bytes() for path in run.iterdir() if path.is_file()} == before


def test_a_disk_that_is_full_for_temporary_files_is_one_line(results: Path, cli, monkeypatch):
    import sqlite3

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("tts_bench.report.export.kept.KnownTexts._keep", full)
    run = run_of(results)
    (run / "candidates.parquet").touch()
    shutil.move(results / "generations.sqlite", results / "elsewhere.sqlite")
    assert "disk is full" in one_line(cli("report", run))


@pytest.mark.skipif(os.geteuid() == 0, reason=f"{NOT_TO_BE_HAD}root may write everywhere")
def test_a_read_only_folder_is_one_line(results: Path, cli):
    run = run_of(results)
    run.chmod(0o555)
    try:
        for command in ("report", "export"):
            assert "Permission denied" in one_line(cli(*COMMANDS[command](run)))
    finally:
        run.chmod(0o755)


@pytest.mark.parametrize("latest", [".", "latest", "gone", "x" * 5000, "\0"])
def test_a_latest_that_leads_nowhere_is_one_line(tmp_path: Path, cli, latest: str):
    (tmp_path / "latest").write_text(latest)
    assert "no such run folder" in one_line(cli("report", tmp_path))
    assert "no such run folder" in one_line(cli("report", tmp_path / ("x" * 5000)))
