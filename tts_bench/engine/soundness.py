"""Checks what an engine returns before anything is stored or charged: one place for all engines."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace
from numbers import Real
from typing import get_args

from tts_bench.engine.base import Completion, Request, TokenCounts
from tts_bench.errors import EngineError, quoted
from tts_bench.types import FinishReason

_REASONS = get_args(FinishReason)


def sound(done: object, request: Request, key: str) -> Completion:
    """The completion under its key, in plain Python numbers. Raises EngineError for a bad one.

    A bad one is what could not be stored and read again as it is, or does not fit its request.
    """
    if not isinstance(done, Completion):
        raise EngineError(f"the engine returned {type(done).__name__}, not Completion")
    if done.finish_reason not in _REASONS:
        raise _bad("a finish_reason", done.finish_reason, f"not {' or '.join(_REASONS)}")
    cached = done.cached_prompt_tokens
    most = len(request.prompt_ids)
    if done.counts is not None:
        _check_counts(done.counts)
        most = done.counts.prompt or 0
    if not isinstance(cached, int) or not 0 <= cached <= most:
        raise _bad("cached_prompt_tokens", cached, f"not 0 to {most}")
    wanted = len(request.logprob_ids)
    if not isinstance(done.first_logprobs, tuple | list) or len(done.first_logprobs) != wanted:
        raise _bad("first_logprobs", done.first_logprobs, f"not {wanted} numbers")
    _check_text("text", done.text)
    if done.stop is not None:
        _check_text("stop", done.stop)
    return replace(
        done,
        token_ids=_ids(done.token_ids, None if done.counts else request.sampling.max_tokens),
        logprob=_logprob(done.logprob) if done.counts is None else _logprob_or_none(done.logprob),
        first_logprobs=tuple(map(_logprob_or_never, done.first_logprobs)),
        key=key,
    )


def _check_counts(counts: TokenCounts) -> None:
    for name in ("prompt", "completion", "reasoning"):
        value = getattr(counts, name)
        if value is not None and (not isinstance(value, int) or value < 0):
            raise _bad(f"a count of {name} tokens", value, "not a whole number of 0 or more")


def _ids(ids: object, most: int | None) -> tuple[int, ...]:
    if not isinstance(ids, tuple | list):
        raise _bad("token_ids", ids, "not a tuple of integers")
    if most is not None and len(ids) > most:
        raise EngineError(f"the engine wrote {len(ids)} tokens where {most} were asked for")
    try:
        plain = array("i", ids)
    except (TypeError, OverflowError) as error:
        raise _bad("token_ids", ids, f"not ids from 0 to 2**31 - 1 ({error})") from None
    if ids and min(ids) < 0:
        raise _bad("a token id", min(ids), "not 0 or more")
    return ids if type(ids) is tuple and set(map(type, ids)) <= {int} else tuple(plain)


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise _bad(f"a {name}", text, "not a string")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise _bad(f"a {name}", text[error.start : error.end], "not Unicode text") from None


def _logprob(value: object) -> float:
    if isinstance(value, Real) and math.isfinite(value):
        return float(value)
    raise _bad("a log-probability", value, "not a finite number")


def _logprob_or_none(value: object) -> float:
    """A log-probability, or NaN (the one of `math`, which equals itself) for one that none gave."""
    return math.nan if isinstance(value, float) and math.isnan(value) else _logprob(value)


def _logprob_or_never(value: object) -> float:
    """A log-probability that may be minus infinity, of a token that cannot come."""
    return -math.inf if value == -math.inf else _logprob(value)


def _bad(what: str, value: object, wanted: str) -> EngineError:
    return EngineError(f"the engine returned {what} that is {wanted}: {quoted(value)}")
