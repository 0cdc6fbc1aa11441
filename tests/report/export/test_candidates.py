from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.report.export.candidates import write_candidates
from tts_bench.store.generations import GenerationStore


def fill(path, texts):
    async def put():
        async with GenerationStore(path) as store:
            for key, text in texts.items():
                await store.put(key, Completion((1, 2), text, -1.0, "stop"))

    asyncio.run(put())
    return path


@pytest.fixture
def run(make):
    cell = make.cell("best_of_n", [2], "best")
    pool = make.pool(
        ["1", None],
        score=(0.25, 0.75),
        steps=((0.5, 0.25), ()),
        correct=(True, None),
        tokens=(7, 9),
        finish_reason=("stop", "length"),
        generation=("x", "y"),
    )
    return make.run([cell], [make.attempt(cell["id"], "p", pool)])


def test_candidates_round_trip_through_pandas_with_their_texts(run, tmp_path):
    store = fill(tmp_path / "generations.sqlite", {"x": "It is 1 ≈ 1.", "y": "Let us"})
    assert write_candidates(run, store) is True
    frame = pd.read_parquet(run.folder / "candidates.parquet")
    assert list(frame.columns) == [
        "cell",
        "problem",
        "seed",
        "candidate",
        "chosen",
        "text",
        "answer",
        "correct",
        "score",
        "steps",
        "parent",
        "node",
        "tokens",
        "logprob",
        "finish_reason",
        "generation",
    ]
    first, second = frame.to_dict("records")
    assert (first["cell"], first["problem"], first["seed"]) == ("best_of_n?n=2", "p", 0)
    assert (first["candidate"], first["chosen"], second["chosen"]) == (0, True, False)
    assert (first["text"], second["text"]) == ("It is 1 ≈ 1.", "Let us")
    assert (first["correct"], second["correct"]) == (True, None)
    assert pd.isna(second["answer"])
    assert (first["score"], list(first["steps"])) == (0.25, [0.5, 0.25])
    assert (second["tokens"], second["finish_reason"]) == (9, "length")
    assert pd.isna(first["parent"])


def test_a_text_that_the_store_lacks_is_missing(run, tmp_path):
    store = fill(tmp_path / "generations.sqlite", {"x": "here"})
    assert write_candidates(run, store)
    texts = pd.read_parquet(run.folder / "candidates.parquet").text
    assert texts[0] == "here"
    assert pd.isna(texts[1])


@pytest.mark.parametrize("named", [True, False])
def test_without_a_store_an_earlier_file_is_kept(run, tmp_path, named):
    kept = run.folder / "candidates.parquet"
    kept.write_bytes(b"earlier")
    assert write_candidates(run, tmp_path / "absent.sqlite" if named else None) is False
    assert kept.read_bytes() == b"earlier"


def test_a_store_that_is_none_is_an_error_and_leaves_no_half_file(run, tmp_path):
    store = tmp_path / "generations.sqlite"
    store.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"generations\.sqlite"):
        write_candidates(run, store)
    assert not list(run.folder.glob("*candidates*"))


def test_a_failure_that_was_repeated_is_written_once(make, tmp_path):
    cell = make.cell("greedy")
    attempts = [
        make.attempt(cell["id"], "p", make.pool([answer]), status=status)
        for answer, status in (("2", "error"), ("1", "ok"))
    ]
    run = make.run([cell], attempts)
    assert write_candidates(run, fill(tmp_path / "generations.sqlite", {}))
    assert list(pd.read_parquet(run.folder / "candidates.parquet").answer) == ["1"]


def test_row_groups_are_written_one_by_one(make, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr("tts_bench.report.export.candidates._ROWS_PER_GROUP", 3)
    cell = make.cell("self_consistency", [4], "majority")
    attempts = [make.attempt(cell["id"], name, make.pool(["1"] * 4)) for name in "ab"]
    run = make.run([cell], attempts)
    assert write_candidates(run, fill(tmp_path / "generations.sqlite", {}))
    file = pq.ParquetFile(run.folder / "candidates.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [3, 3, 2]
    assert list(pd.read_parquet(run.folder / "candidates.parquet").problem) == ["a"] * 4 + ["b"] * 4
