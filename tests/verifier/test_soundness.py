"""What a verifier returns and cannot be charged, stored and read again is that call's error."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tts_bench.cost.ledger import Call
from tts_bench.errors import VerifierError
from tts_bench.types import Score
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.soundness import sound

CALL = Call((1, 2), 0, 1, logits=0)
GOOD = Scoring(Score(0.5, (0.5,)), (CALL,))
BAD: list[tuple[Any, str]] = [
    (None, "returned NoneType, not a list"),
    ([GOOD], "1 scores for 2 candidates"),
    ([GOOD] * 3, "3 scores for 2 candidates"),
    ([GOOD, 0.5], "returned 0.5, which is no Scoring"),
    ([GOOD, Scoring(0.5)], "which is no Scoring"),  # type: ignore[arg-type]
    ([GOOD, replace(GOOD, calls=None)], "calls that are no tuple"),
    ([GOOD, replace(GOOD, calls=(1,))], "a call whose prompt_ids"),
    *(
        ([GOOD, replace(GOOD, calls=(replace(CALL, **fault),))], "a call whose prompt_ids")
        for fault in (
            {"prompt_ids": [1, 2]},
            {"prompt_ids": (1.0, 2)},
            {"completion_tokens": -1},
            {"completion_tokens": 1.5},
            {"cached_prompt_tokens": 3},
            {"known_prompt_tokens": None},
            {"logits": -1},
        )
    ),
]


@pytest.mark.parametrize(("made", "said"), BAD)
def test_what_cannot_be_used_is_an_error_that_says_what_it_is(made: Any, said: str):
    with pytest.raises(VerifierError, match=said) as raised:
        sound(made, 2)
    assert len(str(raised.value)) < 350


def test_what_can_be_used_stays_as_it_is():
    assert sound((GOOD, Scoring(Score(1))), 2) == [GOOD, Scoring(Score(1.0))]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "0.5", [0.5]])
def test_a_score_is_a_finite_number(value: Any):
    with pytest.raises(ValueError, match="a score must be a finite number"):
        Score(value)
    with pytest.raises(ValueError, match="a score must be a finite number"):
        Score(0.5, (0.5, value))


def test_a_score_of_another_librarys_number_becomes_a_plain_one():
    score = Score(np.float32(0.5), tuple(np.array([1, 2])))
    assert (type(score.value), {type(step) for step in score.steps}) == (float, {float})
