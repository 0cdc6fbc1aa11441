"""Solutions whose steps are labelled right or wrong, from the formats in which they are published.

Which format a row has is seen from its columns:

- ProcessBench (arXiv:2412.06559): `problem`, `steps` and `label`, the index of the first wrong
  step, -1 where none is;
- PRM800K (arXiv:2305.20050) as published: `question`, and `label` with the alternatives of every
  step;
- PRM800K made flat: `problem`, `steps` and `ratings`, +1, 0 or -1 for each step;
- TRL's stepwise supervision: `prompt`, `completions` and `labels`, true or false for each step;
- Math-Shepherd (arXiv:2312.08935): `input`, and `label`, the same text with `+` or `-` behind
  each step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tts_bench.dataset.download import download
from tts_bench.dataset.rows import READERS, Row, read_rows
from tts_bench.dataset.step_formats import (
    Neutral,
    math_shepherd,
    prm800k_steps,
    rating_truth,
    up_to_error,
)
from tts_bench.errors import DatasetError, did_you_mean
from tts_bench.steps import NO_ERROR

ROLES: Mapping[str, tuple[str, ...]] = {
    "problem": ("problem", "prompt", "question"),
    "steps": ("steps", "completions"),
    "labels": ("labels", "ratings"),
    "first_error": ("label",),
    "correct": ("correct", "final_answer_correct"),
    "id": ("id",),
    "problem_id": ("problem_id",),
    "group": ("split", "subset"),
}
"""Roles of columns, and the names under which each is looked for."""


@dataclass(frozen=True, slots=True)
class LabelledSolution:
    """A solution in steps, and what is known of each."""

    id: str
    problem_id: str
    """Equal for solutions of one problem."""
    problem: str
    steps: tuple[str, ...]
    labels: tuple[bool | None, ...]
    """Whether each step is right; None where nobody said so."""
    correct: bool | None = None
    """Whether the final answer is right; None where that is not known."""
    group: str = ""
    """The part of the data set that it belongs to, where there are several."""

    def __post_init__(self) -> None:
        if not self.steps:
            raise ValueError("has no steps")
        if len(self.labels) != len(self.steps):
            raise ValueError(f"has {len(self.labels)} labels for {len(self.steps)} steps")

    @property
    def first_error(self) -> int:
        """Index of the first step that is labelled wrong; -1 where none is."""
        return next((i for i, right in enumerate(self.labels) if right is False), NO_ERROR)


@dataclass(frozen=True)
class StepLabels:
    """Where labelled solutions are, and how they are read.

    `source` is a file (.jsonl, .json, .parquet) or a data set of the Hugging Face Hub. `columns`
    maps roles (`ROLES`) to the columns that hold them, where these have other names.
    """

    source: str
    split: str = "test"
    config: str | None = None
    revision: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    neutral: Neutral = "positive"

    def __post_init__(self) -> None:
        for role in self.columns:
            if role not in ROLES:
                known = ", ".join(ROLES)
                raise DatasetError(f"columns: no role {role!r}, only {known}{_near(role, ROLES)}")

    def read(self) -> list[LabelledSolution]:
        """Every solution, in order. Raises DatasetError, with the place, for what is unusable."""
        rows = self._rows()
        if not rows:
            raise DatasetError(f"{self.source} is empty")
        names = list(dict.fromkeys(name for row in rows for name in row.cells))
        for role, column in self.columns.items():
            if column not in names:
                there = f"there are {', '.join(names)}"
                raise DatasetError(
                    f"{self.source}: no column {column!r} for the {role}; {there}"
                    f"{_near(column, names)}"
                )
        read = self._reader(names, rows)
        return [self._solution(row, number, read) for number, row in enumerate(rows)]

    def _rows(self) -> list[Row]:
        path = Path(self.source).expanduser()
        if path.is_file() or path.suffix.lower() in READERS:
            return read_rows(self.source)
        if not path.exists() and not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", self.source):
            raise DatasetError(
                f"{self.source}: no such file or folder, and no id of the Hugging Face Hub"
            )
        return download(self.source, self.config, self.split, self.revision)[0]

    def _reader(self, names: Sequence[str], rows: Sequence[Row]) -> Callable[[Row], dict[str, Any]]:
        """How a row of this format becomes problem, steps and labels."""
        roles = {role for role in ROLES if self._column(role, names)}
        if not self.columns and {"question", "label"} <= set(names) and "steps" not in roles:
            return self._prm800k
        if not self.columns and {"input", "label"} <= set(names):
            return _math_shepherd
        if {"problem", "steps"} <= roles and roles & {"labels", "first_error"}:
            column = self._column("labels", names) or ""
            return partial(self._listed, rated=_rated(row.cells.get(column) for row in rows))
        raise DatasetError(
            f"{self.source}: no labelled steps; a problem, steps and labels (or the index of the "
            f"first wrong step) are needed, and there are the columns {', '.join(names)}. "
            "Name them with --column ROLE=NAME"
        )

    def _solution(
        self, row: Row, number: int, read: Callable[[Row], dict[str, Any]]
    ) -> LabelledSolution:
        try:
            parts = read(row)
            problem = _text(parts["problem"], "problem")
            known = self._known(row)
            return LabelledSolution(
                id=known.get("id") or str(number + 1),
                problem_id=known.get("problem_id") or digest(problem),
                problem=problem,
                steps=tuple(_text(step, "step") for step in parts["steps"]),
                labels=tuple(parts["labels"]),
                correct=_truth(parts.get("correct", known.get("correct")), "correct"),
                group=known.get("group") or parts.get("part", ""),
            )
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise DatasetError(f"{row.where}: {what}") from error

    def _known(self, row: Row) -> dict[str, Any]:
        """What a row says of itself besides problem, steps and labels."""
        names = list(row.cells)
        found = {
            role: row.cells.get(column)
            for role in ("id", "problem_id", "group", "correct")
            if (column := self._column(role, names))
        }
        return {
            role: value if role == "correct" or value is None else str(value)
            for role, value in found.items()
        }

    def _column(self, role: str, names: Sequence[str]) -> str | None:
        if role in self.columns:
            return self.columns[role]
        return next((name for name in ROLES[role] if name in names), None)

    def _listed(self, row: Row, *, rated: bool) -> dict[str, Any]:
        """ProcessBench, flat PRM800K (`rated`: labels are ratings) and TRL: steps in a list."""
        names = list(row.cells)
        cell = {role: row.cells.get(name) for role in ROLES if (name := self._column(role, names))}
        steps = _listing(cell.get("steps"), "steps")
        given = cell.get("labels")
        if given is None:
            labels = up_to_error(cell["first_error"], len(steps))
            return {**cell, "steps": steps, "labels": labels, "part": _part(cell.get("id"))}
        rating = partial(rating_truth, neutral=self.neutral)
        label = rating if rated else partial(_truth, what="label")
        labels = [label(one) for one in _listing(given, "labels")]
        while steps and steps[-1] is None and len(labels) == len(steps):
            steps, labels = steps[:-1], labels[:-1]  # PRM800K: the labeller gave up there
        return {**cell, "steps": steps, "labels": labels}

    def _prm800k(self, row: Row) -> dict[str, Any]:
        """PRM800K as published: of each step the alternative that the labeller went on with.

        Where a labeller stopped at a wrong step that is the first alternative.
        """
        problem, steps = prm800k_steps(row.cells)
        taken = [step.chosen or step.options[0] for step in steps if step.chosen or step.options]
        labels = [rating_truth(one.get("rating"), self.neutral) for one in taken]
        return {"problem": problem, "steps": [one["text"] for one in taken], "labels": labels}


def _rated(columns: Iterable[Any]) -> bool:
    """Whether a file's labels are ratings: 0 is then neutral, and not false."""
    return any(isinstance(labels, list) and -1 in labels for labels in columns)


def _part(name: Any) -> str:
    """ProcessBench's part, which on the hub stands in the id alone: `gsm8k` of `gsm8k-12`."""
    found = re.fullmatch(r"(.+)-\d+", name) if isinstance(name, str) else None
    return found[1] if found else ""


def _math_shepherd(row: Row) -> dict[str, Any]:
    """Math-Shepherd: problem and steps in one text, whose last word is the mark behind a step."""
    text, marked = _text(row.cells["input"], "input"), _text(row.cells["label"], "label")
    problem, steps, labels = math_shepherd(text, marked, tag=text.split()[-1])
    return {"problem": problem, "steps": steps, "labels": labels}


def digest(problem: str) -> str:
    """A problem's id where none is given: the first 12 hex digits of its text's SHA-256."""
    return hashlib.sha256(problem.encode()).hexdigest()[:12]


def _near(name: str, known: Sequence[str] | Mapping[str, Any]) -> str:
    """A suggestion to append to a message."""
    return did_you_mean(name, list(known))


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"a {what} must be a text that is not empty, not {value!r:.60}")
    return value


def _listing(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{what} must be a list, not {value!r:.60}")
    return value


def _truth(value: Any, what: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    if value in (0, 1):
        return bool(value)
    raise ValueError(f"a {what} must be true or false, not {value!r:.60}")
