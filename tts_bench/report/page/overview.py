"""Data of the page before a problem is opened: summary, line styles and problems."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tts_bench.report.figures.axes import COVERAGE_COLOUR
from tts_bench.report.figures.line_styles import line_styles
from tts_bench.report.page.tally import Counts
from tts_bench.report.points.content import Report
from tts_bench.report.points.scope import CellRecord, distinguishing, settings
from tts_bench.report.tables.rows import curve_names
from tts_bench.report.tables.summary import summarize
from tts_bench.stats.estimators import Estimate
from tts_bench.store.manifest import ProblemEntry

_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


def embed(value: Any) -> str:
    """JSON that may stand in a script element: no text in it can end the element."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)


def describe(
    report: Report,
    problems: Sequence[ProblemEntry],
    counts: Mapping[str, Sequence[Counts | None]],
    votes: Sequence[Sequence[Estimate] | None],
) -> dict[str, Any]:
    """The overview as JSON-ready values.

    `problems` are the manifest's rows, `counts` those of each problem in the order of the cells,
    `votes` the majority votes along each coverage curve.
    """
    scope = report.scope
    styles = line_styles(scope.cells)
    lines = list(styles)
    variants = distinguishing(scope.cells)
    return {
        "summary": summarize(report),
        "coverage_colour": COVERAGE_COLOUR,
        "coverage_names": curve_names(report.curves, "pass@n (oracle)"),
        "vote_names": curve_names(report.curves, "majority@n (not run)"),
        "votes": [
            None if found is None else [[one.value, one.low, one.high] for one in found]
            for found in votes
        ],
        "lines": [
            {
                "label": style.label,
                "colour": style.colour,
                "marker": style.marker,
                "dash": style.dash,
                "hollow": style.hollow,
            }
            for style in styles.values()
        ],
        "cells": [
            {
                "id": cell.id,
                "label": f"{cell.strategy} {settings(variants[cell.id])}".rstrip(),
                "line": lines.index(cell.line),
                "n": _sizes(cell),
            }
            for cell in scope.cells
        ],
        "problems": [_problem(row, counts[row.id]) for row in problems],
    }


def _sizes(cell: CellRecord) -> list[int]:
    return [n for n in cell.sizes if n is not None]


def _problem(row: ProblemEntry, counts: Sequence[Counts | None]) -> dict[str, Any]:
    """A row of the manifest; runs of older versions have no text or reference in it."""
    known = ("id", "level", "subject", "text", "reference")
    return {**{name: getattr(row, name) for name in known}, "counts": list(counts)}
