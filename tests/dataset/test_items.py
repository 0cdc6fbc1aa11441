from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from tts_bench.dataset.base import Item
from tts_bench.dataset.items import after_hashes, integer, items_of, problem_columns
from tts_bench.dataset.row import Row
from tts_bench.errors import DatasetError


def rows(*table: Mapping[str, object]) -> list[Row]:
    return [Row(f"a.jsonl:{number}", cells) for number, cells in enumerate(table, start=1)]


def items(*table: Mapping[str, object], **columns: str) -> tuple[Item, ...]:
    return items_of(rows(*table), problem_columns(columns), "a.jsonl", str)


def refusal(*table: Mapping[str, object], **columns: str) -> str:
    with pytest.raises(DatasetError) as caught:
        items(*table, **columns)
    return str(caught.value)


def test_usual_names_are_found_without_a_map() -> None:
    row = {"question": "1 + 1", "answer": 2, "unique_id": "x/1", "level": 1, "subject": "Sums"}
    (item,) = items(row)
    assert (item.problem.text, item.reference, item.problem.id) == ("1 + 1", "2", "x/1")
    assert (item.problem.level, item.problem.subject) == (1, "Sums")


def test_map_names_the_column_of_a_role() -> None:
    row = {"problem": "?", "prompt": "1 + 1", "answer": "no", "final": "2"}
    (item,) = items(row, problem="prompt", reference="final")
    assert (item.problem.text, item.reference) == ("1 + 1", "2")


def test_missing_column_is_refused_with_those_that_exist() -> None:
    assert refusal({"problems": "1", "answer": "1"}) == (
        "a.jsonl: no column 'problem' or 'question' or 'prompt' for the problem; "
        "there are 'problems', 'answer'. Did you mean 'problems'?"
    )


def test_optional_column_must_exist_once_it_is_named() -> None:
    row = {"problem": "1", "answer": "1"}
    assert items(row)[0].problem.level is None
    assert "no column 'difficulty' for the level" in refusal(row, level="difficulty")


@pytest.mark.parametrize("empty", [None, "", "  ", float("nan")])
@pytest.mark.parametrize(("column", "role"), [("problem", "problem"), ("answer", "reference")])
def test_empty_problem_or_reference_is_refused_with_its_row(
    column: str, role: str, empty: object
) -> None:
    good = {"problem": "1", "answer": "1"}
    message = f"a.jsonl:2: no {role} (column {column!r} is empty)"
    assert refusal(good, {**good, column: empty}) == message


def test_cell_absent_from_one_row_is_refused_with_that_row() -> None:
    message = refusal({"problem": "1", "answer": "1"}, {"problem": "2"})
    assert message == "a.jsonl:2: no reference (column 'answer' is empty)"


@pytest.mark.parametrize(("cell", "kind"), [(["1", "2"], "list"), (True, "bool"), ({}, "dict")])
def test_reference_must_be_text_or_a_number(cell: object, kind: str) -> None:
    message = refusal({"problem": "1", "answer": cell})
    assert message == (
        f"a.jsonl:1: the reference (column 'answer') is a {kind}, not text or a number"
    )


def test_empty_table_is_refused() -> None:
    assert refusal() == "a.jsonl is empty"


@pytest.mark.parametrize(
    ("cell", "level"),
    [(3, 3), ("3", 3), (3.0, 3), ("Level 3", 3), ("level 3", 3), ("Level ?", None), (None, None)],
)
def test_level_is_read_from_numbers_and_from_math_s_spelling(
    cell: object, level: int | None
) -> None:
    assert items({"problem": "1", "answer": "1", "level": cell})[0].problem.level == level


def test_level_in_words_is_refused() -> None:
    message = refusal({"problem": "1", "answer": "1", "level": "hard"})
    assert message == "a.jsonl:1: level 'hard' is neither a number nor like 'Level 3'"


def test_repeated_id_is_refused_with_both_rows() -> None:
    row = {"id": 7, "problem": "1", "answer": "1"}
    assert refusal(row, {**row, "id": 8}, row) == "a.jsonl:3: id '7' is that of a.jsonl:1 too"


def test_ids_from_content_survive_reordering() -> None:
    first, second = {"problem": "1 + 1", "answer": "2"}, {"problem": "2 + 2", "answer": "4"}
    ids = {item.problem.text: item.problem.id for item in items(first, second)}
    assert ids == {item.problem.text: item.problem.id for item in items(second, first)}
    assert ids["1 + 1"] == hashlib.sha256(b"1 + 1").hexdigest()[:12]


def test_repeated_problems_without_ids_stay_apart() -> None:
    row = {"problem": "1 + 1", "answer": "2"}
    ids = [item.problem.id for item in items(row, row, row)]
    assert ids == [ids[0], f"{ids[0]}-2", f"{ids[0]}-3"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [("27.0", "27"), ("025", "25"), ("-1", "-1"), ("0", "0"), ("27.5", "27.5"), ("1/2", "1/2")],
)
def test_integers_lose_their_decimals_and_leading_zeros(text: str, plain: str) -> None:
    assert integer(text) == plain


@pytest.mark.parametrize(
    ("text", "answer"), [("a\n#### 18", "18"), ("#### 1,200,000", "1200000"), ("####-3 ", "-3")]
)
def test_final_answer_is_what_follows_the_hashes(text: str, answer: str) -> None:
    assert after_hashes(text) == answer


@pytest.mark.parametrize("text", ["18", "so it is ####", "#### "])
def test_solution_without_a_final_answer_is_refused_with_its_row(text: str) -> None:
    table = rows({"problem": "1", "answer": text})
    with pytest.raises(DatasetError, match="column 'answer' has no final answer"):
        items_of(table, problem_columns({}), "a.jsonl", after_hashes)
