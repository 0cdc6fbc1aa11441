"""How published data sets write down steps and their labels.

What each format says, and no more: how a label that is not there counts, and whether the steps
that nobody chose are used, is decided by who reads it. Raises ValueError for what is not of the
format; the place is the caller's to add.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from tts_bench.steps import NO_ERROR

Neutral = Literal["positive", "negative", "ignore"]
"""What PRM800K's rating 0 (neither right nor wrong) counts as; its authors took positive."""
_NEUTRAL: Mapping[Neutral, bool | None] = {"positive": True, "negative": False, "ignore": None}


@dataclass(frozen=True, slots=True)
class RatedStep:
    """A step of PRM800K as published."""

    chosen: Mapping[str, Any] | None
    """Text and rating of the step that the labeller went on with; None where they stopped. One
    that the labeller wrote is not rated."""
    options: Sequence[Mapping[str, Any]]
    """Text and rating of every alternative that a model wrote, the chosen one among them."""


def prm800k_steps(cells: Mapping[str, Any]) -> tuple[str, list[RatedStep]]:
    """The problem, and each step, of a row with PRM800K's own columns `question` and `label`."""
    try:
        problem = cells["question"]["problem"]
        return problem, [_rated_step(step) for step in cells["label"]["steps"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not as PRM800K has it: {error!r}") from error


def _rated_step(step: Mapping[str, Any]) -> RatedStep:
    options = step.get("completions") or []
    place, written = step["chosen_completion"], step.get("human_completion")
    if place is not None:
        return RatedStep(options[place], options)
    if not written:
        return RatedStep(None, options)
    own = written if isinstance(written, dict) else {"text": written}
    return RatedStep({"rating": None, **own}, options)


def rating_truth(rating: Any, neutral: Neutral) -> bool | None:
    """One of PRM800K's ratings, +1, 0 or -1, as a truth value; None where there is none."""
    if rating is None:
        return None
    if isinstance(rating, bool) or rating not in (1, 0, -1):
        raise ValueError(f"a rating must be 1, 0 or -1, not {rating!r:.60}")
    return _NEUTRAL[neutral] if rating == 0 else rating == 1


def up_to_error(first_error: Any, steps: int) -> list[bool | None]:
    """Labels by ProcessBench's index: right up to the first wrong step, unknown behind it."""
    if isinstance(first_error, bool) or not isinstance(first_error, int):
        raise ValueError(f"the first wrong step must be an index, not {first_error!r}")
    if not NO_ERROR <= first_error < steps:
        raise ValueError(f"step {first_error} is the first wrong one of {steps} steps")
    if first_error == NO_ERROR:
        return [True] * steps
    return [*[True] * first_error, False, *[None] * (steps - first_error - 1)]


def math_shepherd(text: str, marked: str, tag: str) -> tuple[str, list[str], list[bool]]:
    """Problem, steps and labels of a row of Math-Shepherd.

    `text` has the tag behind each step, and `marked` is the same text with `+` or `-` in its
    place. The problem ends where `Step 1:` begins; what stands behind the last tag has no label
    and is left out.
    """
    *pieces, _ = text.split(tag)
    labels: list[bool] = []
    place = 0
    for piece in pieces:
        end = place + len(piece)
        mark = marked[end : end + 1]
        if marked[place:end] != piece or mark not in ("+", "-"):
            raise ValueError(f"label does not follow input at step {len(labels)}")
        labels.append(mark == "+")
        place = end + 1
    problem, first, rest = (pieces or [""])[0].partition("Step 1:")
    if not first:
        raise ValueError(f"no {tag!r} behind a 'Step 1:' in input")
    steps = [first + rest, *pieces[1:]]
    plain = [re.sub(r"\s*\n\s*", "\n", step.strip()) for step in steps]
    return problem.strip(), plain, labels
