"""A part of a data set by level: what a small suite runs on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tts_bench.dataset.base import Dataset, Item
from tts_bench.errors import DatasetError


@dataclass(frozen=True, kw_only=True)
class SubsetDataset(Dataset):
    """A data set of which a suite may take a part, in the order of the whole.

    `levels` keeps the problems of these levels. Of each level, `skip_per_level` leaves out the
    first so many and `per_level` keeps the first so many of the rest.
    """

    levels: tuple[int, ...] | None = None
    per_level: int | None = None
    skip_per_level: int = 0

    def __post_init__(self) -> None:
        if self.levels is not None and not self.levels:
            raise ValueError("levels: is empty; leave it out to keep every level")
        if self.per_level is not None and self.per_level < 1:
            raise ValueError(f"per_level: must be at least 1, not {self.per_level}")
        if self.skip_per_level < 0:
            raise ValueError(f"skip_per_level: must be at least 0, not {self.skip_per_level}")

    def part(self, items: Sequence[Item], source: str) -> tuple[Item, ...]:
        """Items that the settings keep. Raises DatasetError if a level is missing."""
        if self.levels is None and self.per_level is None and not self.skip_per_level:
            return tuple(items)
        known = {item.problem.level for item in items if item.problem.level is not None}
        if any(item.problem.level is None for item in items):
            raise DatasetError(f"{source}: not every problem has a level, so none can be chosen by")
        if missing := sorted(set(self.levels or ()) - known):
            found = ", ".join(map(str, sorted(known)))
            raise DatasetError(f"{source}: no problem of level {missing[0]}; there are {found}")
        kept: list[Item] = []
        count: Counter[int | None] = Counter()
        for item in items:
            level = item.problem.level
            if self.levels is not None and level not in self.levels:
                continue
            count[level] += 1
            place = count[level] - self.skip_per_level
            if place > 0 and (self.per_level is None or place <= self.per_level):
                kept.append(item)
        if not kept:
            raise DatasetError(f"{source}: skip_per_level {self.skip_per_level} leaves no problem")
        return tuple(kept)
