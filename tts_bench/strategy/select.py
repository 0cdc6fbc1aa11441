"""Chooses among candidates; and, under the name that a run stores, what a choice is worth at n.

Answer classes are integers; -1 marks a candidate without an answer, which never votes and never
wins. A choice is the index of a candidate, or None if no candidate has an answer. Ties go to
what was drawn first. The expectations over n-subsets of a pool are those of `subsets`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tts_bench.stats.subsets import (
    NO_ANSWER,
    TIE,
    Expectation,
    Flags,
    expected_best,
    expected_majority,
    expected_weighted,
    finite,
    ordered,
)

__all__ = [
    "NO_ANSWER",
    "SELECTORS",
    "Expectation",
    "Selector",
    "best",
    "expected_best",
    "expected_majority",
    "expected_weighted",
    "majority",
    "weighted",
]


def best(scores: Sequence[float], eligible: Sequence[bool] | None = None) -> int | None:
    """Index of the highest score among the eligible, or None if nothing is eligible.

    Raises ValueError for a NaN.
    """
    values = ordered(scores)
    if eligible is not None:
        if len(eligible) != len(values):
            raise ValueError(f"{len(eligible)} eligibilities for {len(values)} scores")
        indices = np.flatnonzero(eligible)
    else:
        indices = np.arange(len(values))
    return int(indices[np.argmax(values[indices])]) if len(indices) else None


def majority(classes: Sequence[int]) -> int | None:
    """Index of the first candidate of the largest class."""
    return weighted(classes, [1.0] * len(classes))


def weighted(classes: Sequence[int], scores: Sequence[float]) -> int | None:
    """Index of the first candidate of the class with the largest sum of scores.

    A score below 0 counts against its class; see `TIE` for what is a tie. Raises ValueError for
    a score that is not finite.
    """
    finite(scores)
    votes: dict[int, list[float]] = {}
    for answer, score in zip(classes, scores, strict=True):
        if answer != NO_ANSWER:
            votes.setdefault(answer, []).append(score)
    if not votes:
        return None
    sums = {answer: math.fsum(cast) for answer, cast in votes.items()}
    size = {answer: math.fsum(map(abs, cast)) for answer, cast in votes.items()}
    top = max(sums, key=lambda answer: sums[answer])
    tied = (a for a in sums if sums[top] - sums[a] <= TIE * (size[top] + size[a]))
    return list(classes).index(next(tied))


@dataclass(frozen=True, slots=True)
class Selector:
    """A selection rule and its expectation at n, under the name that a run stores."""

    name: str
    needs_scores: bool
    rule: Callable[[Sequence[int], Sequence[float]], int | None] = field(repr=False)
    expectation: Callable[[Sequence[int], Sequence[float], Flags, int, int], Expectation] = field(
        repr=False
    )

    def choose(self, classes: Sequence[int], scores: Sequence[float] = ()) -> int | None:
        """Index of the chosen candidate, or None if none has an answer."""
        self._check(classes, scores)
        return self.rule(classes, scores)

    def expected(
        self,
        classes: Sequence[int],
        scores: Sequence[float],
        correct: Flags,
        n: int,
        seed: int = 0,
    ) -> Expectation:
        """Probability that the choice among n random candidates of the pool is correct.

        `seed` matters only if subsets are sampled; give each problem its own. Raises
        ValueError unless 1 <= n <= number of candidates.
        """
        self._check(classes, scores)
        if not 1 <= n <= len(classes):
            raise ValueError(f"n={n} does not lie between 1 and {len(classes)} candidates")
        return self.expectation(classes, scores, correct, n, seed)

    def _check(self, classes: Sequence[int], scores: Sequence[float]) -> None:
        if self.needs_scores and len(scores) != len(classes):
            raise ValueError(
                f"{self.name!r} needs a score for each of {len(classes)} candidates, "
                f"not {len(scores)}"
            )


def _answered(classes: Sequence[int]) -> list[bool]:
    return [answer != NO_ANSWER for answer in classes]


def _choose_first(classes: Sequence[int], _: Sequence[float]) -> int | None:
    return 0 if len(classes) and classes[0] != NO_ANSWER else None


def _choose_best(classes: Sequence[int], scores: Sequence[float]) -> int | None:
    return best(scores, _answered(classes))


def _choose_majority(classes: Sequence[int], _: Sequence[float]) -> int | None:
    return majority(classes)


def _expect_first(
    classes: Sequence[int], _: Sequence[float], correct: Flags, __: int, ___: int
) -> Expectation:
    alike = [0.0] * len(classes)
    return Expectation(expected_best(alike, correct, 1, _answered(classes)))


def _expect_best(
    classes: Sequence[int], scores: Sequence[float], correct: Flags, n: int, _: int
) -> Expectation:
    return Expectation(expected_best(scores, correct, n, _answered(classes)))


def _expect_majority(
    classes: Sequence[int], _: Sequence[float], correct: Flags, n: int, __: int
) -> Expectation:
    return Expectation(expected_majority(classes, correct, n))


def _expect_weighted(
    classes: Sequence[int], scores: Sequence[float], correct: Flags, n: int, seed: int
) -> Expectation:
    return expected_weighted(classes, scores, correct, n, seed=seed)


SELECTORS: Mapping[str, Selector] = {
    selector.name: selector
    for selector in (
        Selector("first", False, _choose_first, _expect_first),
        Selector("best", True, _choose_best, _expect_best),
        Selector("majority", False, _choose_majority, _expect_majority),
        Selector("weighted", True, weighted, _expect_weighted),
    )
}
"""The rules by name. `first` stands for greedy decoding: one draw, whatever n is."""
