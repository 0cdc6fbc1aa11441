"""What a strategy's own selection rule is worth at each n of its sweep, from one pool."""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from tts_bench.stats.subsets import expected_by_rule
from tts_bench.strategy.base import SampleAndSelect
from tts_bench.suite.cells import Cell
from tts_bench.types import Solution


def expect_choices(
    cell: Cell, solution: Solution, correct: Sequence[bool | None], problem: str, seed: int
) -> tuple[tuple[int, float, float], ...]:
    """For each n: n, the probability that the rule chooses right, and its Monte Carlo error.

    Nothing for a cell whose rule a report can compute by its name. Raises whatever the rule raises
    on a subset, and IndexError if what it returns is no index of one.
    """
    strategy = cell.strategy
    if not (cell.at and isinstance(strategy, SampleAndSelect) and strategy.has_own_rule()):
        return ()
    candidates, scores = solution.candidates, solution.scores

    def is_right(members: Sequence[int]) -> bool:
        chosen = strategy.choose(
            [candidates[i] for i in members], [scores[i] for i in members] if scores else []
        )
        if chosen is None:
            return False
        if not 0 <= chosen < len(members):
            raise IndexError(f"choose returned {chosen}, no index of {len(members)} candidates")
        return correct[members[chosen]] is True and candidates[members[chosen]].answer is not None

    found = []
    for n in cell.at:
        size = min(n, len(candidates))
        if not any(correct):  # nothing to find, and no rule needs asking
            found.append((n, 0.0, 0.0))
            continue
        if size == len(candidates):
            right = solution.chosen is not None and correct[solution.chosen] is True
            found.append((n, float(right), 0.0))
            continue
        digest = crc32(f"{seed}|{problem}".encode())
        expectation = expected_by_rule(is_right, len(candidates), size, seed=digest)
        found.append((n, expectation.value, expectation.stderr))
    return tuple(found)
