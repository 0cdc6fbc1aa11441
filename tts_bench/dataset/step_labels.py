"""Solutions whose steps are labelled right or wrong, from the formats in which they are published.

Which format a row has is seen from its columns:

- ProcessBench (arXiv:2412.06559): `problem`, `steps` and `label`, the index of the first wrong
  step, -1 if none is;
- PRM800K (arXiv:2305.20050) as published: `question`, and `label` with the alternatives of every
  step;
- PRM800K made flat: `problem`, `steps` and `ratings`, +1, 0 or -1 for each step;
- TRL's stepwise supervision: `prompt`, `completions` and `labels`, true or false for each step;
- Math-Shepherd (arXiv:2312.08935): `input`, and `label`, the same text with `+` or `-` after
  each step.

What each format means by its labels stands in `step_formats`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tts_bench.dataset.base import text_id
from tts_bench.dataset.columns import LABELLED_STEPS, Columns, Option
from tts_bench.dataset.download import download
from tts_bench.dataset.row import Row, column_names
from tts_bench.dataset.rows import is_local, read_rows
from tts_bench.dataset.step_formats import (
    FORMATS,
    Conventions,
    Label,
    Neutral,
    Parts,
    StepFormat,
    truth_of,
)
from tts_bench.errors import DatasetError, quoted
from tts_bench.steps import NO_ERROR, split_steps


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A solution in steps, and what is known of each."""

    problem: str
    steps: tuple[str, ...]
    labels: tuple[Label, ...]
    """Whether each step is right, given those before it, or how probable that is; None if
    nobody said so."""
    id: str = ""
    problem_id: str = ""
    """Equal for solutions of one problem."""
    correct: bool | None = None
    """Whether the final answer is right; None if that is not known."""
    group: str = ""
    """The part of the data set that it belongs to, if there are several."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("has no steps")
        if len(self.labels) != len(self.steps):
            raise ValueError(f"has {len(self.labels)} labels for {len(self.steps)} steps")

    @property
    def first_error(self) -> int:
        """Index of the first step that is labelled wrong; -1 if none is."""
        return next(
            (i for i, right in enumerate(self.labels) if right is not None and right < 0.5),
            NO_ERROR,
        )

    def delimited(self, delimiter: str) -> LabelledSolution:
        """The same with the delimiter at the end of every step but the last.

        Readers cut at every delimiter, so a step that holds one becomes several; its label goes
        to the last of them. Steps of white space alone are dropped.
        """
        cut: list[str] = []
        own: list[Label] = []
        for i, (step, label) in enumerate(zip(self.steps, self.labels, strict=True)):
            is_last = i == len(self.steps) - 1
            closed = step if is_last else step.removesuffix(delimiter) + delimiter
            if parts := split_steps(closed, delimiter):
                cut += parts
                own += [*[None] * (len(parts) - 1), label]
        return replace(self, steps=tuple(cut), labels=tuple(own))


@dataclass(frozen=True)
class RowReader:
    """Reads rows of any format as labelled solutions.

    `columns` maps roles (`LABELLED_STEPS`) to the columns that hold them, if these have other
    names; `option` is how the user names them. Raises DatasetError for an unknown role.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    format: StepFormat | None = None
    """None: seen from each row's columns."""
    conventions: Conventions = field(default_factory=Conventions)
    option: Option = "columns"

    def __post_init__(self) -> None:
        self._finder()

    def read(self, rows: Iterable[Row]) -> Iterator[tuple[Row, LabelledSolution]]:
        """Every solution with its row; a row with alternatives has several.

        Raises DatasetError, with the place, for what is unusable.
        """
        for number, row in enumerate(rows, start=1):
            found = self._finder().find_in(row)
            cells = {role: row.cells[column] for role, column in found.items()}
            name = self.format or self._format_of(row, found)
            known = {"group": _part(cells.get("id")) if name == "processbench" else "", **cells}
            try:
                for parts in FORMATS[name](row.cells, cells, self.conventions):
                    yield row, _solution(parts, number, known)
            except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
                raise DatasetError(f"{row.where}: {what}") from error

    def _finder(self) -> Columns:
        return Columns(LABELLED_STEPS, self.columns, option=self.option)

    def _format_of(self, row: Row, found: Mapping[str, str]) -> StepFormat:
        label = row.cells.get("label")
        if {"problem", "steps"} <= set(found):
            if "labels" in found:
                return "prm800k" if found["labels"] == "ratings" else "stepwise"
            if "first_error" in found:
                return "processbench"
        if isinstance(label, Mapping) and "question" in row.cells:
            return "prm800k"
        if isinstance(label, str) and "input" in row.cells:
            return "math_shepherd"
        raise DatasetError(
            f"{row.where}: no labelled steps; a problem, steps and labels (or the index of the "
            f"first wrong step) are needed, and there are the columns {', '.join(row.cells)}; "
            f"name them: {self._finder().spelt('steps', 'NAME')}"
        )


@dataclass(frozen=True)
class StepLabels:
    """Where labelled solutions are, and how they are read.

    `source` is a file (.jsonl, .json, .parquet) or a data set of the Hugging Face Hub. `columns`
    maps roles to the columns that hold them, if these have other names.
    """

    source: str
    split: str = "test"
    config: str | None = None
    revision: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    neutral: Neutral = "positive"

    def __post_init__(self) -> None:
        self._reader()

    def read(self, rows: Sequence[Row] | None = None) -> list[LabelledSolution]:
        """Every solution, in order, of the source or of these rows of it.

        Raises DatasetError, with the place, for what is unusable.
        """
        return [solution for _, solution in self._solutions(rows)]

    def read_scored(
        self, rows: Sequence[Row] | None = None
    ) -> list[tuple[LabelledSolution, tuple[float, ...]]]:
        """Every solution with the scores that were recorded of its steps.

        Raises DatasetError, with the place, as `read` does, and where a step has no score.
        """
        rows = self._rows() if rows is None else rows
        finder = Columns(LABELLED_STEPS, self.columns, ("score",), "--column")
        column = finder.find(column_names(rows), self.source)["score"]
        return [
            (solution, _step_scores(row, column, len(solution.steps)))
            for row, solution in self._solutions(rows)
        ]

    def _rows(self) -> list[Row]:
        return labelled_rows(self.source, self.split, self.config, self.revision)

    def _solutions(self, rows: Sequence[Row] | None) -> list[tuple[Row, LabelledSolution]]:
        rows = self._rows() if rows is None else rows
        finder = Columns(LABELLED_STEPS, self.columns, option="--column")
        labels = finder.find(column_names(rows), self.source).get("labels", "")
        rated = any(_is_rating(row.cells.get(labels)) for row in rows)
        reader = self._reader("prm800k") if rated else self._reader()
        found = []
        for row, solution in reader.read(rows):
            if not all(step.strip() for step in solution.steps):
                raise DatasetError(f"{row.where}: a step must be a text that is not empty")
            found.append((row, solution))
        return found

    def _reader(self, format: StepFormat | None = None) -> RowReader:
        conventions = Conventions(neutral=self.neutral, stopped="first")
        return RowReader(self.columns, format, conventions, option="--column")


def labelled_rows(
    source: str, split: str = "test", config: str | None = None, revision: str | None = None
) -> list[Row]:
    """The rows of a file or of a data set of the hub. Raises DatasetError if there are none."""
    if is_local(source):
        rows = read_rows(source)
    elif Path(source).is_dir() or re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", source):
        rows = download(source, config, split, revision)[0]
    else:
        raise DatasetError(f"{source}: no such file or folder, and no id of the Hugging Face Hub")
    if not rows:
        raise DatasetError(f"{source} is empty")
    return rows


def _solution(parts: Parts, number: int, known: Mapping[str, Any]) -> LabelledSolution:
    """The solution of a row's parts, with what else is known of it by role."""
    problem, steps, labels = parts
    name, problem_id = known.get("id"), known.get("problem_id")
    return LabelledSolution(
        problem=problem,
        steps=tuple(steps),
        labels=tuple(labels),
        id=str(number if name is None else name),
        problem_id=text_id(problem) if problem_id is None else str(problem_id),
        correct=truth_of(known.get("correct"), "correct"),
        group=str(known["group"] or ""),
    )


def _step_scores(row: Row, column: str, steps: int) -> tuple[float, ...]:
    """The scores in a row's cell, one for each step."""
    cell = row.cells.get(column)
    values = cell if isinstance(cell, list) else []
    numbers = [one for one in values if _is_number(one)]
    if len(numbers) < len(values) or len(values) != steps:
        raise DatasetError(
            f"{row.where}: column {quoted(column)} must have a finite number for each of "
            f"{steps} steps, not {quoted(cell)}"
        )
    return tuple(map(float, numbers))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -sys.float_info.max <= value <= sys.float_info.max  # no NaN, nor a longer whole number


def _is_rating(labels: Any) -> bool:
    """Whether a column holds ratings: 0 is then neutral, and not false."""
    return isinstance(labels, list) and -1 in labels


def _part(name: Any) -> str:
    """ProcessBench's part, which on the hub stands in the id alone: `gsm8k` of `gsm8k-12`."""
    found = re.fullmatch(r"(.+)-\d+", name) if isinstance(name, str) else None
    return found[1] if found else ""
