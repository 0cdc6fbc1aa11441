"""A comparison of two runs as text for a terminal and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tts_bench.report.compare.paired import COSTS, Compared, Comparison
from tts_bench.report.format import signed_interval
from tts_bench.stats.estimators import Estimate

_HEADS = ("point", "probs", "A %", "B %", "A - B [95% CI]", "p", "p Holm", "A/B tokens", "FLOPs")
_MEASURES = ("tokens", "flops")


def terminal(comparison: Comparison) -> str:
    """One line for each pair of points, then the notes."""
    priced = any("dollars" in pair.ratios for pair in comparison.pairs)
    heads = (*_HEADS, "$") if priced else _HEADS
    measures = (*_MEASURES, "dollars") if priced else _MEASURES
    rows = [heads, *(_row(pair, measures) for pair in comparison.pairs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    tests = ", ".join(dict.fromkeys(pair.test for pair in comparison.pairs))
    notes = [
        f"p: exact paired test ({tests}); p Holm: adjusted for {len(comparison.pairs)} points",
        *comparison.notes,
        *(f"not compared: {name}" for name in comparison.unmatched),
    ]
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _row(pair: Compared, measures: Sequence[str]) -> tuple[str, ...]:
    same = pair.a.full_name == pair.b.full_name
    return (
        pair.a.full_name if same else f"{pair.a.full_name} - {pair.b.full_name}",
        str(len(pair.problems)),
        *(f"{100 * side.value:.1f}" for side in pair.accuracy),
        signed_interval(pair.difference),
        f"{pair.p_value:.2g}",
        f"{pair.p_holm:.2g}",
        *(_ratio(pair.ratios.get(name)) for name in measures),
    )


def _ratio(ratio: Estimate | None) -> str:
    return "-" if ratio is None else f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def flips(pair: Compared, limit: int = 10) -> str:
    """The problems on which the two differ, the clearest first."""
    lines = []
    for name, problems in (("A", pair.only_a), ("B", pair.only_b)):
        shown = ", ".join(problems[:limit])
        more = f" and {len(problems) - limit} more" if len(problems) > limit else ""
        lines.append(f"{name} is better on {len(problems)}: {shown}{more}")
    return "\n".join(lines)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Everything, JSON-ready; shares of 1."""
    return {
        "pairs": [_pair(pair) for pair in comparison.pairs],
        "unmatched": list(comparison.unmatched),
        "notes": list(comparison.notes),
    }


def _pair(pair: Compared) -> dict[str, Any]:
    return {
        "a": pair.a.full_name,
        "b": pair.b.full_name,
        "n_problems": len(pair.problems),
        "accuracy_a": asdict(pair.accuracy[0]),
        "accuracy_b": asdict(pair.accuracy[1]),
        "difference": asdict(pair.difference),
        "test": pair.test,
        "p_value": pair.p_value,
        "p_holm": pair.p_holm,
        "cost_ratios": {name: _finite(pair.ratios[name]) for name in COSTS if name in pair.ratios},
        "better_in_a": list(pair.only_a),
        "better_in_b": list(pair.only_b),
    }


def _finite(ratio: Estimate) -> dict[str, float | int | None]:
    """Its fields; null for the open end of an interval and for an error that is not known."""
    return {name: x if math.isfinite(x) else None for name, x in asdict(ratio).items()}
