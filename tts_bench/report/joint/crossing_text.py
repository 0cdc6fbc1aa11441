"""Crossings as text: for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tts_bench.report.format import percent, si, signed_interval
from tts_bench.report.joint.crossing import Crossing
from tts_bench.report.tables.render import as_csv, markdown_rows
from tts_bench.stats.crossings import Reach

_HEADS = (
    "curve",
    "reaches",
    "at {cost} [95 % CI]",
    "no crossing in",
    "gap at equal {cost}, points",
)
_LEGEND = """\
Curves are linear in accuracy and log cost between measured points. From the crossing on the first
curve, which was behind, stays at least as accurate as the second. A single point is reached where
the curve has its accuracy; that cost follows as a multiple of the point's. Intervals are of a
paired bootstrap over problems, `<` and `>` mean beyond the measured range, and *no crossing in* is
the share of the resamples without one. Gaps are the first curve's accuracy minus the second's.
Nothing is adjusted for the number of pairs."""
_MOST_LINES = 15


def crossings_terminal(crossings: Sequence[Crossing], cost: str) -> str:
    """A line for each pair that crosses, and how many do not."""
    met = [one for one in crossings if one.found]
    lines = [f"{one.a.name} reaches {one.b.name} at {where(one)} {cost}" for one in met]
    rest = len(lines) - _MOST_LINES
    more = [f"... and {rest} more"] if rest > 0 else []
    apart = len(crossings) - len(met)
    none = (
        [f"no crossing in the measured range: {apart} of {len(crossings)} pairs"] if apart else []
    )
    return "\n".join([*lines[:_MOST_LINES], *more, *none])


def crossings_markdown(crossings: Sequence[Crossing], cost: str) -> str:
    """A table of all pairs, with what its columns mean."""
    heads = [head.format(cost=cost) for head in _HEADS]
    rows = [
        [one.a.name, one.b.name, where(one), _missing(one.reach), _gaps(one)] for one in crossings
    ]
    return (
        "\n".join(
            [
                f"# Where curves cross ({cost} per problem)",
                "",
                *markdown_rows(heads, rows, words=3),
                "",
                _LEGEND,
            ]
        )
        + "\n"
    )


def crossings_csv(crossings: Sequence[Crossing], cost: str) -> str:
    """One row for each crossing looked for and one for each gap, told apart by `kind`."""
    return as_csv([row for one in crossings for row in _records(one, cost)])


def where(one: Crossing) -> str:
    """The crossing with its interval: `1.2G [950M, >2.4G] (0.4x its cost)`."""
    if one.reach is None or one.range is None:
        return "none: no cost in common"
    found = one.reach
    if not one.found:
        low, high = map(si, one.range)
        side = f"never behind from {low} to {high}" if found.cost < 0 else f"behind at {high}"
        return f"none in the measured range: {side}"
    ratio = f" ({found.cost / one.level:.2g}x its cost)" if one.level else ""
    ends = ", ".join(_end(end, one.range) for end in (found.low, found.high))
    return f"{si(found.cost)} [{ends}]{ratio}"


def _end(cost: float, measured: tuple[float, float]) -> str:
    if math.isfinite(cost):
        return si(cost)
    return f"<{si(measured[0])}" if cost < 0 else f">{si(measured[1])}"


def _missing(found: Reach | None) -> str:
    return "-" if found is None else f"{percent(found.missing)} %"


def _gaps(one: Crossing) -> str:
    return (
        "; ".join(f"{si(gap.cost)}: {signed_interval(gap.difference)}" for gap in one.gaps) or "-"
    )


def _records(one: Crossing, cost: str) -> list[dict[str, Any]]:
    low, high = one.range or (None, None)
    pair = {"a": one.a.name, "b": one.b.name, "cost_kind": cost, "problems": one.problems}
    found = one.reach
    blank = dict.fromkeys(("cost", "cost_low", "cost_high", "ahead", "behind", "b_cost"))
    empty = dict.fromkeys(("difference", "difference_low", "difference_high"))
    measured = {"range_low": low, "range_high": high}
    rows: list[dict[str, Any]] = [{"kind": "crossing", **pair, **blank, **empty, **measured}]
    if found is not None:
        rows[0] |= {
            "cost": found.cost if one.found else None,
            "cost_low": found.low,
            "cost_high": found.high,
            "ahead": found.ahead,
            "behind": found.behind,
            "b_cost": one.level,
        }
    for gap in one.gaps:
        difference = {
            "cost": gap.cost,
            "difference": gap.difference.value,
            "difference_low": gap.difference.low,
            "difference_high": gap.difference.high,
        }
        rows.append({"kind": "gap", **pair, **blank, **empty, **measured, **difference})
    return rows
