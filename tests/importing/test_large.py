"""Large files: rows are read one by one, and what is held does not grow with the file."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tts_bench.dataset import readers
from tts_bench.dataset.row import BadRows
from tts_bench.dataset.rows import iter_rows, read_rows
from tts_bench.errors import DatasetError
from tts_bench.importing.layout import Layout
from tts_bench.importing.pools import read_pools
from tts_bench.importing.recording import Recording
from tts_bench.importing.run import PoolSource, import_pools
from tts_bench.importing.table import Table
from tts_bench.progress import Progress
from tts_bench.store.runs import resolve_run

ROWS, COMPLETIONS, CHARACTERS = 30, 50, 20_000
ROW = COMPLETIONS * CHARACTERS


def rows():
    for number in range(ROWS):
        yield {
            "id": f"p{number}",
            "samples": [f"{i} {number} " + "word " * (CHARACTERS // 5) for i in range(COMPLETIONS)],
            "pred": [str(i % 3) for i in range(COMPLETIONS)],
            "is_corrects": [i % 3 == 0 for i in range(COMPLETIONS)],
        }


@pytest.fixture(params=["jsonl", "json", "parquet"])
def large(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(readers, "_LARGE", 2**20)
    path = tmp_path / f"large.{request.param}"
    if request.param == "parquet":
        tables = (pa.Table.from_pylist([row]) for row in rows())
        first = next(tables)
        with pq.ParquetWriter(path, first.schema) as writer:
            writer.write_table(first)
            for table in tables:
                writer.write_table(table)
        return path
    with path.open("w") as file:
        for number, row in enumerate(rows()):
            start = "" if request.param == "jsonl" else ",\n" if number else "["
            file.write(start + json.dumps(row) + ("\n" if request.param == "jsonl" else ""))
        file.write("" if request.param == "jsonl" else "]")
    return path


def test_an_import_holds_a_few_rows_however_many_there_are(large: Path, tmp_path: Path):
    said = io.StringIO()
    recording = Recording("recorded", "recorded")
    tracemalloc.start()
    try:
        table = Table(lambda on_bad: iter_rows(str(large), on_bad=on_bad), str(large))
        pools = read_pools(table, Layout(str, {}, recording=recording))
        source = PoolSource("large", str(large), recording=recording)
        progress = Progress("plain", said, unit="problem")
        done = asyncio.run(import_pools(pools, source, tmp_path / "r", progress=progress))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert large.stat().st_size > ROWS * ROW or large.suffix == ".parquet"
    assert peak < 12 * ROW, f"{peak / ROW:.1f} rows"
    assert (done.problems, done.n) == (ROWS, COMPLETIONS)
    attempts = list(resolve_run(tmp_path / "r" / "large").attempts())
    assert [one.problem for one in attempts] == [f"p{number}" for number in range(ROWS)]
    assert all(one.pool.correct.count(True) == 17 for one in attempts)


def test_a_large_list_is_read_as_a_small_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.json"
    path.write_text('[{"a": 1, "b": ["x]", "\\"{"]},\n {"a": null}, 5, {"a": [NaN]}]')
    small, large = BadRows(), BadRows()
    before = read_rows(str(path), on_bad=small)
    monkeypatch.setattr(readers, "_LARGE", 0)
    after = read_rows(str(path), on_bad=large)
    assert repr(after) == repr(before)
    assert small.kinds == large.kinds == {"an object is expected": 1}
    with pytest.raises(DatasetError, match=r"a\.json row 3: an object is expected, not a number"):
        read_rows(str(path))


@pytest.mark.parametrize("text", ['{"a": 1}', '[{"a": 1}', '[{"a": 1}] x', '[{"a": 1}{"b": 2}]'])
def test_a_large_file_that_is_no_list_is_one_line(tmp_path: Path, monkeypatch, text: str):
    monkeypatch.setattr(readers, "_LARGE", 0)
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=r"a\.json"):
        read_rows(str(path))
