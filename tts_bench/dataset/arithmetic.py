"""Generated arithmetic: problems for tests, quick starts and tiny models, without a download."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le

from tts_bench.dataset.base import Dataset, Item, LoadedDataset
from tts_bench.errors import DatasetError
from tts_bench.types import Problem, Seed


@dataclass(frozen=True, slots=True)
class Difficulty:
    """What makes a level hard."""

    operations: int
    largest: int
    """Largest number in the text."""
    factor: int
    """Largest factor of a product; 1 if there are no products."""


LEVELS: Mapping[int, Difficulty] = {
    1: Difficulty(operations=1, largest=30, factor=1),
    2: Difficulty(operations=2, largest=50, factor=1),
    3: Difficulty(operations=4, largest=50, factor=9),
    4: Difficulty(operations=7, largest=50, factor=9),
    5: Difficulty(operations=11, largest=50, factor=9),
}
"""Difficulties by level, 1 = easiest. Every single operation is easy; a level adds operations."""

BOUND = 50
"""No value on the way exceeds it, so that a very small model can master every operation."""

PRODUCTS = 0.25
"""Share of the terms that are products, on levels that have any."""

MAX_REPEATS = 1000
"""Draws in a row without a new problem after which a level counts as used up."""


@dataclass(frozen=True)
class Arithmetic(Dataset):
    """Integer arithmetic in several steps, such as `Compute 37 + 6 * 8 - 46.`

    Levels take turns, so that any prefix is balanced over them. `seed` chooses the problems; the
    first k of a longer set are those of the set with `problems=k`.
    """

    problems: Annotated[int, Ge(1), Le(1_000_000)] = 100
    seed: Seed = 0
    levels: tuple[int, ...] = tuple(LEVELS)

    def __post_init__(self) -> None:
        if self.problems < 1:
            raise ValueError(f"problems: {self.problems} is less than 1")
        if not self.levels or len(set(self.levels)) < len(self.levels):
            raise ValueError(f"levels: {list(self.levels)} is empty or names a level twice")
        if unknown := sorted(set(self.levels) - set(LEVELS)):
            raise ValueError(f"levels: no level {unknown[0]}, only {min(LEVELS)} to {max(LEVELS)}")

    def load(self) -> LoadedDataset:
        """Generate the problems. Raises DatasetError if a level has not as many."""
        streams = [_distinct(self.seed, level) for level in self.levels]
        items = tuple(next(streams[i % len(streams)]) for i in range(self.problems))
        return LoadedDataset("arithmetic", f"arithmetic, seed {self.seed}", "", items)


def draw_problem(rng: random.Random, difficulty: Difficulty) -> tuple[str, int]:
    """The text of one random problem, and its answer."""
    expression, value = _draw(rng, difficulty)
    return f"Compute {expression}.", value


def _distinct(seed: int, level: int) -> Iterator[Item]:
    """The level's problems without repeats, always in the same order for a seed."""
    rng = random.Random(f"arithmetic/{seed}/{level}")
    seen: set[str] = set()
    while True:
        draws = (draw_problem(rng, LEVELS[level]) for _ in range(MAX_REPEATS))
        new = next((draw for draw in draws if draw[0] not in seen), None)
        if new is None:
            raise DatasetError(f"arithmetic: level {level} has only {len(seen)} problems")
        text, value = new
        problem = Problem(id=f"arithmetic/{seed}/{level}/{len(seen)}", text=text, level=level)
        seen.add(text)
        yield Item(problem, str(value))


def _draw(rng: random.Random, level: Difficulty) -> tuple[str, int]:
    """A sum of numbers and products with as many operations as the level has, and its value.

    Every value on the way, terms from left to right, lies between 1 and BOUND.
    """
    left = level.operations
    expression, value = _term(rng, level, left, level.largest)
    left -= "*" in expression
    while left:
        # A larger range of terms makes its operation likelier: sums and differences of all
        # sizes come about equally often, and the value does not stick to either end.
        room = {"+": min(level.largest, BOUND - value), "-": min(level.largest, value - 1)}
        operation = rng.choices(list(room), list(room.values()))[0]
        term, size = _term(rng, level, left - 1, room[operation])
        left -= 1 + ("*" in term)
        expression += f" {operation} {term}"
        value += size if operation == "+" else -size
    return expression, value


def _term(rng: random.Random, level: Difficulty, left: int, most: int) -> tuple[str, int]:
    """A number or a product of two factors, at most `most`, with at most `left` operations."""
    if left and min(level.factor, most // 2) >= 2 and rng.random() < PRODUCTS:
        first = rng.randint(2, min(level.factor, most // 2))
        second = rng.randint(2, min(level.factor, most // first))
        return f"{first} * {second}", first * second
    number = rng.randint(1, most)
    return str(number), number
