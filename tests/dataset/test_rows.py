from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from tts_bench.dataset.rows import read_rows, read_text
from tts_bench.errors import DatasetError

TABLE = [{"problem": "1 + 1, please", "answer": "2"}, {"problem": "“½”\nand more", "answer": "x"}]


def write(folder: Path, name: str, content: str | bytes) -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def refusal(path: str) -> str:
    with pytest.raises(DatasetError) as caught:
        read_rows(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_every_format_gives_the_same_cells(tmp_path: Path) -> None:
    lines = "\n\n".join(json.dumps(row) for row in TABLE)
    write(tmp_path, "a.jsonl", lines)
    write(tmp_path, "a.json", json.dumps(TABLE))
    with (tmp_path / "a.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(TABLE[0]))
        writer.writeheader()
        writer.writerows(TABLE)
    parquet.write_table(pa.Table.from_pylist(TABLE), tmp_path / "a.parquet")
    for suffix in ("jsonl", "json", "csv", "parquet"):
        rows = read_rows(str(tmp_path / f"a.{suffix}"))
        assert [dict(row.cells) for row in rows] == TABLE, suffix


def test_rows_know_where_they_are(tmp_path: Path) -> None:
    lines = write(tmp_path, "a.jsonl", '{"a": 1}\n\n{"a": 2}\n')
    table = write(tmp_path, "a.json", '[{"a": 1}, {"a": 2}]')
    assert [row.where for row in read_rows(lines)] == [f"{lines}:1", f"{lines}:3"]
    assert [row.where for row in read_rows(table)] == [f"{table} row 1", f"{table} row 2"]


def test_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "a.jsonl", '{"a": 1}')
    assert len(read_rows("~/a.jsonl")) == 1


def test_missing_file_suggests_a_sibling(tmp_path: Path) -> None:
    write(tmp_path, "math500.jsonl", "")
    wanted = tmp_path / "mth500.jsonl"
    assert refusal(str(wanted)) == f"no such file: {wanted}. Did you mean 'math500.jsonl'?"
    assert refusal("no/such/folder/a.jsonl") == "no such file: no/such/folder/a.jsonl"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "x", "cannot read '.txt', only .jsonl, .json, .csv, .parquet"),
        ("a.jsonl", '{"a": 1}\n{"a": }', ":2: bad JSON: Expecting value, column 7"),
        ("a.jsonl", "[1]", ":1: an object is expected, not a list"),
        ("a.json", '[\n{"a": 1},\n{"a" 2}]', ":3: bad JSON: Expecting ':' delimiter"),
        ("a.json", '{"a": 1}\n{"a": 2}', "name it .jsonl if each line is an object"),
        ("a.json", '{"rows": []}', ": a list of objects is expected, not an object"),
        ("a.json", '[{"a": 1}, "b"]', " row 2: an object is expected, not a string"),
        ("a.csv", "a,b\n1,2\n3\n", " row 2: not as many cells as there are columns"),
        ("a.csv", "a,b\n1,2,3\n", " row 1: not as many cells as there are columns"),
        ("a.csv", 'a,b\n1,"2', ":2: bad CSV: unexpected end of data"),
        ("a.parquet", "PAR", ": bad parquet: "),
        ("a.jsonl", b'{"a": "\xe9"}', ":1: not UTF-8 text: invalid continuation byte at byte 7"),
        ("a.csv", b"a\n\xe9\n", "is not UTF-8 text: 'utf-8' codec can't decode byte 0xe9"),
    ],
)
def test_malformed_file_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, name, content)
    refused = refusal(path)
    assert refused.startswith(path)
    assert message in refused


def test_folder_is_refused(tmp_path: Path) -> None:
    assert refusal(str(tmp_path)) == f"{tmp_path} is a folder, not a file"


def test_a_text_may_begin_with_a_byte_order_mark_and_what_is_none_is_one_line(tmp_path):
    assert read_text(write(tmp_path, "a.txt", b"\xef\xbb\xbfJudge.")) == "Judge."
    for path in (write(tmp_path, "b.txt", b"\xff\xfe"), str(tmp_path), "~nosuchuser/a", "a" * 5000):
        with pytest.raises(DatasetError) as caught:
            read_text(path)
        assert len(str(caught.value)) < 700
