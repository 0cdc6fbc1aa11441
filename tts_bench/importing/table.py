"""The rows of a source of recordings, read as often as they are needed and never held together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from tts_bench.dataset.conditions import Conditions
from tts_bench.dataset.row import OnBad, Row, refuse

Read = Callable[[OnBad], Iterable[Row]]
"""Begins to read a source; rows that are malformed by themselves are handed over."""


class Table:
    """Those rows of a source that meet the conditions.

    Its first reading, at once, finds the columns and hands bad rows to `on_bad`. Raises
    DatasetError as the reader does, and for conditions that no row meets.
    """

    def __init__(
        self,
        read: Read,
        source: str,
        conditions: Sequence[str] = (),
        on_bad: OnBad = refuse,
    ) -> None:
        self._read = read
        self.source = source
        self._conditions = Conditions(conditions, source)
        self.total = self._size = 0
        """Rows of the source that can be read, before any condition."""
        names: dict[str, None] = {}
        every: dict[str, None] = {}
        for row in read(on_bad):
            self.total += 1
            every |= dict.fromkeys(row.cells)
            if self._conditions.holds(row):
                self._size += 1
                names |= dict.fromkeys(row.cells)
        if self.total:
            self._conditions.check(list(every))
        self.names = list(names)
        """The columns of its rows."""

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Row]:
        """The rows again; what is bad in the source was told before."""
        return (row for row in self._read(lambda _: None) if self._conditions.holds(row))
