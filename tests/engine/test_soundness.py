"""A completion that cannot be stored and read again is that request's error, and nobody else's."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.cached import CachedEngine
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.engine.soundness import sound
from tts_bench.errors import EngineError
from tts_bench.store.generations import GenerationStore
from tts_bench.types import Sampling

REQUEST = Request((1, 2, 3), Sampling(max_tokens=4), 0, logprob_ids=(7, 8))
GOOD = Completion((5, 6), "é\0", -1.5, "stop", None, 3, "", (-0.5, -math.inf))
BAD: list[tuple[dict[str, Any], str]] = [
    ({"text": "a\ud800b"}, r"text that is not Unicode text: '\\ud800'"),
    ({"text": None}, "text that is not a string: None"),
    ({"text": b"bytes"}, "text that is not a string"),
    ({"token_ids": (2**31,)}, "not ids from 0 to"),
    ({"token_ids": (-1,)}, "a token id that is not 0 or more: -1"),
    ({"token_ids": (1.0,)}, "not ids from 0 to"),
    ({"token_ids": ("1",)}, "not ids from 0 to"),
    ({"token_ids": None}, "not a tuple of integers: None"),
    ({"token_ids": b"\1\0\0\0"}, "not a tuple of integers"),
    ({"token_ids": (1,) * 5}, "5 tokens where 4 were asked for"),
    ({"logprob": math.nan}, "log-probability that is not a finite number: nan"),
    ({"logprob": -math.inf}, "log-probability that is not a finite number: -inf"),
    ({"logprob": None}, "log-probability that is not a finite number: None"),
    ({"logprob": "-1"}, "log-probability that is not a finite number: '-1'"),
    ({"first_logprobs": (-1.0,)}, "first_logprobs that is not 2 numbers"),
    ({"first_logprobs": None}, "first_logprobs that is not 2 numbers"),
    ({"first_logprobs": (-1.0, math.nan)}, "not a finite number: nan"),
    ({"finish_reason": "eos"}, "finish_reason that is not stop or length: 'eos'"),
    ({"finish_reason": None}, "finish_reason that is not stop or length: None"),
    ({"stop": 3}, "stop that is not a string: 3"),
    ({"stop": "\udfff"}, "stop that is not Unicode text"),
    ({"cached_prompt_tokens": -1}, "cached_prompt_tokens that is not 0 to 3: -1"),
    ({"cached_prompt_tokens": 4}, "cached_prompt_tokens that is not 0 to 3: 4"),
    ({"cached_prompt_tokens": 1.5}, "cached_prompt_tokens that is not 0 to 3: 1.5"),
]


@pytest.mark.parametrize(("fault", "said"), BAD)
def test_a_bad_completion_is_an_error_that_says_what_is_bad(fault: dict[str, Any], said: str):
    with pytest.raises(EngineError, match=said) as raised:
        sound(replace(GOOD, **fault), REQUEST, "k")
    assert len(str(raised.value)) < 350


def test_what_is_no_completion_is_an_error():
    with pytest.raises(EngineError, match="returned str, not Completion"):
        sound("text", REQUEST, "k")


def test_a_good_completion_stays_as_it_is_and_gets_its_key():
    assert sound(GOOD, REQUEST, "k") == replace(GOOD, key="k")


def test_numbers_of_numpy_become_plain_ones():
    ids = tuple(np.array([5, 6]))
    other = replace(GOOD, token_ids=list(ids), logprob=np.float32(-1.5))  # type: ignore[arg-type]
    done = sound(other, REQUEST, "k")
    assert done == replace(GOOD, key="k")
    assert {type(token) for token in done.token_ids} == {int}
    assert type(done.logprob) is float


def test_one_bad_completion_fails_alone(tmp_path: Path):
    """All are asked for at once, so the good ones share commits with what would be the bad one."""

    def write(_: str, request: Request) -> Completion:
        text = "\ud800" if request.seed == 3 else "fine"
        return replace(GOOD, text=text)

    async def go() -> list[Any]:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            engine = CachedEngine(ScriptedEngine(write), store)
            await engine.start()
            calls = [engine.generate(replace(REQUEST, seed=seed)) for seed in range(6)]
            return await asyncio.gather(*calls, return_exceptions=True)

    found = asyncio.run(asyncio.wait_for(go(), 60))
    assert [isinstance(one, EngineError) for one in found] == [seed == 3 for seed in range(6)]
