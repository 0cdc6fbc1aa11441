"""Files of responses to grade: what is read, and what a user is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.answers.responses import Response
from tts_bench.dataset.responses import read_responses
from tts_bench.errors import DatasetError


def test_responses_may_be_null_missing_or_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a"  # no suffix: JSON lines
    rows = [{"gold": 42, "pred": 42}, {"gold": "7", "pred": None}, {"gold": "7"}]
    path.write_text("\n\n".join(json.dumps(row) for row in rows))
    assert read_responses(path, "gold", "pred", str) == [
        Response("42", "42"),
        Response("7", None),
        Response("7", None),
    ]


def test_tables_of_other_kinds_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("gold,pred\n1, so 1\n")
    assert read_responses(path, "gold", "pred", str) == [Response("1", "so 1")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"gold": "1", "pred": "1"}\n{oops\n', ":2: bad JSON"),
        ('{"gold": "1", "pred": "1"}\n\n[1]\n', ":3: an object is expected, not a list"),
        ('{"golden": "1", "pred": "1"}', "no column 'gold' for the reference; there are 'golden'"),
        ('{"gold": "1", "prediction": "1"}', "Did you mean 'prediction'?"),
        ('{"a": "1", "b": "1"}', "no column 'gold' for the reference; there are 'a', 'b'"),
        ('{"gold": "", "pred": "1"}', ":1: field 'gold' holds no reference answer"),
        ('{"gold": "1", "pred": "1"}\n{"pred": "1"}', ":2: field 'gold' holds no reference"),
        ('{"gold": "1", "pred": ["1"]}', ":1: field 'pred' must be text or a number"),
        ("", "no lines to grade"),
        ("\n\n", "no lines to grade"),
    ],
)
def test_a_faulty_file_is_refused_with_its_place(
    tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(DatasetError) as caught:
        read_responses(path, "gold", "pred", str)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        read_responses(tmp_path / "none.jsonl", "gold", "pred", str)


def test_a_response_that_was_cut_off_vouches_for_a_box_alone(tmp_path, cli):
    path = tmp_path / "r.jsonl"
    lines = [("so it is 3", "MAX_TOKENS"), ("\\boxed{3} and", "length"), ("so it is 3", "eos")]
    path.write_text(
        "".join(json.dumps({"g": "3", "p": text, "f": why}) + "\n" for text, why in lines)
    )
    options = ("--reference-field", "g", "--response-field", "p")
    code, out, _ = cli("grade", path, *options, "--finish-reason-field", "f")
    assert (code, [line.split("\t")[1] for line in out.splitlines()[:3]]) == (
        0,
        ["wrong", "correct", "correct"],
    )
    assert cli("grade", path, *options)[1].count("correct\t") == 3
    path.write_text(json.dumps({"g": "3", "p": "3", "f": "tired"}))
    code, _, err = cli("grade", path, *options, "--finish-reason-field", "f")
    assert code == 2
    assert "r.jsonl:1: a finish reason is not known: 'tired'" in err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r.jsonl", '{"g": "3", "p": "3"}\n'),
        ("r.txt", '{"g": "3", "p": "3"}\n'),
        ("r.json", '[{"g": "3", "p": "3"}]'),
        ("r.csv", "g,p\n3,3\n"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, cli, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8-sig")
    code, out, err = cli("grade", path, "--reference-field", "g", "--response-field", "p")
    assert (code, out.splitlines()[0]) == (0, "1\tcorrect\t3"), err
