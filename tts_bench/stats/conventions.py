"""Conventions by which a vote or a best-of-n of k draws is counted: where tools differ.

Two papers may give other numbers for the same draws because they break ties, pass over missing
answers or cut a pool to k draws otherwise. A `Convention` names each such choice, so that a number
can be computed the way somebody else did. Who does what: `report/conventions/tools.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from tts_bench.stats.estimators import g_pass_at_k, pass_at_k
from tts_bench.stats.subsets import (
    NO_ANSWER,
    TIE,
    Expectation,
    Flags,
    expected_best,
    expected_by_rule,
    expected_majority,
    expected_weighted,
)

Taken = Literal["subsets", "first"]
Ties = Literal["expectation", "first", "none"]
Missing = Literal["abstain", "class", "wrong"]
Votes = Literal["sum", "mean"]
Equal = Literal["equivalent", "literal", "graded"]
Rule = Literal["majority", "best", "weighted"]


@dataclass(frozen=True, slots=True)
class Convention:
    """How k of a pool's draws become one number; the defaults are this project's."""

    draws: Taken = "subsets"
    """k draws are every k-subset of the pool alike, or the first k as they were drawn."""
    ties: Ties = "expectation"
    """Answers with as many votes share the win, the first drawn has it, or a tie is wrong."""
    score_ties: Ties = "expectation"
    """The same of answers with equal scores, in best-of-n and in weighted votes."""
    missing: Missing = "abstain"
    """A draw without an answer is passed over; or is chosen as others are, and is wrong: all such
    draws as one answer (`class`), or each as an answer of its own (`wrong`)."""
    votes: Votes = "sum"
    """What a weighted vote compares of an answer's scores."""
    answers: Equal = "equivalent"
    """Which answers are one: those of equal value, or those written alike (`literal`); `graded` has
    in a majority those written and graded alike, and in a weighted vote the last one's verdict."""

    def ties_of(self, rule: Rule) -> Ties:
        """What becomes of a tie under a rule."""
        return self.ties if rule == "majority" else self.score_ties


THIS = Convention()


@dataclass(frozen=True)
class Draws:
    """One problem's pool in the order of its draws; `scores` is empty where there are none."""

    answers: Sequence[str | None]
    classes: Sequence[int]
    correct: Flags
    scores: Sequence[float] = ()
    firsts: Sequence[int] | None = None
    """Indices of the draws of which no earlier one is a copy; None for all."""
    _numbered: dict[tuple[str, ...], list[int]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @property
    def distinct(self) -> Sequence[int]:
        """Indices of the draws that count in coverage: copies of one count once."""
        return range(len(self.classes)) if self.firsts is None else self.firsts

    def numbered(self, convention: Convention, rule: Rule) -> list[int]:
        """The number of each draw's answer under a convention; -1 where it is passed over."""
        by_verdict = convention.answers == "graded" and rule == "majority"
        key = (convention.missing, convention.answers, "by verdict" if by_verdict else "")
        if key not in self._numbered:
            self._numbered[key] = self._number(convention, by_verdict)
        return self._numbered[key]

    def _number(self, convention: Convention, by_verdict: bool) -> list[int]:
        numbers: dict[object, int] = {}
        found = []
        for i, (answer, group) in enumerate(zip(self.answers, self.classes, strict=True)):
            if group != NO_ANSWER:
                alike = convention.answers == "equivalent" or answer is None
                verdict = by_verdict and bool(self.correct[i])
                key: object = ("answer", group if alike else answer, verdict)
            elif convention.missing == "abstain":
                found.append(NO_ANSWER)
                continue
            else:
                key = ("missing", None if convention.missing == "class" else i)
            found.append(numbers.setdefault(key, len(numbers)))
        return found


def coverage(pool: Draws, k: int) -> float:
    """pass@k of one pool; every convention here takes the unbiased estimate over all subsets."""
    right = sum(bool(pool.correct[i]) for i in pool.distinct)
    return float(pass_at_k(len(pool.distinct), right, k))


def often_right(pool: Draws, k: int, share: Fraction) -> float:
    """G-Pass@k of one pool: the chance that of k draws this share or more is right.

    All of them at a share of 1, which is also called worst-of-k; over all subsets (Liu et al.,
    arXiv:2412.13147).
    """
    right = sum(bool(pool.correct[i]) for i in pool.distinct)
    return g_pass_at_k(len(pool.distinct), right, k, share)


def mean_of_draws(correct: Flags, k: int, convention: Convention) -> float:
    """The mean verdict of k draws: of the first k, or of all, which is that of every k-subset."""
    used = list(correct)[:k] if convention.draws == "first" else list(correct)
    return math.fsum(map(bool, used)) / len(used)


def value_at(rule: Rule, pool: Draws, k: int, convention: Convention, seed: int = 0) -> Expectation:
    """Probability that a rule chooses right among k of the pool's draws, under a convention.

    `seed` matters only where subsets are sampled. Raises ValueError unless 1 <= k <= draws, and
    for a rule that needs scores where there are none.
    """
    if not 1 <= k <= len(pool.classes):
        raise ValueError(f"k={k} does not lie between 1 and {len(pool.classes)} draws")
    if rule != "majority" and len(pool.scores) != len(pool.classes):
        raise ValueError(f"{rule} needs a score for each draw")
    numbers = pool.numbered(convention, rule)
    if convention.draws == "first":
        return Expectation(_share(rule, numbers, pool, range(k), convention))
    exact = None if convention.ties_of(rule) == "none" else _over_subsets(rule, convention)
    if exact is not None:
        return exact(numbers, pool, k, seed)

    def is_right(members: Sequence[int]) -> bool:
        return _share(rule, numbers, pool, members, convention, shared=False) > 0

    return expected_by_rule(is_right, len(numbers), k, seed=seed)


_Exact = Callable[[Sequence[int], Draws, int, int], Expectation]


def _over_subsets(rule: Rule, convention: Convention) -> _Exact | None:
    """The expectation over all subsets where `subsets` knows it; ties are broken by the draw.

    In a random order the first drawn of tied answers is any of them, so `first` is `expectation`.
    """
    if rule == "majority":
        return lambda numbers, pool, k, _: Expectation(expected_majority(numbers, pool.correct, k))
    if rule == "best":
        return lambda numbers, pool, k, _: Expectation(
            expected_best(pool.scores, pool.correct, k, [one != NO_ANSWER for one in numbers])
        )
    if convention.votes == "sum" and convention.answers != "graded":
        return lambda numbers, pool, k, seed: expected_weighted(
            numbers, pool.scores, pool.correct, k, seed=seed
        )
    return None


def _share(
    rule: Rule,
    numbers: Sequence[int],
    pool: Draws,
    members: Sequence[int],
    convention: Convention,
    *,
    shared: bool = True,
) -> float:
    """The share of the win that falls to right answers among these draws, in their order.

    Without `shared`, ties that are shared go to the first, for a caller who puts
    the draws in a random order.
    """
    voting = [i for i in members if numbers[i] != NO_ANSWER]
    if not voting:
        return 0.0
    tied = (
        _best(voting, pool.scores)
        if rule == "best"
        else _voted(rule, voting, numbers, pool, convention)
    )
    ties = convention.ties_of(rule)
    # A tie is one between answers: draws that say the same are no tie.
    if ties == "none" and len({numbers[i] for i in tied}) > 1:
        return 0.0
    if ties == "expectation" and shared:
        return sum(bool(pool.correct[i]) for i in tied) / len(tied)
    return float(bool(pool.correct[tied[0]]))


def _best(voting: Sequence[int], scores: Sequence[float]) -> list[int]:
    """The draws with the highest score, in order."""
    top = max(scores[i] for i in voting)
    return [i for i in voting if scores[i] == top]


def _voted(
    rule: Rule, voting: Sequence[int], numbers: Sequence[int], pool: Draws, convention: Convention
) -> list[int]:
    """A draw of each answer that has the most votes, in the order of their first ones.

    A class is as correct as its first member, or with `graded` as its last. Sums of scores tie as
    in `subsets.TIE`.
    """
    cast: dict[int, list[int]] = {}
    for i in voting:
        cast.setdefault(numbers[i], []).append(i)
    if rule == "majority":
        most = max(map(len, cast.values()))
        return [mine[0] for mine in cast.values() if len(mine) == most]
    member = -1 if convention.answers == "graded" else 0
    parts = {mine[member]: [pool.scores[i] for i in mine] for mine in cast.values()}
    share = {i: 1 / len(mine) if convention.votes == "mean" else 1.0 for i, mine in parts.items()}
    sums = {i: math.fsum(mine) * share[i] for i, mine in parts.items()}
    size = {i: math.fsum(map(abs, mine)) * share[i] for i, mine in parts.items()}
    top = max(sums, key=lambda i: sums[i])
    return [i for i in sums if sums[top] - sums[i] <= TIE * (size[top] + size[i])]
