"""Further fields of a sampling: neutral ones change no seed and no key, and wrong ones are told."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from tts_bench.engine.base import FURTHER, Request
from tts_bench.engine.cached import request_keys
from tts_bench.strategy.session import draw_seed
from tts_bench.types import Sampling

SOME = Sampling(8, 0.7, 0.9, 5, ("a",))
CHANGES: dict[str, Any] = {
    "min_p": 0.1,
    "presence_penalty": -0.5,
    "frequency_penalty": 0.5,
    "repetition_penalty": 1.1,
    "stop_token_ids": (7, 3),
    "bad_words": ("x",),
}


def key(sampling: Sampling, *ids: int) -> str:
    return request_keys("id", [Request((1, 2), sampling, 3, ids)])[0]


def seed(sampling: Sampling) -> int:
    return draw_seed(1, "p", b"x" * 16, sampling.distribution, (0, 2))


def test_keys_and_seeds_without_further_fields_are_those_of_version_0_1():
    assert key(SOME) == "4775318165299133db32ea37cd7bd310"
    assert key(Sampling(8), 4) == "eb9efb1205f1ceb5d010849f57154bac"
    assert seed(SOME) == 3678830454828558762
    assert set(SOME.settings) == {"max_tokens", "temperature", "top_p", "top_k", "stop"}


def test_every_further_field_is_tried_here():
    assert CHANGES.keys() == FURTHER == {one.name for one in fields(Sampling)[5:]}


@pytest.mark.parametrize("name", CHANGES)
def test_a_further_field_counts_in_the_key_and_in_the_seed_if_it_changes_the_draw(name: str):
    changed = Sampling(8, 0.7, 0.9, 5, ("a",), **{name: CHANGES[name]})
    assert key(changed) != key(SOME)
    assert (seed(changed) != seed(SOME)) == (name != "stop_token_ids")
    assert changed.settings[name] == getattr(changed, name)


def test_equal_samplings_are_equal_to_the_letter():
    one = Sampling(8, stop_token_ids=(7, 3, 7), bad_words=("b", "a"), presence_penalty=1)
    other = Sampling(8, stop_token_ids=(3, 7), bad_words=("a", "b", "a"), presence_penalty=1.0)
    assert (key(one), one) == (key(other), other)
    assert Sampling(8, bad_words="no").bad_words == ("no",)  # type: ignore[arg-type]
    assert Sampling(8, presence_penalty=-0.0, repetition_penalty=1).further == {}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"min_p": 1.5}, "min_p must be from 0 to 1, not 1.5"),
        ({"min_p": float("nan")}, "min_p must be from 0 to 1, not nan"),
        ({"presence_penalty": 3}, "presence_penalty must be from -2 to 2, not 3.0"),
        ({"frequency_penalty": -3}, "frequency_penalty must be from -2 to 2, not -3.0"),
        ({"repetition_penalty": 0}, "repetition_penalty must be from 0.01 to 100, not 0.0"),
        ({"stop_token_ids": (-1,)}, "stop_token_ids must be 0 or more, not -1"),
        ({"bad_words": (" ",)}, "a bad word must not be empty"),
    ],
)
def test_a_value_that_means_nothing_is_told(wrong: dict[str, Any], said: str):
    with pytest.raises(ValueError, match=said):
        Sampling(8, **wrong)
