"""How lines look: one colour per strategy everywhere, and no two lines of a figure alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tts_bench.report.points.point import BASELINE
from tts_bench.report.points.scope import CellRecord, distinguishing, settings

# Okabe and Ito's colours, which people with any common colour blindness can tell apart; without
# their yellow, which is too pale on white, and with black kept for the baseline.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
BASELINE_COLOUR = "#000000"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True, slots=True)
class LineStyle:
    """Style and name of one line (strategy, variant, sampling)."""

    label: str
    colour: str
    marker: str
    dash: str = "-"
    hollow: bool = False
    """Whether markers are drawn as outlines."""


def line_styles(
    cells: Sequence[CellRecord], strategies: Iterable[str] = (), run: int | None = None
) -> dict[tuple[str, str, str], LineStyle]:
    """A style for each line: the colour tells strategies apart, marker and dashes their variants.

    Colours go by the names' order, among those of `strategies`, too, and come back with other
    markers and dashes: 80 lines of each of seven colours differ, and 20 do so as points without
    a line. Where `run` says which of several runs this is, dashes tell the runs apart, and 10
    lines of each colour differ in each of 8 runs.
    """
    colours = _colours({*strategies, *(cell.strategy for cell in cells)})
    lines = dict(zip((cell.line for cell in cells), cells, strict=True))
    used: Counter[str] = Counter()
    styles: dict[tuple[str, str, str], LineStyle] = {}
    for line in sorted(lines, key=lambda line: line[0]):
        colour = colours[line[0]]
        place = used[colour]
        used[colour] += 1
        turn = place // len(_MARKERS)
        dash = place + turn // 2 if run is None else run
        styles[line] = LineStyle(
            line_name(lines[line], cells),
            colour,
            _MARKERS[(place + (run or 0)) % len(_MARKERS)],
            _DASHES[dash % len(_DASHES)],
            ((run or 0) // len(_DASHES) + turn) % 2 == 1,
        )
    return {line: styles[line] for line in lines}


def _colours(strategies: Iterable[str]) -> dict[str, str]:
    others = sorted(name for name in strategies if name != BASELINE)
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)}
    return {**colours, BASELINE: BASELINE_COLOUR}


def line_name(cell: CellRecord, cells: Sequence[CellRecord]) -> str:
    """The name of a cell's line among those of the others: `budget_forcing waits=0..4`."""
    varies = dict(distinguishing(cells)[cell.id])
    if cell.swept is not None:
        along = [one.params[cell.swept] for one in cells if one.line == cell.line]
        varies[cell.swept] = f"{min(along)}..{max(along)}"
    return f"{cell.strategy} {settings(varies)}".rstrip()
