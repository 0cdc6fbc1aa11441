"""Lists as Python and numpy write them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.dataset.written import Shortened, listed

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(VALUES, max_size=5))
def test_what_python_writes_comes_back(values: list):
    assert listed(repr(values)) == values


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1), min_size=1))
def test_texts_that_numpy_writes_come_back(values: list):
    array = np.array(values, dtype=object)
    with np.printoptions(threshold=10**6):
        assert listed(str(array)) == values
        assert listed(repr(array)) == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("['a' 'b']", ["a", "b"]),
        ("['it\\'s' \"it's\"\n 'c']", ["it's", "it's", "c"]),
        ("[ True False]", [True, False]),
        ("[0.5 1.  2.]", [0.5, 1.0, 2.0]),
        ("array(['a', 'b'], dtype='<U1')", ["a", "b"]),
        ("[array([0.1, 0.2], dtype=float32), array([0.3])]", [[0.1, 0.2], [0.3]]),
        ("[array([0.1, 0.2], dtype=float32)\n array([0.3])]", [[0.1, 0.2], [0.3]]),
        ("[np.float64(0.5), np.str_('a'), np.True_]", [0.5, "a", True]),
        ("('a', None)", ["a", None]),
        ("[1e-05 2.5e+10 -3]", [1e-05, 2.5e10, -3]),
        ('["a", null, true]', ["a", None, True]),
        ("[]", []),
    ],
)
def test_ways_to_write_a_list(text: str, values: list):
    assert listed(text) == values


def test_nan_and_infinity_are_numbers():
    nan, endless = listed("[nan -inf]") or []
    assert math.isnan(nan)
    assert endless == -math.inf


@pytest.mark.parametrize(
    "text",
    [
        "a text", "[1, 2", "[1, 2] and more", "[a, b]", "(1, 2)]", "array(", "['a", "[1 2)",
        "[__import__('os').system('true')]", "[" * 10_000, "[1,2) + (3]", "12", "",
    ],
)  # fmt: skip
def test_anything_else_is_no_list(text: str):
    assert listed(text) is None


def test_a_list_whose_middle_was_left_out_is_told():
    with pytest.raises(Shortened):
        listed("[1 2 3 ... 8 9]")
