"""Reasoning as steps: cut a text into them, fold their scores, find the first wrong one (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Aggregate = Literal["last", "min", "prod", "mean", "gmean", "max"]
"""How the scores of the steps become one score of the solution."""

NO_ERROR = -1
"""Index of the first wrong step if every step is right, as in ProcessBench."""


def split_steps(text: str, delimiter: str = "\n\n") -> list[str]:
    """Cut `text` after each `delimiter`; `"".join` of the steps is the text again.

    A step keeps the delimiter that ends it, as a model that was stopped there writes it. White
    space alone is no step: it stays with the step before it (at the beginning, with the one
    after it), so a text that ends with the delimiter has no empty last step. A text of nothing
    but white space and delimiters has no steps at all. Raises ValueError for an empty delimiter.
    """
    if not delimiter:
        raise ValueError("the delimiter of steps must not be empty")
    *ended, rest = text.split(delimiter)
    steps: list[list[str]] = []
    before: list[str] = []
    for piece, end in [*((piece, delimiter) for piece in ended), (rest, "")]:
        if piece.strip():
            steps.append([*before, piece, end])
            before = []
        else:
            (steps[-1] if steps else before).extend((piece, end))
    return ["".join(pieces) for pieces in steps]


def aggregate(scores: Sequence[float], how: Aggregate) -> float:
    """One score of a solution from those of its steps, in order.

    `last`, `min`, `prod`, `mean`, `gmean` (the geometric mean) or `max` of the scores. Raises
    ValueError if there are none, where one is not finite, for any other `how`, and for the
    geometric mean of a score below 0.
    """
    _check(scores)
    if not scores:
        raise ValueError("no step scores to aggregate")
    match how:
        case "last":
            return scores[-1]
        case "min":
            return min(scores)
        case "prod":
            return math.prod(scores)
        case "mean":
            return math.fsum(scores) / len(scores)
        case "gmean":
            return _geometric_mean(scores)
        case "max":
            return max(scores)
    raise ValueError(f"how must be last, min, prod, mean, gmean or max, not {how!r}")


def _geometric_mean(scores: Sequence[float]) -> float:
    if min(scores) < 0:
        raise ValueError(f"the geometric mean of a score below 0, {min(scores)}, is not defined")
    if 0 in scores:
        return 0.0
    # By logarithms: a product of hundreds of scores would be 0.
    return math.exp(math.fsum(map(math.log, scores)) / len(scores))


def find_error_step(scores: Sequence[float], drop: float = 0.5, before: float = 1.0) -> int:
    """Index of the first step whose score falls below `drop` times the score before it.

    Nothing comes before the first step but the problem itself, which is right; `before` is what
    that counts as. At its default a first step below `drop` is found; `before=0` never finds the
    first step. `NO_ERROR` (-1) if no score falls so. Raises ValueError for a score that is
    not finite.

    >>> find_error_step([0.95, 0.88, 0.72, 0.05, 0.02])
    3
    """
    _check(scores)
    for i, score in enumerate(scores):
        if score < before * drop:
            return i
        before = score
    return NO_ERROR


def first_error(labels: Sequence[bool]) -> int:
    """Index of the first step that is labelled wrong; `NO_ERROR` (-1) where none is."""
    return next((i for i, right in enumerate(labels) if not right), NO_ERROR)


def _check(scores: Sequence[float]) -> None:
    for i, score in enumerate(scores):
        if not math.isfinite(score):
            raise ValueError(f"the score of step {i} must be a finite number, not {score}")
