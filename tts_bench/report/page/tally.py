"""Each attempt in the list of problems, without its candidates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from tts_bench.report.points.scope import Scope
from tts_bench.types import Attempt

FAILED = ("error", "budget")
"""What counts as wrong whatever was found before."""

Counts = tuple[int, int, int, int, int, int]
"""Attempts, right ones; candidates, right, truncated, ungraded ones; over seeds."""


@dataclass(frozen=True, slots=True)
class _Count:
    right: bool
    candidates: int
    candidates_right: int
    truncated: int
    ungraded: int


class Tally:
    """Counts of each problem and cell."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, int], _Count] = {}

    def add(self, attempt: Attempt) -> None:
        """Count an attempt; of those with one key the last counts."""
        pool = attempt.pool
        self._found[attempt.key] = _Count(
            right=attempt.correct and attempt.status not in FAILED,
            candidates=len(pool),
            candidates_right=pool.correct.count(True),
            truncated=pool.finish_reason.count("length"),
            ungraded=pool.correct.count(None),
        )

    def by_problem(self, scope: Scope) -> Mapping[str, list[Counts | None]]:
        """Counts by problem, in the order of the cells; None if there is no attempt."""
        seeds: dict[tuple[str, str], list[_Count]] = defaultdict(list)
        for (cell, problem, _), count in self._found.items():
            seeds[cell, problem].append(count)
        return {
            problem: [_added(seeds.get((cell.id, problem), [])) for cell in scope.cells]
            for problem in scope.problems
        }


def _added(counts: list[_Count]) -> Counts | None:
    if not counts:
        return None
    return (
        len(counts),
        sum(one.right for one in counts),
        sum(one.candidates for one in counts),
        sum(one.candidates_right for one in counts),
        sum(one.truncated for one in counts),
        sum(one.ungraded for one in counts),
    )
