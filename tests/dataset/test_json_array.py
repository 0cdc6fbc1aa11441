"""JSON arrays cut into their elements, whatever pieces they come in."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.dataset.json_array import NoArray, elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


@given(st.lists(VALUES, max_size=5), st.integers(1, 40), st.booleans())
def test_elements_come_back_from_pieces_of_any_size(values: list, chunk: int, spaced: bool):
    text = json.dumps(values, indent=1 if spaced else None, ensure_ascii=chunk % 2 == 0)
    found = elements(io.StringIO(f" {text}\n"), chunk)
    assert [json.loads(one) for one in found] == values


@pytest.mark.parametrize("chunk", [1, 3, 100])
@pytest.mark.parametrize(
    "text",
    ["", "{}", '"a"', "[1, 2", '["a', "[1] 2", "[1] [2]", "x [1]", "[1, [2]", '["a\\"]', "12", "]"],
)
def test_anything_else_is_told(text: str, chunk: int):
    with pytest.raises(NoArray):
        list(elements(io.StringIO(text), chunk))


def test_a_comma_without_an_element_is_one_that_no_parser_takes():
    assert list(elements(io.StringIO("[1,,2]"))) == ["1", "", "2"]
