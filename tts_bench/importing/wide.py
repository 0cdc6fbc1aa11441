"""Numbered columns, one for each completion: `rollout_1` to `rollout_16` are `rollout_*`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tts_bench.dataset.columns import POOLS
from tts_bench.dataset.row import Row
from tts_bench.errors import BadRow, DatasetError, quoted

STAR = "*"
_FEWEST = 2
"""Numbered columns that are more than one column whose name ends in a number."""
_USUAL = tuple(name for ranks in POOLS.values() for rank in ranks for name in rank if STAR in name)


@dataclass(frozen=True)
class WideColumns:
    """Groups of numbered columns by pattern; each group in the order of its numbers."""

    groups: Mapping[str, Mapping[int, str]]

    @classmethod
    def of(cls, names: Sequence[str], given: Iterable[str]) -> WideColumns:
        """The groups among a table's columns: those of the usual names, and the given patterns.

        Raises DatasetError for a pattern with several stars.
        """
        groups: dict[str, Mapping[int, str]] = {}
        for pattern in dict.fromkeys([*(one for one in given if STAR in one), *_USUAL]):
            if pattern in names:
                continue
            if pattern.count(STAR) > 1:
                raise DatasetError(f"--map {quoted(pattern)}: one * stands for the number")
            before, after = map(re.escape, pattern.split(STAR))
            form = re.compile(rf"{before}(\d{{1,9}}){after}")
            found = {int(match[1]): name for name in names if (match := form.fullmatch(name))}
            if len(found) >= _FEWEST:
                groups[pattern] = dict(sorted(found.items()))
        return cls(groups)

    def names(self, names: Sequence[str]) -> list[str]:
        """A table's columns, and the patterns of its numbered ones."""
        return [*names, *self.groups]

    def gather(self, row: Row, patterns: Iterable[str]) -> Row:
        """The row with a list for each of the patterns, without numbers of which all are empty.

        Raises BadRow where one pattern has a column for a number that another has not.
        """
        used = [pattern for pattern in patterns if pattern in self.groups]
        if not used:
            return row
        numbers = list(self.groups[used[0]])
        for pattern in used[1:]:
            if list(self.groups[pattern]) != numbers:
                sizes = " and ".join(f"{len(self.groups[one])} of {one}" for one in used)
                raise BadRow(row.where, "numbered columns that do not match", f": {sizes}")
        kept = [
            number
            for number in numbers
            if any(not _is_empty(row.cells.get(self.groups[one][number])) for one in used)
        ]
        lists = {one: [row.cells.get(self.groups[one][number]) for number in kept] for one in used}
        return Row(row.where, {**row.cells, **lists})


def _is_empty(cell: object) -> bool:
    return cell is None or cell == "" or cell != cell
