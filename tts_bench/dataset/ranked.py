"""Problems with one right candidate among several, which a verifier is to rank first.

RewardMATH (arXiv:2410.01729) is of this form. A row holds a problem with all of its candidates as
lists, or one candidate; verdicts say which is right, or `right` does: a column and the value that
the right candidate has there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts_bench.dataset.base import text_id
from tts_bench.dataset.columns import RANKED, Columns
from tts_bench.dataset.row import Row, column_names
from tts_bench.dataset.written import Shortened, listed
from tts_bench.errors import DatasetError, UsageError, did_you_mean, quoted

_WORDS: Mapping[str, bool] = {
    "true": True,
    "chosen": True,
    "right": True,
    "correct": True,
    "1": True,
    "false": False,
    "rejected": False,
    "wrong": False,
    "incorrect": False,
    "0": False,
}


@dataclass(frozen=True, slots=True)
class RankedCandidate:
    """One candidate: what is written of it, and whether it is the right one."""

    right: bool
    steps: tuple[str, ...] = ()
    """Its text in steps; one, where the file has it whole; none, where it has no texts."""
    score: float | tuple[float, ...] | None = None
    """What was recorded of it: one score, or one for each step."""


@dataclass(frozen=True, slots=True)
class RankedProblem:
    """A problem and its candidates, exactly one of them right."""

    id: str
    text: str
    candidates: tuple[RankedCandidate, ...]


@dataclass(frozen=True)
class RankedRows:
    """Reads rows as problems with one right candidate each.

    `columns` maps roles (`RANKED`) to columns. `right`, as COLUMN=VALUE, says which candidate is
    right where there are no verdicts. Raises DatasetError for an unknown role, UsageError for
    another form of `right`.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    right: str = ""

    def __post_init__(self) -> None:
        column, equals, value = self.right.partition("=")
        if self.right and not (column and equals and value):
            raise UsageError(f"--right {quoted(self.right)}: must be COLUMN=VALUE")

    def fit(self, rows: Sequence[Row]) -> bool:
        """Whether rows are of this form: verdicts in lists, chosen and rejected, or `right`."""
        if self.right:
            return True
        usual = [name for rank in RANKED["verdict"] for name in rank]
        names = [self.columns["verdict"]] if "verdict" in self.columns else usual
        cells = [(name, rows[0].cells[name]) for name in names if name in rows[0].cells]
        return any(name == "solution_type" or _list(cell) is not None for name, cell in cells)

    def read(self, rows: Sequence[Row], source: str) -> list[RankedProblem]:
        """Every problem, in the order in which they first appear.

        Raises DatasetError, with the place, for what is unusable, and for a problem without
        exactly one right candidate beside at least one other.
        """
        found = self._find(column_names(rows), source)
        texts: dict[str, tuple[str, str]] = {}
        candidates: dict[str, list[RankedCandidate]] = {}
        for row in rows:
            name, text = _problem(row, found)
            where, known = texts.setdefault(name, (row.where, text))
            if known != text:
                raise DatasetError(f"{row.where}: another problem under the id {quoted(name)}")
            candidates.setdefault(name, []).extend(self._candidates(row, found))
        for name, (where, _) in texts.items():
            _check(candidates[name], where, name)
        return [
            RankedProblem(name, text, tuple(candidates[name])) for name, (_, text) in texts.items()
        ]

    def _find(self, names: Sequence[str], source: str) -> dict[str, str]:
        column = self.right.partition("=")[0]
        if column and column not in names:
            there = ", ".join(map(quoted, names))
            near = did_you_mean(column, names)
            raise DatasetError(
                f"{source}: no column {quoted(column)} for --right; there are {there}{near}"
            )
        given = {**self.columns, "verdict": column} if column else self.columns
        found = Columns(RANKED, given, ("verdict",), "--column").find(names, source)
        if "id" not in found and "problem" not in found:
            raise DatasetError(f"{source}: neither an id nor a problem tells its rows apart")
        return found

    def _candidates(self, row: Row, found: Mapping[str, str]) -> Iterator[RankedCandidate]:
        """The candidates of a row: one, unless its verdicts are a list."""
        roles: dict[str, Any]
        roles = {role: row.cells.get(found[role]) for role in _READ if role in found}
        try:
            several = _list(roles["verdict"]) is not None
            for role, cell in roles.items():
                roles[role] = (_list(cell) or cell) if several else [cell]
        except Shortened as error:
            raise DatasetError(f"{row.where}: {error}") from None
        sizes = {role: len(cell) if isinstance(cell, list) else 1 for role, cell in roles.items()}
        if len(set(sizes.values())) > 1:
            shown = ", ".join(f"{size} in {quoted(found[role])}" for role, size in sizes.items())
            raise DatasetError(f"{row.where}: columns of different lengths: {shown}")
        wanted = self.right.partition("=")[2]
        for i, verdict in enumerate(_listed(roles["verdict"])):
            try:
                yield RankedCandidate(
                    right=str(verdict) == wanted if self.right else _verdict(verdict),
                    steps=_steps(_listed(roles["text"])[i]) if "text" in roles else (),
                    score=_score(_listed(roles["score"])[i]) if "score" in roles else None,
                )
            except ValueError as error:
                raise DatasetError(f"{row.where}: candidate {i}: {error}") from None


_READ = ("verdict", "text", "score")


def _list(cell: Any) -> list[Any] | None:
    """The list that a cell is, or writes, as the cells of a .csv file do."""
    return listed(cell) if isinstance(cell, str) else cell if isinstance(cell, list) else None


def _listed(cell: Any) -> list[Any]:
    return cell if isinstance(cell, list) else [cell]


def _problem(row: Row, found: Mapping[str, str]) -> tuple[str, str]:
    """Id and text of a row's problem; without an id its text tells it apart."""
    cells = {role: row.cells.get(found[role]) for role in ("id", "problem") if role in found}
    text = cells.get("problem")
    if "problem" in found and (not isinstance(text, str) or not text.strip()):
        raise DatasetError(f"{row.where}: no problem (column {quoted(found['problem'])})")
    name = cells.get("id")
    if "id" in found and (name is None or isinstance(name, list | dict) or name == ""):
        raise DatasetError(f"{row.where}: no id (column {quoted(found['id'])})")
    shown = text if isinstance(text, str) else ""
    return (text_id(shown) if name is None else str(name)), shown


def _check(candidates: Sequence[RankedCandidate], where: str, name: str) -> None:
    right = sum(one.right for one in candidates)
    if right != 1 or len(candidates) < 2:
        raise DatasetError(
            f"{where}: {quoted(name)} has {right} right of {len(candidates)} candidates; exactly "
            "one right beside others is what ranking it first means (--right COLUMN=VALUE says "
            "which it is; pools of many draws are for `tts-bench import`)"
        )


def _verdict(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _WORDS.get(str(value).strip().lower())
    if found is None:
        raise ValueError(f"a verdict is neither right nor wrong: {quoted(value)}")
    return found


def _steps(value: Any) -> tuple[str, ...]:
    steps = tuple(_listed(value))
    for step in steps:
        if not isinstance(step, str) or not step.strip():
            raise ValueError(f"a step must be a text that is not empty, not {quoted(step)}")
    if not steps:
        raise ValueError("a candidate has no text")
    return steps


def _score(value: Any) -> float | tuple[float, ...]:
    """One score, or one for each step."""
    if isinstance(value, str):
        value = _list(value) or _number(value)
    for one in _listed(value):
        if isinstance(one, bool) or not isinstance(one, int | float):
            raise ValueError(f"a score is no number: {quoted(one)}")
        if not _is_finite(one):
            raise ValueError(f"a score is not finite: {quoted(one)}")
    if not isinstance(value, list):
        return float(value)
    if not value:
        raise ValueError("a list of step scores is empty")
    return tuple(map(float, value))


def _number(text: str) -> float | str:
    """The number that a text writes, or the text."""
    try:
        return float(text)
    except ValueError:
        return text


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number beyond the largest float
        return False
