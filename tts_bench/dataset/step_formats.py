"""How published data sets write down steps and their labels.

Each format is a function of a row that gives the problem, the steps and a label for each step.
What the formats leave open is said by `Conventions`. Everything here raises ValueError (or what
comes of a cell of another type) for what is not of the format; the caller adds the place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from tts_bench.errors import quoted
from tts_bench.steps import NO_ERROR

Cells = Mapping[str, Any]

Neutral = Literal["positive", "negative", "ignore"]
"""What PRM800K's rating 0 (neither right nor wrong) counts as; its authors took positive."""
_NEUTRAL: Mapping[Neutral, bool | None] = {"positive": True, "negative": False, "ignore": None}


Label = float | None
"""The probability that a step is right given those before it, or True or False; None if the data
do not say."""

StepFormat = Literal["stepwise", "prm800k", "processbench", "math_shepherd"]


@dataclass(frozen=True, slots=True)
class Conventions:
    """What the formats leave open."""

    neutral: Neutral = "positive"
    after_error: Literal["negative", "ignore"] = "ignore"
    """What ProcessBench's steps after the first wrong one count as."""
    stopped: Literal["first", "drop"] = "drop"
    """Whether a solution of PRM800K as published ends with the first alternative of the step at
    which the labeller stopped, or before that step."""
    alternatives: bool = False
    """Whether each of PRM800K's alternatives is a solution of its own, with the chosen steps before
    it, which have no label there."""
    soft: bool = False
    """Whether labels may be probabilities; the column `soft` is then read if there is one."""
    step_tag: str = ""
    """The mark after each step in Math-Shepherd's texts; empty: the last word of each text."""


Parts = tuple[str, Sequence[str], Sequence[Label]]
"""A problem, its steps and their labels."""


def _stepwise(row: Cells, cells: Cells, how: Conventions) -> Iterator[Parts]:
    """TRL's columns: a truth value for each step, or its probability."""
    given = (cells.get("soft") if how.soft else None) or cells["labels"]
    labels = [_step_label(one, how.soft) for one in _listing(given, "labels")]
    yield text_of(cells["problem"], "problem"), _texts(cells["steps"]), labels


def _processbench(row: Cells, cells: Cells, how: Conventions) -> Iterator[Parts]:
    """The index of the first wrong step, -1 for none."""
    steps = _texts(cells["steps"])
    after = False if how.after_error == "negative" else None
    known = up_to_error(cells["first_error"], len(steps))
    yield (
        text_of(cells["problem"], "problem"),
        steps,
        [after if one is None else one for one in known],
    )


def _math_shepherd(row: Cells, cells: Cells, how: Conventions) -> Iterator[Parts]:
    """Problem and steps in one text, with a mark after each step."""
    text, marked = text_of(row["input"], "input"), text_of(row["label"], "label")
    yield math_shepherd(text, marked, how.step_tag or text.split()[-1])


def _prm800k(row: Cells, cells: Cells, how: Conventions) -> Iterator[Parts]:
    """Ratings +1, 0 and -1 of the chosen steps; a step without a rating has no label."""
    is_flat = "steps" in cells
    problem, all_steps = _flat_prm800k(cells) if is_flat else prm800k_steps(row)
    chosen = [one.chosen for one in takewhile(lambda one: one.chosen, all_steps) if one.chosen]
    options = [one.options for one in all_steps[: len(chosen) + 1]]
    ends = [] if is_flat or how.stopped == "drop" else options[len(chosen) :]
    path = [*chosen, *(one[0] for one in ends if one)]
    steps = _texts([one["text"] for one in path])
    labels = [rating_truth(one.get("rating"), how.neutral) for one in path]
    if steps:
        yield problem, steps, labels
    for i, others in enumerate(options if how.alternatives else ()):
        for other in others:
            label = rating_truth(other["rating"], how.neutral)
            is_chosen = i < len(chosen) and other["text"] == steps[i]
            if label is not None and not is_chosen:
                yield problem, [*steps[:i], *_texts([other["text"]])], [*[None] * i, label]


FORMATS: Mapping[StepFormat, Callable[[Cells, Cells, Conventions], Iterator[Parts]]] = {
    "stepwise": _stepwise,
    "prm800k": _prm800k,
    "processbench": _processbench,
    "math_shepherd": _math_shepherd,
}
"""What a row holds, from all of its cells by column, those of known roles, and the conventions."""


@dataclass(frozen=True, slots=True)
class RatedStep:
    """A step of PRM800K as published."""

    chosen: Mapping[str, Any] | None
    """Text and rating of the step that the labeller went on with; None if they stopped. One
    that the labeller wrote is not rated."""
    options: Sequence[Mapping[str, Any]]
    """Text and rating of every alternative that a model wrote, the chosen one among them."""


def prm800k_steps(cells: Mapping[str, Any]) -> tuple[str, list[RatedStep]]:
    """The problem, and each step, of a row with PRM800K's own columns `question` and `label`."""
    try:
        problem = text_of(cells["question"]["problem"], "problem")
        return problem, [_rated_step(step) for step in cells["label"]["steps"]]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not as PRM800K has it: {quoted(error)}") from error


def _rated_step(step: Mapping[str, Any]) -> RatedStep:
    options = step.get("completions") or []
    place, written = step["chosen_completion"], step.get("human_completion")
    if place is not None:
        return RatedStep(options[place], options)
    if not written:
        return RatedStep(None, options)
    own = written if isinstance(written, dict) else {"text": written}
    return RatedStep({"rating": None, **own}, options)


def _flat_prm800k(cells: Cells) -> tuple[str, list[RatedStep]]:
    """As `prm800k_steps`, of a row with the steps, their ratings and their alternatives in lists.

    A step without text is where the labelling was given up: nothing is chosen there.
    """
    steps, ratings = _listing(cells["steps"], "steps"), _listing(cells["labels"], "labels")
    end = steps.index(None) if None in steps else len(steps)
    if len(ratings) < end:
        raise ValueError(f"has {len(ratings)} labels for {end} steps")
    options = [one or () for one in cells.get("alternatives") or ()]
    options += [()] * (end + 1 - len(options))
    chosen = [
        RatedStep({"text": text, "rating": rating}, others)
        for text, rating, others in zip(steps[:end], ratings, options, strict=False)
    ]
    return text_of(cells["problem"], "problem"), [*chosen, RatedStep(None, options[end])]


def rating_truth(rating: Any, neutral: Neutral) -> bool | None:
    """One of PRM800K's ratings, +1, 0 or -1, as a truth value; None if there is none."""
    if rating is None:
        return None
    if isinstance(rating, bool) or rating not in (1, 0, -1):
        raise ValueError(f"a rating must be 1, 0 or -1, not {quoted(rating)}")
    return _NEUTRAL[neutral] if rating == 0 else rating == 1


def up_to_error(first_error: Any, steps: int) -> list[bool | None]:
    """Labels by ProcessBench's index: right up to the first wrong step, unknown after it."""
    if isinstance(first_error, bool) or not isinstance(first_error, int):
        raise ValueError(f"the first wrong step must be an index, not {quoted(first_error)}")
    if not NO_ERROR <= first_error < steps:
        raise ValueError(f"step {first_error} is the first wrong one of {steps} steps")
    if first_error == NO_ERROR:
        return [True] * steps
    return [*[True] * first_error, False, *[None] * (steps - first_error - 1)]


def math_shepherd(text: str, marked: str, tag: str) -> tuple[str, list[str], list[bool]]:
    """Problem, steps and labels of a row of Math-Shepherd.

    `text` has the tag after each step, and `marked` is the same text with `+` or `-` in its
    place. The problem ends where `Step 1:` begins; what stands after the last tag has no label
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
        raise ValueError(f"no {quoted(tag)} behind a 'Step 1:' in input")
    steps = [first + rest, *pieces[1:]]
    plain = ["\n".join(filter(None, map(str.strip, step.split("\n")))) for step in steps]
    return problem.strip(), plain, labels


def text_of(value: Any, what: str) -> str:
    """The value, if it is a text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"a {what} must be a text that is not empty, not {quoted(value)}")
    return value


def truth_of(value: Any, what: str) -> bool | None:
    """A truth value, also of 0 and 1; None for None."""
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise ValueError(f"a {what} must be true or false, not {quoted(value)}")


def _step_label(value: Any, soft: bool) -> Label:
    is_share = isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1
    if is_share and soft:
        return float(value)
    if is_share and value not in (0, 1):
        raise ValueError(f"label {value} is a probability, which a training with "
                         "`labels: soft` reads")  # fmt: skip
    return truth_of(value, "label")


def _listing(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, not {quoted(value)}")
    return value


def _texts(steps: Any) -> list[str]:
    listed = _listing(steps, "steps")
    for step in listed:
        if not isinstance(step, str):
            raise ValueError(f"a step must be a text, not {quoted(step)}")
    return listed
