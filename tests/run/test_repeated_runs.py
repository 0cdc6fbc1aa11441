"""The same command on a finished run: its report is written only if something is different."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.report import build
from tts_bench.report.tables.render import terminal_table
from tts_bench.store import stamp
from tts_bench.store.runs import RunStore, resolve_run

PLUGIN = Path(__file__).parents[1] / "plugins" / "scripted.py"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 5},
    "engine": {"name": f"{PLUGIN}:Arithmetic"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": ["greedy", {"strategy": "best_of_n", "n": [1, 4]}],
}
CURRENT = "its report is of these attempts already"


@pytest.fixture
def bench(cli, undrawn, tmp_path: Path) -> Callable[..., Done]:
    """Runs the suite in this process, with changes to it."""

    def bench(*options: str, **changes: object) -> Done:
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(SUITE | changes))
        done = cli("run", path, *options, "--output-path", tmp_path / "r")
        assert done.returncode == 0, done.stderr
        return done

    return bench


@pytest.fixture
def folder(bench, tmp_path: Path) -> Path:
    """The folder of a finished run."""
    bench()
    return resolve_run(tmp_path / "r" / "s").folder


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with the number of its inode, which a file written anew has another of."""
    paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in paths}


def contents(folder: Path) -> dict[str, bytes]:
    return {name: data for name, (_, data) in state(folder).items() if name != stamp.STAMP}


def test_nothing_is_written_if_nothing_is_different(bench, folder: Path):
    before = state(folder)
    again = bench()
    assert CURRENT in again.stdout
    assert state(folder) == before
    assert terminal_table(build.build_report(RunStore(folder))) in again.stdout


@pytest.mark.parametrize("name", ["report.html", "table.csv", "candidates.parquet", "suite.yaml"])
def test_an_output_that_was_deleted_or_edited_is_written_again(bench, folder: Path, name: str):
    before = contents(folder)
    (folder / name).unlink()
    bench()
    assert contents(folder) == before
    (folder / name).write_bytes(before[name] + b" ")
    bench()
    assert contents(folder) == before
    assert CURRENT in bench().stdout


def test_another_program_writes_it_again(bench, folder: Path, monkeypatch):
    inode = (folder / "report.html").stat().st_ino
    monkeypatch.setattr(stamp, "_program", lambda: "another")
    assert CURRENT not in bench().stdout
    assert (folder / "report.html").stat().st_ino != inode


@pytest.mark.parametrize("option", [("--style", "paper"), ("--price", "input=2.5,output=10")])
def test_a_report_made_with_options_is_replaced_by_that_of_a_run(bench, folder, cli, option):
    assert cli("report", folder, *option).returncode == 0
    assert CURRENT not in bench().stdout
    assert CURRENT in bench().stdout


def test_the_report_command_always_writes(folder: Path, cli):
    inode = (folder / "report.html").stat().st_ino
    done = cli("report", folder)
    assert f"wrote     {folder / 'report.html'}" in done.stdout
    assert (folder / "report.html").stat().st_ino != inode


def test_a_report_written_elsewhere_leaves_the_stamp(bench, folder: Path, cli, tmp_path: Path):
    before = state(folder)
    assert cli("report", folder, "--output", tmp_path / "elsewhere").returncode == 0
    assert state(folder) == before
    assert not (tmp_path / "elsewhere" / stamp.STAMP).exists()


def test_a_store_that_other_runs_have_filled_is_looked_through_once(
    bench, folder: Path, monkeypatch
):
    bench(name="other", dataset={"name": "arithmetic", "problems": 7})
    looked = []
    has_all = stamp.has_all_texts
    monkeypatch.setattr(stamp, "has_all_texts", lambda run: looked.append(run) or has_all(run))
    assert CURRENT in bench().stdout
    assert CURRENT in bench().stdout
    assert len(looked) == 1


def test_damaged_completions_are_still_made_again(bench, folder: Path, tmp_path: Path):
    before = contents(folder)
    with closing(sqlite3.connect(tmp_path / "r" / "generations.sqlite")) as store, store:
        key = json.loads(before["attempts.jsonl"].splitlines()[0])["pool"]["generation"][0]
        store.execute("UPDATE completions SET text = 'other' WHERE key = ?", (key,))
    again = bench()
    assert "damaged completions in the store" in again.stderr
    assert CURRENT not in again.stdout


def test_a_stamp_that_cannot_be_read_costs_a_report(bench, folder: Path):
    before = contents(folder)
    for damaged in (b"", b"{}", b'{"inputs": 1}', b"\xff"):
        (folder / stamp.STAMP).write_bytes(damaged)
        assert CURRENT not in bench().stdout
        assert contents(folder) == before
    assert CURRENT in bench().stdout


def test_attempts_that_are_different_are_reported(bench, folder: Path):
    lines = (folder / "attempts.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "attempts.jsonl").write_bytes(b"".join(lines[:-1]))
    assert CURRENT not in bench().stdout
    assert sorted((folder / "attempts.jsonl").read_bytes().splitlines(keepends=True)) == sorted(
        lines
    )


def test_a_figure_that_could_not_be_drawn_is_tried_again(bench, folder: Path, cli, monkeypatch):
    def refuse(*_: object) -> None:
        raise ValueError("no figure")

    monkeypatch.setattr(build, "_FIGURES", {"coverage": refuse})
    (folder / "table.md").unlink()
    bench()
    monkeypatch.setattr(build, "_FIGURES", {})
    assert CURRENT not in bench().stdout
    assert CURRENT in bench().stdout
