"""The exact gate: on recorded generations nothing may move, to the last FLOP."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from tts_bench.errors import UsageError
from tts_bench.report.gate.baseline import Baseline, records
from tts_bench.report.gate.verdict import Check, GateVerdict, check_same_data
from tts_bench.report.points.point import Point, RunPoints

_SELECTION = ("status", "chosen", "answer", "correct", "candidates")
_SAME = 1e-9
"""Values of points that differ by this share differ by the order of a sum alone."""


def gate_exactly(run: RunPoints, baseline: Baseline) -> GateVerdict:
    """Hold every attempt of a run, its candidates, and every point against the baseline's.

    A baseline of an earlier version does not know the candidates; a note of the verdict says
    so. Raises UsageError for a run on other data and for a baseline without attempts.
    """
    check_same_data(run, baseline)
    if not baseline.attempts:
        raise UsageError("the baseline has no attempts to compare with")
    found = dict(records(run.run))
    checks = [
        _same_attempt(key, wanted, found.get(key)) for key, wanted in baseline.attempts.items()
    ]
    checks += [
        Check(key, "selection", "failed", "not in the baseline")
        for key in found
        if key not in baseline.attempts
    ]
    checks += _same_points(run.points, baseline.points)
    blind = sum("pool" not in wanted for wanted in baseline.attempts.values())
    notes = (
        f"{blind} attempts of the baseline, of an earlier version, hold no candidates: what the "
        "candidates answered, scored and cost was not compared; make it anew with --write-baseline",
    )
    return GateVerdict(
        run.scope.run,
        str(baseline.about["run"]),
        "exact",
        tuple(checks),
        notes if blind else (),
    )


def _same_attempt(key: str, wanted: Mapping[str, Any], found: Mapping[str, Any] | None) -> Check:
    if found is None:
        return Check(key, "selection", "failed", "missing from the run")
    for name in _SELECTION:
        if found[name] != wanted[name]:
            detail = f"{name} is {found[name]!r}, was {wanted[name]!r}"
            return Check(key, "selection", "failed", detail)
    for model in ("policy", "verifier"):
        for name, value in wanted[model].items():
            if found[model].get(name) != value:
                quantity = "FLOPs" if name.startswith("flops") else "tokens"
                detail = f"{model} {name} is {found[model].get(name)}, was {value}"
                return Check(key, quantity, "failed", detail)
    for name, digest in wanted.get("pool", {}).items():
        if found["pool"].get(name) != digest:
            detail = f"{name} of the candidates is not what it was"
            return Check(key, "candidates", "failed", detail)
    for name in ("facts", "prompt_tokens"):
        if name in wanted and found[name] != wanted[name]:
            detail = f"{name} is {found[name]!r}, was {wanted[name]!r}"
            return Check(key, name, "failed", detail)
    return Check(key, "selection", "passed", "selection, candidates and costs are the same")


def _same_points(ours: tuple[Point, ...], theirs: tuple[Point, ...]) -> Iterator[Check]:
    known = {one.place: one for one in ours}
    for base in theirs:
        mine = known.pop(base.place, None)
        if mine is None:
            yield Check(base.full_name, "point", "failed", "missing from the run")
        else:
            yield from _same_point(mine, base)
    for mine in known.values():
        yield Check(mine.full_name, "point", "failed", "not in the baseline")


def _same_point(mine: Point, base: Point) -> Iterator[Check]:
    for quantity in ("accuracy", "tokens", "flops"):  # seconds are a machine's own
        ours, theirs = mine.values[quantity], base.values[quantity]
        moved = sorted(p for p in {*ours, *theirs} if not _close(ours.get(p), theirs.get(p)))
        if moved:
            first = moved[0]
            detail = f"{first} has {ours.get(first)}, had {theirs.get(first)}"
            more = f", and {len(moved) - 1} more problems" if moved[1:] else ""
            yield Check(base.full_name, quantity, "failed", detail + more)
        else:
            yield Check(base.full_name, quantity, "passed", "the same on every problem")


def _close(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=_SAME, abs_tol=1e-12)
