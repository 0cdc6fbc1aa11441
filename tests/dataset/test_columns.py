"""The finder of columns: usual names, names that a user gives, and what is ambiguous."""

from __future__ import annotations

import pytest

from tts_bench.dataset import columns
from tts_bench.dataset.columns import Columns, Names, parse_columns
from tts_bench.dataset.row import Row
from tts_bench.errors import DatasetError

TABLES = {
    name: table
    for name, table in vars(columns).items()
    if name.isupper() and not name.startswith("_")
}
ROLES: dict[str, Names] = {
    "problem": (("problem", "question"), ("prompt",)),
    "id": (("id",),),
}


def find(*names: str, **given: str) -> dict[str, str]:
    return Columns(ROLES, given, required=("problem",)).find(names, "a.csv")


def refusal(*names: str, **given: str) -> str:
    with pytest.raises(DatasetError) as caught:
        find(*names, **given)
    return str(caught.value)


def test_usual_names_go_by_their_rank():
    assert find("id", "question") == {"problem": "question", "id": "id"}
    assert find("prompt") == {"problem": "prompt"}
    assert find("prompt", "problem") == {"problem": "problem"}


def test_two_columns_of_one_rank_are_an_error_that_names_both():
    assert refusal("problem", "id", "question") == (
        "a.csv: 'problem' and 'question' may each be the problem; "
        "say which: columns: {problem: problem}"
    )
    assert find("problem", "question", problem="question") == {"problem": "question"}


def test_a_column_that_a_user_gave_to_one_role_is_not_taken_for_another():
    assert find("problem", "question", id="question") == {"problem": "problem", "id": "question"}
    assert "no column" in refusal("question", id="question")
    assert find("x", id="x", problem="x") == {"problem": "x", "id": "x"}


def test_what_is_not_there_is_said_with_what_is():
    assert refusal("a", "b") == (
        "a.csv: no column 'problem' or 'question' or 'prompt' for the problem; "
        "there are 'a', 'b'; name it: columns: {problem: NAME}"
    )
    assert refusal("problem", "ident", id="idents") == (
        "a.csv: no column 'idents' for the id; there are 'problem', 'ident'. Did you mean 'ident'?"
    )


def test_an_unknown_role_is_refused_before_any_table_is_read():
    with pytest.raises(DatasetError) as caught:
        Columns(ROLES, {"problme": "x"}, option="--map")
    assert str(caught.value) == (
        "--map problme=x: no role 'problme', only problem, id. Did you mean 'problem'?"
    )


def test_empty_cells_of_a_row_are_passed_over_unless_they_were_named():
    row = Row("a.csv:2", {"problem": None, "question": "1 + 1", "id": None, "x": None})
    assert Columns(ROLES).cells(row) == {"problem": "1 + 1"}
    assert Columns(ROLES, {"id": "x"}).cells(row) == {"problem": "1 + 1", "id": None}


@pytest.mark.parametrize("table", TABLES)
def test_no_usual_name_stands_twice_under_a_role(table):
    for role, ranks in TABLES[table].items():
        names = [name for rank in ranks for name in rank]
        assert len(names) == len(set(names)), role


def test_options_are_parsed():
    assert parse_columns(["a=b", "c=d=e"], "--map") == {"a": "b", "c": "d=e"}
    with pytest.raises(DatasetError, match="--map a: must be ROLE=NAME"):
        parse_columns(["a"], "--map")
    with pytest.raises(DatasetError, match="--column a=c: a is named twice"):
        parse_columns(["a=b", "a=c"], "--column")
