"""Two runs, or two strategies of a run, on the problems that both have attempted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tts_bench.errors import UsageError, did_you_mean
from tts_bench.report.points.point import QUANTITIES, Point, RunPoints
from tts_bench.report.points.scope import Scope, canonical
from tts_bench.stats.estimators import Estimate, mean_interval, paired_difference, ratio_of_means
from tts_bench.stats.significance import holm, mcnemar_exact, sign_flip_p

_Places = dict[tuple[Any, ...], Point]
COSTS = tuple(name for name in QUANTITIES if name != "accuracy")


@dataclass(frozen=True, slots=True)
class Compared:
    """A point of A beside one of B, on their shared problems."""

    a: Point
    b: Point
    problems: tuple[str, ...]
    accuracy: tuple[Estimate, Estimate]
    difference: Estimate
    """Accuracy of A minus that of B, with the interval of a paired bootstrap over problems."""
    p_value: float
    test: str
    """`McNemar` if every problem is solved or not, else `sign flips`."""
    only_a: tuple[str, ...]
    """Problems on which A is better, the clearest first."""
    only_b: tuple[str, ...]
    ratios: Mapping[str, Estimate]
    """Cost of A over that of B, by quantity, if both are known on every shared problem."""
    p_holm: float = 1.0
    """The p-value, adjusted for all points that are compared at once."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Every pair of points of two runs, and what a reader must know beside them."""

    pairs: tuple[Compared, ...]
    unmatched: tuple[str, ...]
    """_Places that only one of the runs has."""
    notes: tuple[str, ...]


def compare(
    a: RunPoints,
    b: RunPoints,
    *,
    a_point: str | None = None,
    b_point: str | None = None,
    force: bool = False,
) -> Comparison:
    """Compare two runs point by point, or one chosen point of each.

    _Places are the same where strategy, parameters and n are; a chosen one is named as in
    `best_of_n@16`. Raises UsageError, with the reason, for runs that cannot be compared: other
    problems, other data under the same names (unless `force`), no common point.
    """
    check_comparable(a.scope, b.scope, force)
    if a_point or b_point:
        if not (a_point and b_point):
            raise UsageError("name a point of both runs, as in --a best_of_n@16 --b greedy")
        pairs = [(find_point(a, a_point), find_point(b, b_point))]
        unmatched: list[str] = []
    else:
        pairs, unmatched = _match(a, b)
    if not pairs:
        raise UsageError(
            f"the runs have no point in common: {a.scope.run} has {_names(a)}; "
            f"{b.scope.run} has {_names(b)}; name one of each with --a and --b"
        )
    compared = [compare_points(one, other) for one, other in pairs]
    adjusted = holm([pair.p_value for pair in compared])
    whole = [replace(pair, p_holm=p) for pair, p in zip(compared, adjusted, strict=True)]
    return Comparison(tuple(whole), tuple(unmatched), tuple(_notes(a, b)))


def compare_points(a: Point, b: Point) -> Compared:
    """Two points on the problems that both have values for. Raises UsageError without any."""
    ours, theirs = a.values["accuracy"], b.values["accuracy"]
    shared = tuple(problem for problem in ours if problem in theirs)
    if not shared:
        raise UsageError(f"{a.full_name} and {b.full_name} have no problem in common")
    first, second = ([values[p] for p in shared] for values in (ours, theirs))
    gaps = {p: ours[p] - theirs[p] for p in shared}
    better = sorted((p for p in shared if gaps[p] > 0), key=lambda p: -gaps[p])
    worse = sorted((p for p in shared if gaps[p] < 0), key=lambda p: gaps[p])
    binary = {*first, *second} <= {0.0, 1.0}
    return Compared(
        a=a,
        b=b,
        problems=shared,
        accuracy=(mean_interval(first), mean_interval(second)),
        difference=paired_difference(first, second),
        p_value=mcnemar_exact(len(better), len(worse)) if binary else sign_flip_p([*gaps.values()]),
        test="McNemar" if binary else "sign flips",
        only_a=tuple(better),
        only_b=tuple(worse),
        ratios=_ratios(a, b, shared),
    )


def _ratios(a: Point, b: Point, shared: Sequence[str]) -> dict[str, Estimate]:
    found = {}
    for name in COSTS:
        ours, theirs = a.values.get(name, {}), b.values.get(name, {})
        if all(p in ours and p in theirs for p in shared) and any(theirs[p] for p in shared):
            found[name] = ratio_of_means([ours[p] for p in shared], [theirs[p] for p in shared])
    return found


def find_point(run: RunPoints, name: str) -> Point:
    """The point called `strategy@n`, or as `Point.full_name`. Raises UsageError."""
    short = [one for one in run.points if one.name == name]
    found = [one for one in run.points if one.full_name == name] or short
    if len(found) == 1:
        return found[0]
    if found:
        choices = ", ".join(repr(one.full_name) for one in found)
        raise UsageError(f"{name}: {run.scope.run} has several of that name: {choices}")
    known = _known(run)
    hint = did_you_mean(name, known) or f"; it has {_names(run)}"
    raise UsageError(f"{name}: no such point in {run.scope.run}{hint}")


def _names(run: RunPoints) -> str:
    return ", ".join(_known(run))


def _known(run: RunPoints) -> list[str]:
    """The shortest name of each point that no other has."""
    count = Counter(one.name for one in run.points)
    return [one.full_name if count[one.name] > 1 else one.name for one in run.points]


def _match(a: RunPoints, b: RunPoints) -> tuple[list[tuple[Point, Point]], list[str]]:
    """_Places of both runs with the same place; with sampling too, where a place is not unique."""
    ours, theirs = _keys(a), _keys(b)
    pairs = [(one, theirs[key]) for key, one in ours.items() if key in theirs]
    return pairs, [*_alone(a, ours, theirs), *_alone(b, theirs, ours)]


def _alone(run: RunPoints, mine: _Places, others: _Places) -> list[str]:
    return [
        f"{one.full_name} only in {run.scope.run}" for key, one in mine.items() if key not in others
    ]


def _keys(run: RunPoints) -> _Places:
    count = Counter(one.place for one in run.points)
    return {
        one.place if count[one.place] == 1 else (*one.place, canonical(one.cell.sampling)): one
        for one in run.points
    }


def check_comparable(a: Scope, b: Scope, force: bool = False) -> None:
    """Raise UsageError, with the reason, if two runs did not attempt the same problems.

    Data sets of different content are compared by the problems that both runs attempted, where
    the manifests state their texts and reference answers; else only with `force`.
    """
    theirs = set(b.problems)
    shared = [problem for problem in a.problems if problem in theirs]
    if not shared:
        raise UsageError(
            f"nothing to compare: {a.run} ({a.dataset.name}) and {b.run} "
            f"({b.dataset.name}) have no problem in common"
        )
    hashes = [scope.dataset.content_hash for scope in (a, b)]
    if None in hashes or hashes[0] == hashes[1] or force:
        return
    if all(problem in a.contents and problem in b.contents for problem in shared):
        other = [problem for problem in shared if a.contents[problem] != b.contents[problem]]
        if other:
            part = "text" if a.contents[other[0]][0] != b.contents[other[0]][0] else "reference"
            raise UsageError(
                f"{a.run} and {b.run} differ in {len(other)} of {len(shared)} problems of the same "
                f"name (first: the {part} of {other[0]}): what is right in one may be wrong in the "
                "other"
            )
        return
    raise UsageError(
        "the runs' data sets differ in content: problems of the same name may not be the same; "
        "if they are (one set is the beginning of the other), compare with --force"
    )


def _notes(a: RunPoints, b: RunPoints) -> list[str]:
    notes = []
    for run in (a, b):
        if not run.scope.finished:
            notes.append(f"{run.scope.run} is unfinished ({run.scope.status})")
    alone = set(a.scope.problems) ^ set(b.scope.problems)
    if alone:
        notes.append(f"{len(alone)} problems are in one run only and were left out")
    others = b.scope.engine.brief
    for key, ours in a.scope.engine.brief.items():
        theirs = others[key]
        if ours != theirs:
            notes.append(f"engine {key}: {ours} and {theirs}")
    return notes
