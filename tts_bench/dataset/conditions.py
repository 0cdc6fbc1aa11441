"""Conditions by which a user chooses rows of a table: `--where COLUMN=VALUE`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tts_bench.dataset.row import Row, column_names
from tts_bench.errors import DatasetError, did_you_mean, quoted

_SHOWN = 8
"""Values that a message lists."""
_KEPT = 1000
"""Different values of a column that are remembered for such a list."""


class Conditions:
    """Of several conditions on one column one must hold, of each column.

    Rows are shown to `holds` one by one; afterwards `check` tells what no row met. Raises
    DatasetError for a malformed condition.
    """

    def __init__(self, conditions: Sequence[str], source: str) -> None:
        self._source = source
        self._wanted: dict[str, set[str]] = {}
        for condition in conditions:
            column, equals, value = condition.partition("=")
            if not equals or not column:
                raise DatasetError(f"--where {quoted(condition)}: must be COLUMN=VALUE")
            self._wanted.setdefault(column, set()).add(value)
        self._met: Counter[str] = Counter()
        self._found: dict[str, set[str]] = {column: set() for column in self._wanted}

    @property
    def columns(self) -> list[str]:
        """The columns that the conditions are about."""
        return list(self._wanted)

    def holds(self, row: Row) -> bool:
        """Whether a row meets all of them."""
        for column, values in self._wanted.items():
            value = _written(row.cells.get(column))
            if len(self._found[column]) < _KEPT:
                self._found[column].add(value)
            if value not in values:
                return False
            self._met[column] += 1
        return True

    def check(self, names: Sequence[str]) -> None:
        """Raise DatasetError for a column that is none of a table's, and one that no row met."""
        for column, values in self._wanted.items():
            if column not in names:
                there = ", ".join(map(quoted, names)) or "none"
                near = did_you_mean(column, names)
                raise DatasetError(
                    f"{self._source}: no column {quoted(column)}; there are {there}{near}"
                )
            if not self._met[column]:
                found = sorted(self._found[column])
                shown = ", ".join(map(quoted, found[:_SHOWN])) + (", ..." * (len(found) > _SHOWN))
                asked = " or ".join(map(quoted, sorted(values)))
                raise DatasetError(
                    f"{self._source}: no row whose {quoted(column)} is {asked}, only {shown}"
                )


def only_where(rows: Iterable[Row], conditions: Sequence[str], source: str) -> list[Row]:
    """The rows that meet the conditions. Raises DatasetError as `Conditions` does."""
    every = list(rows)
    wanted = Conditions(conditions, source)
    kept = [row for row in every if wanted.holds(row)]
    wanted.check(column_names(every))
    return kept


def _written(cell: object) -> str:
    """A cell as a user writes it in a condition."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return "" if cell is None else str(cell)
