"""A row of a table with the place it came from, and what is done about a bad one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tts_bench.errors import BadRow

ENCODING = "utf-8-sig"
"""Of every text file of a user's: Windows' editors put a byte order mark before it."""


@dataclass(frozen=True, slots=True)
class Row:
    """Cells by column name, and where a message says that they are."""

    where: str
    """`problems.jsonl:3` where lines are known, else `problems.parquet row 3`; from 1."""
    cells: Mapping[str, object]


def column_names(rows: Iterable[Row]) -> list[str]:
    """Names of all columns that any of the rows has, in the order in which they appear."""
    return list(dict.fromkeys(name for row in rows for name in row.cells))


OnBad = Callable[[BadRow], None]
"""What is done about a row that is unusable."""


def refuse(error: BadRow) -> None:
    """Let the first bad row end the reading."""
    raise error


@dataclass(frozen=True, slots=True)
class BadRows:
    """Leaves bad rows out, and counts them by kind."""

    kinds: Counter[str] = field(default_factory=Counter)

    def __call__(self, error: BadRow) -> None:
        self.kinds[error.kind] += 1

    def __len__(self) -> int:
        return self.kinds.total()

    def __str__(self) -> str:
        return ", ".join(f"{count} x {kind}" for kind, count in sorted(self.kinds.items()))
