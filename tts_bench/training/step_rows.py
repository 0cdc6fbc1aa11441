"""Rows of step-labelled data sets as labelled solutions, each format by a stated rule.

A label is the probability that the step is right, given those before it; None where the data
say nothing, and nothing is learnt there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tts_bench.dataset.rows import Row
from tts_bench.dataset.step_formats import (
    math_shepherd,
    prm800k_steps,
    rating_truth,
    up_to_error,
)
from tts_bench.errors import DatasetError
from tts_bench.steps import split_steps
from tts_bench.training.config import PrmConfig
from tts_bench.training.data import cell, text_cell

Label = float | None


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A problem, the steps of a solution, and a label for each of them."""

    problem: str
    steps: tuple[str, ...]
    """Each with the delimiter that ends it; the last one as it was written."""
    labels: tuple[Label, ...]


def read_solutions(row: Row, config: PrmConfig) -> Iterator[LabelledSolution]:
    """The labelled solutions of a row: one, or several where it has alternatives.

    Raises DatasetError where the row is not of the format.
    """
    name = config.data_format if config.data_format != "auto" else _format_of(row)
    try:
        triples = list(_READERS[name](row, config))
    except ValueError as error:
        raise DatasetError(f"{row.where}: {error}") from error
    for problem, steps, labels in triples:
        if len(steps) != len(labels) or not steps:
            raise DatasetError(f"{row.where}: {len(steps)} steps and {len(labels)} labels")
        yield _with_delimiters(problem, steps, labels, config.delimiter)


def _format_of(row: Row) -> str:
    cells = row.cells
    if "completions" in cells:
        return "stepwise"
    if "ratings" in cells or isinstance(cells.get("label"), dict):
        return "prm800k"
    if "steps" in cells and "label" in cells:
        return "processbench"
    if isinstance(cells.get("input"), str) and isinstance(cells.get("label"), str):
        return "math_shepherd"
    raise DatasetError(
        f"{row.where}: of no known format (columns {', '.join(cells)}); set data_format"
    )


def _with_delimiters(
    problem: str, steps: Sequence[str], labels: Sequence[Label], delimiter: str
) -> LabelledSolution:
    """Every step but the last with the delimiter that ends it.

    A reader cuts at every delimiter, so a step that holds one is several; its label belongs to
    the end of the last of them.
    """
    cut: list[str] = []
    own: list[Label] = []
    for i, (step, label) in enumerate(zip(steps, labels, strict=True)):
        closed = step if i == len(steps) - 1 else step.removesuffix(delimiter) + delimiter
        parts = split_steps(closed, delimiter)
        if parts:
            cut += parts
            own += [*[None] * (len(parts) - 1), label]
    return LabelledSolution(problem, tuple(cut), tuple(own))


Triple = tuple[str, Sequence[str], Sequence[Label]]


def _stepwise(row: Row, config: PrmConfig) -> Iterator[Triple]:
    """TRL's columns `prompt`, `completions`, `labels`; with `labels: soft`, also `soft`."""
    columns = config.columns
    problem = text_cell(row, "prompt", columns, ("problem",))
    steps = _texts(row, cell(row, "completions", columns), "completions")
    soft = config.labels == "soft"
    given = row.cells.get(columns.get("soft", "soft")) if soft else None
    labels = given or cell(row, "labels", columns)
    if not isinstance(labels, list):
        raise DatasetError(f"{row.where}: labels must be a list, not {labels!r}")
    yield problem, steps, [_probability(row, label, soft) for label in labels]


def _probability(row: Row, label: object, soft: bool) -> Label:
    if label is None:
        return None
    if isinstance(label, bool | int | float) and math.isfinite(label) and 0 <= label <= 1:
        if soft or label in (0, 1):
            return float(label)
        raise DatasetError(f"{row.where}: label {label} is a probability: set `labels: soft`")
    raise DatasetError(f"{row.where}: a label must be true, false or from 0 to 1, not {label!r}")


def _prm800k(row: Row, config: PrmConfig) -> Iterator[Triple]:
    """Ratings +1, 0 (see `neutral`) and -1 of the chosen steps; steps without one count as None.

    Each alternative to a chosen step is a solution of its own: the chosen steps before it, and
    itself with the only label. Reads OpenAI's own layout (`question`, `label`) and flat rows
    (`problem`, `steps`, `ratings`, `alternatives`).
    """
    problem, steps, rated, alternatives = _prm800k_parts(row)
    try:
        if steps:
            # A rating without a step is that of the alternatives at which the labelling ended.
            yield problem, steps, [_rating(one, config) for one in rated[: len(steps)]]
        for i, others in enumerate(alternatives if config.alternatives else ()):
            for other in others or ():
                is_chosen = i < len(steps) and other["text"] == steps[i]
                label = _rating(other["rating"], config)
                if not is_chosen and label is not None and i <= len(steps):
                    unlabelled: list[Label] = [None] * i
                    yield problem, [*steps[:i], other["text"]], [*unlabelled, label]
    except (KeyError, TypeError) as error:
        raise DatasetError(f"{row.where}: no rating or text as PRM800K has it: {error}") from error


def _rating(rating: object, config: PrmConfig) -> Label:
    truth = rating_truth(rating, config.neutral)
    return None if truth is None else float(truth)


def _prm800k_parts(
    row: Row,
) -> tuple[str, list[str], list[int | None], Sequence[Sequence[Mapping[str, Any]] | None]]:
    cells: Mapping[str, Any] = row.cells
    if not isinstance(cells.get("label"), dict):
        listed = cells.get("steps") or []
        # Where the labelling was given up no step is chosen: the solution ends before it.
        end = listed.index(None) if None in listed else len(listed)
        steps = _texts(row, listed[:end], "steps")
        alternatives = (cells.get("alternatives") or [])[: end + 1]
        return text_cell(row, "problem", {}), steps, list(cells.get("ratings") or ()), alternatives
    problem, all_steps = prm800k_steps(cells)
    # Where nothing is chosen the labelling ended; its alternatives are still rated.
    chosen = [step.chosen for step in takewhile(lambda step: step.chosen, all_steps) if step.chosen]
    options = [step.options for step in all_steps[: len(chosen) + 1]]
    return problem, [one["text"] for one in chosen], [one["rating"] for one in chosen], options


def _processbench(row: Row, config: PrmConfig) -> Iterator[Triple]:
    """`label` is the index of the first wrong step, -1 for none; for the rest see `after_error`."""
    steps = _texts(row, row.cells.get("steps"), "steps")
    known = up_to_error(row.cells.get("label"), len(steps))
    after = 0.0 if config.after_error == "negative" else None
    labels = [after if one is None else float(one) for one in known]
    yield text_cell(row, "problem", {}), steps, labels


def _math_shepherd(row: Row, config: PrmConfig) -> Iterator[Triple]:
    """See `math_shepherd`; the mark is `step_tag`."""
    text, marked = text_cell(row, "input", {}), text_cell(row, "label", {})
    problem, steps, right = math_shepherd(text, marked, config.step_tag)
    yield problem, steps, [float(one) for one in right]


def _texts(row: Row, value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise DatasetError(f"{row.where}: {name} must be a list of texts, not {value!r:.60}")
    return value


_READERS = {
    "stepwise": _stepwise,
    "prm800k": _prm800k,
    "processbench": _processbench,
    "math_shepherd": _math_shepherd,
}
