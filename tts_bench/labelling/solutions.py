"""Traces from a file of solutions, or from a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tts_bench.dataset.base import Dataset, Item, text_id
from tts_bench.dataset.columns import SOLUTIONS, Columns
from tts_bench.dataset.conditions import only_where
from tts_bench.dataset.finish import finish_reason
from tts_bench.dataset.references import References
from tts_bench.dataset.row import Row, column_names
from tts_bench.dataset.rows import read_rows
from tts_bench.errors import UsageError, quoted
from tts_bench.labelling.trace import Trace, complete_steps, is_cut_off
from tts_bench.store.runs import RunStore, resolve_run
from tts_bench.store.texts import RunTexts
from tts_bench.types import Attempt, Problem


@dataclass(frozen=True)
class Solutions:
    """How solutions are read.

    `path` is a file (.jsonl, .json, .csv, .parquet) or a run's folder, `columns` maps roles to
    the file's columns, and `delimiter` ends a step. What a file does not say of a problem (its
    text, its reference answer) is looked up in `dataset`, by the problem's id or its text.
    """

    path: Path
    dataset: Dataset
    columns: Mapping[str, str]
    delimiter: str = "\n\n"
    needs_reference: bool = True
    where: Sequence[str] = ()
    """Conditions that a file's rows must meet, each `COLUMN=VALUE`."""
    references: References = field(default_factory=References, repr=False)
    """Reads the references, and knows what is to be said of them."""

    def __post_init__(self) -> None:
        if not self.delimiter:
            raise UsageError("--delimiter: must not be empty")
        self._columns()  # an unknown role is refused before anything is read

    def read(self, limit: int | None = None) -> Iterator[Trace]:
        """The first `limit` solutions, in order, or all.

        Raises UsageError, with the place, for what is unusable.
        """
        if limit is not None and limit < 1:
            raise UsageError(f"--limit {limit}: must be at least 1")
        is_run = self.path.is_dir() or self.path.name == "latest"
        if is_run and self.where:
            raise UsageError(f"--where {self.where[0]}: chooses rows of a file, not of a run")
        return islice(self._of_run(resolve_run(self.path)) if is_run else self._of_file(), limit)

    def _of_file(self) -> Iterator[Trace]:
        rows = read_rows(str(self.path))
        if not rows:
            raise UsageError(f"{self.path}: holds no solutions")
        rows = only_where(rows, self.where, str(self.path))
        found = self._find(column_names(rows))
        known = _Known(self.dataset)
        for row in rows:
            cells = {role: row.cells.get(column) for role, column in found.items()}
            item = self._item(row, cells, known)
            steps, cut_off = self._steps(row, cells)
            yield Trace(item.problem, item.reference or None, steps, cut_off, row.where)

    def _columns(self) -> Columns:
        return Columns(SOLUTIONS, self.columns, option="--column")

    def _find(self, names: Sequence[str]) -> dict[str, str]:
        """The column of each role that the file has."""
        found = self._columns().find(names, str(self.path))
        if not {"solution", "steps"} & set(found):
            raise UsageError(
                f"{self.path}: no column with solutions; name one with --column solution=NAME "
                f"or --column steps=NAME (there are {', '.join(names)})"
            )
        return found

    def _item(self, row: Row, cells: Mapping[str, Any], known: _Known) -> Item:
        """The row's problem and reference, completed from the data set."""
        name, text = _plain(cells.get("id")), _plain(cells.get("problem"))
        reference = _plain(cells.get("reference"))
        if reference and self.needs_reference:
            try:
                reference = self.references(reference)
            except ValueError as error:
                raise UsageError(f"{row.where}: the reference {error}") from error
        if text and (reference or not self.needs_reference):
            return Item(Problem(name or text_id(text), text), reference)
        item = known.find(name, text)
        if item is None:
            lacking = "reference answer" if text else "problem text"
            shown = quoted(name or text)
            raise UsageError(
                f"{row.where}: problem {shown} has no {lacking}: neither a column of the file "
                "has it (--column ROLE=NAME) nor the suite's data set"
            )
        problem = Problem(name or item.problem.id, text or item.problem.text)
        return Item(problem, reference or item.reference)

    def _steps(self, row: Row, cells: Mapping[str, Any]) -> tuple[tuple[str, ...], bool]:
        """The row's complete steps, and whether the solution was cut off after them.

        Steps that are listed get the delimiter that they lack, all but the last.
        """
        end = self.delimiter
        try:
            reason = finish_reason(cells.get("finish_reason"))
        except ValueError as error:
            raise UsageError(f"{row.where}: {error}") from error
        listed = cells.get("steps")
        if listed is None:
            text = _plain(cells.get("solution"))
            cut_off = is_cut_off(text, end, reason)
            return complete_steps(text, end, cut_off), cut_off
        if not isinstance(listed, list) or not all(isinstance(step, str) for step in listed):
            raise UsageError(f"{row.where}: steps must be a list of texts, not {quoted(listed)}")
        if blank := [i for i, step in enumerate(listed) if not step.strip()]:
            raise UsageError(f"{row.where}: step {blank[0]} is empty")
        steps = (*(step.removesuffix(end) + end for step in listed[:-1]), *listed[-1:])
        cut_off = is_cut_off("".join(steps), end, reason)
        torn = cut_off and bool(steps) and not steps[-1].endswith(end)
        return steps[:-1] if torn else steps, cut_off

    def _of_run(self, run: RunStore) -> Iterator[Trace]:
        known = _Known(self.dataset)
        with RunTexts(run) as texts:
            for attempt in run.attempts():
                item = known.find(attempt.problem, "")
                if item is None:
                    raise UsageError(
                        f"{run.folder}: problem {quoted(attempt.problem)} is not in the suite's "
                        "data set; give the suite (and --set) with which the run was made"
                    )
                yield from self._of_attempt(run, attempt, item, texts.of(attempt))

    def _of_attempt(
        self, run: RunStore, attempt: Attempt, item: Item, texts: Sequence[str | None]
    ) -> Iterator[Trace]:
        for i, text in enumerate(texts):
            if text is None:
                raise UsageError(
                    f"{run.folder}: the text of {attempt.cell} on {attempt.problem} is not in its "
                    "generation store"
                )
            cut_off = is_cut_off(text, self.delimiter, attempt.pool.finish_reason[i])
            steps = complete_steps(text, self.delimiter, cut_off)
            where = f"{attempt.cell} {attempt.problem} seed {attempt.seed} candidate {i}"
            yield Trace(item.problem, item.reference, steps, cut_off, where)


class _Known:
    """The data set's items by id and by text; loaded when one is first asked for."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._items: dict[str, Item] | None = None

    def find(self, name: str, text: str) -> Item | None:
        """The item of that id; without an id the one of that text."""
        if self._items is None:
            items = self._dataset.load().items
            # A text that is another problem's id would be odd; the id wins.
            self._items = {item.problem.text: item for item in items}
            self._items |= {item.problem.id: item for item in items}
        return self._items.get(name) or self._items.get(text)


def _plain(cell: object) -> str:
    """A cell as text; "" where it holds none."""
    return "" if cell is None or isinstance(cell, list | dict) else str(cell)
