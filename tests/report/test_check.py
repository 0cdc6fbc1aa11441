"""A check names what is damaged in a run, with a remedy that mends it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tts_bench.engine.base import Completion
from tts_bench.report.build import write_report
from tts_bench.report.check import check_run
from tts_bench.store.generations import GenerationStore
from tts_bench.store.runs import RunStore

Damage = Callable[[RunStore], None]


@pytest.fixture
def run(make, tmp_path: Path, monkeypatch) -> RunStore:
    """A run with its store and every file of its report; one figure stands for all."""
    from tts_bench.report.figures.curve_plots import plot_coverage

    monkeypatch.setattr("tts_bench.report.build._FIGURES", {"coverage": plot_coverage})
    cell = make.cell("self_consistency", [1, 4], "majority")
    pools = [make.pool(["1", "1", "2", None]) for _ in "ab"]
    run = make.run(
        [cell],
        [make.attempt(cell["id"], name, pool) for name, pool in zip("ab", pools, strict=True)],
    )

    async def fill() -> None:
        async with GenerationStore(tmp_path / "generations.sqlite") as store:
            for key in (key for pool in pools for key in pool.generation):
                await store.put(key, Completion((1, 2), f"text of {key}", -1.0, "stop"))

    asyncio.run(fill())
    write_report(run)
    return run


def store(run: RunStore) -> Path:
    return run.folder.parent / "generations.sqlite"


def cut(name: str) -> Damage:
    def damage(run: RunStore) -> None:
        path = run.folder / name
        path.write_bytes(path.read_bytes()[:-20])

    return damage


def remove(name: str) -> Damage:
    return lambda run: (run.folder / name).unlink()


def swap(name: str, old: bytes, new: bytes) -> Damage:
    def damage(run: RunStore) -> None:
        path = run.folder / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new, 1))

    return damage


def change_row(run: RunStore) -> None:
    with closing(sqlite3.connect(store(run))) as connection, connection:
        connection.execute("UPDATE completions SET text = text || '.'")


def lose_rows(run: RunStore) -> None:
    with closing(sqlite3.connect(store(run))) as connection, connection:
        connection.execute("DELETE FROM completions")
    for name in ("candidates.parquet", "report.html"):
        (run.folder / name).unlink()


def no_database(run: RunStore) -> None:
    store(run).write_bytes(b"no database" * 1000)


def lose_store(run: RunStore) -> None:
    store(run).unlink()
    (run.folder / "candidates.parquet").unlink()


def test_a_whole_run_has_no_finding(run: RunStore):
    assert list(check_run(run)) == []


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (remove("manifest.json"), "no manifest.json"),
        (cut("manifest.json"), "no JSON: "),
        (
            swap("manifest.json", b'"pooled": true', b'"pooled": "so"'),
            "missing or malformed part: cells.0",
        ),
        (swap("attempts.jsonl", b'"1"', b'"3"'), "attempts.jsonl:1: its checksum is another"),
        (swap("attempts.jsonl", b"\n", b"\n\n"), "attempts.jsonl:2: a blank line"),
        (cut("attempts.jsonl"), "attempts.jsonl: the last line is torn"),
        (swap("measurements.jsonl", b"2.0", b"3.0"), "measurements.jsonl:1: its checksum"),
        (remove("measurements.jsonl"), "measurements.jsonl: nothing of 2 attempts"),
        (change_row, "generations.sqlite: 8 damaged completions of 2 attempts"),
        (lose_rows, "generations.sqlite: 8 texts of this run are not there"),
        (no_database, "generations.sqlite: file is not a database"),
        (lose_store, "generations.sqlite: absent, and so is candidates.parquet"),
        (cut("candidates.parquet"), "candidates.parquet: cannot be read"),
        (remove("candidates.parquet"), "candidates.parquet: cannot be read"),
        (cut("report.html"), "report.html: cut off"),
        (cut("summary.json"), "summary.json: "),
        (remove("table.md"), "table.md: missing"),
        (remove("coverage.png"), "coverage.png: missing"),
        (cut("coverage.png"), "coverage.png: cut off"),
        (cut("coverage.svg"), "coverage.svg: cut off"),
    ],
)
def test_what_is_damaged_is_named_with_a_remedy(run: RunStore, damage: Damage, named: str):
    damage(run)
    found = list(check_run(run))
    assert [one for one in found if named in one.what], found
    assert all(one.remedy and "\n" not in one.what + one.remedy for one in found)


@pytest.mark.parametrize(
    "damage", [remove("table.csv"), cut("candidates.parquet"), cut("coverage.svg")]
)
def test_a_report_mends_what_a_report_writes(run: RunStore, damage: Damage):
    damage(run)
    assert [one.remedy for one in check_run(run)] == [f"tts-bench report {run.folder}"]
    write_report(run)
    assert list(check_run(run)) == []


def test_an_unfinished_run_without_a_report_is_whole(run: RunStore):
    run.write_manifest(run.read_manifest().changed(status="cancelled"))
    for name in ("report.html", "table.md", "table.csv", "summary.json"):
        (run.folder / name).unlink()
    for path in run.folder.glob("coverage.*"):
        path.unlink()
    assert list(check_run(run)) == []


def test_the_command_exits_with_1_if_anything_is_damaged(run: RunStore, cli):
    whole = cli("check", run.folder)
    assert (whole.returncode, whole.stdout) == (0, f"ok        {run.folder}\n")
    remove("table.md")(run)
    damaged = cli("check", run.folder)
    assert damaged.returncode == 1
    assert damaged.stdout.splitlines() == [
        f"damaged   {run.folder}/table.md: missing",
        f"remedy    tts-bench report {run.folder}",
    ]
    assert cli("check", run.folder / "absent").returncode == 2
