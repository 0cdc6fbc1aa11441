from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

from tts_bench.errors import StoreError, UnknownName
from tts_bench.report.build import build_report, write_report
from tts_bench.store.generations import GenerationStore

TEXTS = ["summary.json", "table.md", "table.csv"]
NAMES = ["accuracy_vs_flops", "accuracy_vs_tokens", "coverage", "by_level", "by_subject"]
FIGURES = [f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")]
PAGE = ["report.html"]


def test_writing_twice_gives_the_same_bytes(make):
    run = make.realistic(problems=8, sweep=(1, 4))
    paths = write_report(run)
    assert [path.name for path in paths] == TEXTS + FIGURES + PAGE
    first = [path.read_bytes() for path in paths]
    assert write_report(run) == paths
    assert [path.read_bytes() for path in paths] == first
    assert all(data.startswith(b"\x89PNG") for data in first[3:-1:2])
    assert all(b"<svg" in data and b"<dc:date" not in data for data in first[4:-1:2])
    assert {path.name for path in run.folder.iterdir() if path.name.startswith(".")} == {".lock"}


def test_figures_without_a_subject_are_removed(make):
    run = make.realistic(problems=4, sweep=(1, 2))
    write_report(run)
    manifest = run.read_manifest()
    bare = [{"id": row.id, "level": None, "subject": None} for row in manifest.problems]
    run.write_manifest(manifest.changed(problems=bare))
    names = [path.name for path in write_report(run)]
    assert "by_level.png" not in names
    assert not any(run.folder.glob("by_*"))
    assert (run.folder / "coverage.png").exists()


def test_written_elsewhere_the_run_stays_as_it_is(make, tmp_path):
    run = make.realistic(problems=4, sweep=(1, 2))
    before = sorted(run.folder.iterdir())
    paths = write_report(run, style="paper", folder=tmp_path / "new" / "figures")
    assert {path.parent for path in paths} == {tmp_path / "new" / "figures"}
    assert sorted(run.folder.iterdir()) == before


def test_an_unknown_style_is_refused_before_anything_is_written(make, tmp_path):
    run = make.realistic(problems=4, sweep=(1, 2))
    with pytest.raises(UnknownName, match="Did you mean 'slides'"):
        write_report(run, style="slide", folder=tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_the_manifest_says_where_the_texts_are(make):
    run = make.realistic(problems=4, sweep=(1, 2), generations="../texts/generations.sqlite")

    async def touch():
        async with GenerationStore(run.folder.parent / "texts" / "generations.sqlite"):
            pass

    asyncio.run(touch())
    assert run.folder / "candidates.parquet" in write_report(run)


def test_a_report_of_a_partial_run_is_written_and_marked(make):
    run = make.realistic(problems=6, sweep=(1, 2), status="cancelled")
    whole = run.attempts_path.read_bytes().splitlines(keepends=True)
    run.attempts_path.write_bytes(b"".join(whole[:7]) + whole[7][:50])
    write_report(run)
    report = build_report(run)
    assert report.attempts == 7
    assert {point.problems for point in report.points} == {1, 2}
    assert "(partial)" in (run.folder / "table.md").read_text("utf-8")


def test_a_run_without_attempts_writes_nothing(make):
    run = make.run([make.cell("greedy")], [], problems=[{"id": "p", "level": None}])
    before = sorted(run.folder.iterdir())
    with pytest.raises(StoreError, match="no attempt yet"):
        write_report(run)
    assert sorted(run.folder.iterdir()) == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(make, monkeypatch):
    run = make.realistic(problems=4, sweep=(1, 2))
    (run.folder / "coverage.png").mkdir()
    with pytest.raises(StoreError, match=r"coverage\.png"):
        write_report(run)


def test_importing_the_report_loads_no_engine_and_no_plotting():
    heavy = ["matplotlib", "pyarrow", "pandas", "torch", "transformers", "vllm", "datasets"]
    code = "import sys, tts_bench.report.build; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert [name for name in heavy if name in loaded] == []
    engines = [name for name in loaded if name.startswith("tts_bench.engine.")]
    # The port, and what it is made of; no adapter.
    port = {"base", "failures", "in_flight", "reopen", "tokenizer"}
    assert {name.rpartition(".")[2] for name in engines} <= port
