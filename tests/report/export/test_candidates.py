from __future__ import annotations

import asyncio

import pandas as pd
import pytest

from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.report.build import write_report
from tts_bench.report.export.candidates import write_candidates
from tts_bench.report.export.kept import KnownTexts
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
    fill(tmp_path / "generations.sqlite", {"x": "It is 1 ≈ 1.", "y": "Let us"})
    assert write_candidates(run) is True
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
    fill(tmp_path / "generations.sqlite", {"x": "here"})
    assert write_candidates(run)
    texts = pd.read_parquet(run.folder / "candidates.parquet").text
    assert texts[0] == "here"
    assert pd.isna(texts[1])


@pytest.mark.parametrize("named", [True, False])
def test_without_a_store_an_earlier_file_is_kept(run, named):
    if not named:
        run.write_manifest(run.read_manifest().changed(generations=None))
    kept = run.folder / "candidates.parquet"
    kept.write_bytes(b"earlier")
    assert write_candidates(run) is False
    assert kept.read_bytes() == b"earlier"


def test_a_store_that_is_none_is_an_error_and_leaves_no_half_file(run, tmp_path):
    store = tmp_path / "generations.sqlite"
    store.write_bytes(b"this is no database, whatever its name says" * 100)
    with pytest.raises(StoreError, match=r"generations\.sqlite"):
        write_candidates(run)
    assert not list(run.folder.glob("*candidates*"))


def test_a_failure_that_was_repeated_is_written_once(make, tmp_path):
    cell = make.cell("greedy")
    attempts = [
        make.attempt(cell["id"], "p", make.pool([answer]), status=status)
        for answer, status in (("2", "error"), ("1", "ok"))
    ]
    run = make.run([cell], attempts)
    fill(tmp_path / "generations.sqlite", {})
    assert write_candidates(run)
    assert list(pd.read_parquet(run.folder / "candidates.parquet").answer) == ["1"]


def test_row_groups_are_written_one_by_one(make, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    monkeypatch.setattr("tts_bench.report.export.candidates._ROWS_PER_GROUP", 3)
    cell = make.cell("self_consistency", [4], "majority")
    attempts = [make.attempt(cell["id"], name, make.pool(["1"] * 4)) for name in "ab"]
    run = make.run([cell], attempts)
    fill(tmp_path / "generations.sqlite", {})
    assert write_candidates(run)
    file = pq.ParquetFile(run.folder / "candidates.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(3)] == [3, 3, 2]
    assert list(pd.read_parquet(run.folder / "candidates.parquet").problem) == ["a"] * 4 + ["b"] * 4


def texts(run):
    return list(pd.read_parquet(run.folder / "candidates.parquet").text)


def test_texts_that_a_store_no_longer_has_are_kept_from_the_earlier_table(run, tmp_path):
    store = fill(tmp_path / "generations.sqlite", {"x": "It is 1.", "y": "Let us"})
    assert write_candidates(run)
    store.unlink()
    fill(store, {"x": "It is 1."})
    for _ in range(2):
        with KnownTexts(run) as known:
            assert write_candidates(run, known)
            said = known.note()
        assert texts(run) == ["It is 1.", "Let us"]
    assert said == (
        f"texts not in {store.resolve()}: 1; kept from the earlier candidates.parquet or "
        "report.html: 1; nowhere, so left empty: 0"
    )


def test_texts_that_only_an_earlier_page_has_come_back(run, tmp_path):
    store = fill(tmp_path / "generations.sqlite", {"x": "It is\n\n1.", "y": "Let us"})
    said = []
    write_report(run, say=said.append)
    assert said == []
    (run.folder / "candidates.parquet").unlink()
    store.unlink()
    fill(store, {})
    page = (run.folder / "report.html").read_bytes()
    write_report(run, say=said.append)
    assert (run.folder / "report.html").read_bytes() == page
    assert texts(run) == ["It is\n\n1.", "Let us"]
    assert len(said) == 1
    assert "report.html: 2; nowhere, so left empty: 0" in said[0]


def test_a_page_of_an_attempt_that_is_another_by_now_gives_no_text(run, tmp_path, make):
    store = fill(tmp_path / "generations.sqlite", {"x": "It is 1.", "y": "Let us"})
    write_report(run, say=print)
    store.unlink()
    (run.folder / "candidates.parquet").unlink()
    fill(store, {})
    run.attempts_path.write_text(run.attempts_path.read_text().replace('["1",null]', '["2",null]'))
    run.measurements_path.unlink()  # which knows the line's checksum
    said = []
    write_report(run, say=said.append)
    assert [pd.isna(text) for text in texts(run)] == [True, True]
    assert said[0].endswith("report.html: 0; nowhere, so left empty: 2")
    assert len(said) == 1


def test_an_earlier_table_that_cannot_be_read_is_not_written_over(run, tmp_path):
    fill(tmp_path / "generations.sqlite", {"x": "It is 1."})
    (run.folder / "candidates.parquet").write_bytes(b"torn")
    with pytest.raises(StoreError, match=r"candidates\.parquet: cannot be read.*elsewhere"):
        write_report(run, say=print)
    assert (run.folder / "candidates.parquet").read_bytes() == b"torn"
