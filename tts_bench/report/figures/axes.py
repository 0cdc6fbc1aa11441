"""Axes and lines of figures: one colour per strategy everywhere, labels that do not overlap."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tts_bench.report.figures.style import is_dark, some_look
from tts_bench.report.format import si
from tts_bench.report.points.point import BASELINE
from tts_bench.report.points.scope import CellRecord, distinguishing, settings

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which people with any common colour blindness can tell apart; without
# their yellow, which is too pale on white, and with black kept for the baseline.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_BASELINE_COLOUR = "#000000"
COLOURS = len(_COLOURS)
"""How many strategies have a colour of their own, beside the baseline."""
COVERAGE_COLOUR = "#808080"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_LINE_SPACING = 1.35
_HIGHEST = 1.03
"""Of the labels, in heights of the axes."""
_NUDGE = 0.3
"""Of a marker's size."""

# Lengths in em, the size of a figure's ordinary type.
_LEFT, _BOTTOM, _TITLED, _UNTITLED, _RIGHT = 5.26, 4.86, 4.86, 1.2, 16.72
_LABEL = 0.85
_CHARACTER = 0.507
"""Width of a label's character, with what the leader in front of it takes."""
_MOST_RIGHT = 0.36
"""Share of a figure's width that labels may take."""
_NARROW = 5.0
"""Inches; narrower figures stand over a caption and carry no title of their own."""


@dataclass(frozen=True, slots=True)
class LineStyle:
    """Style and name of one line (strategy, variant, sampling)."""

    label: str
    colour: str
    marker: str
    dash: str = "-"
    hollow: bool = False
    """Whether markers are drawn as outlines."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name to write beside the end of a line, at (x, y) in data coordinates."""

    text: str
    x: float
    y: float
    colour: str


def line_styles(
    cells: Sequence[CellRecord], order: Sequence[str] = ()
) -> dict[tuple[str, str, str], LineStyle]:
    """A style for each line: the colour tells strategies apart, the marker their variants.

    Colours are given in the order of the strategies, those in `order` first.
    """
    strategies = list(dict.fromkeys([*order, *(cell.strategy for cell in cells)]))
    others = [name for name in strategies if name != BASELINE]
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(others)}
    colours[BASELINE] = _BASELINE_COLOUR
    styles: dict[tuple[str, str, str], LineStyle] = {}
    for cell in cells:
        if cell.line not in styles:
            earlier = sum(line[0] == cell.strategy for line in styles)
            # Beyond six strategies colours come back, with other markers.
            turn = earlier + strategies.index(cell.strategy) // len(_COLOURS)
            marker = _MARKERS[turn % len(_MARKERS)]
            label = line_name(cell, cells)
            styles[cell.line] = LineStyle(label, colours[cell.strategy], marker)
    return styles


def line_name(cell: CellRecord, cells: Sequence[CellRecord]) -> str:
    """The name of a cell's line among those of the others: `budget_forcing waits=0..4`."""
    varies = dict(distinguishing(cells)[cell.id])
    if cell.swept is not None:
        along = [one.params[cell.swept] for one in cells if one.line == cell.line]
        varies[cell.swept] = f"{min(along)}..{max(along)}"
    return f"{cell.strategy} {settings(varies)}".rstrip()


def new_axes(title: str, subtitle: str, xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """An empty figure without global state, with room for labels on the right.

    Narrow figures have no title; of their subtitle, only that they are partial is kept, and of
    the name of the x axis what stands before a comma.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with some_look():
        figure = Figure()
        FigureCanvasAgg(figure)
        width, height = figure.get_size_inches()
        em = _em()
        narrow = width < _NARROW
        if narrow:
            title, subtitle = "", "PARTIAL" if "PARTIAL" in subtitle else ""
            xlabel = xlabel.split(",")[0]
        left, bottom = _LEFT * em / width, _BOTTOM * em / height
        right = min(_RIGHT * em / width, _MOST_RIGHT)
        top = (_UNTITLED if narrow else _TITLED) * em / height
        axes = figure.add_axes((left, bottom, 1 - left - right, 1 - bottom - top))
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        above = 1 - (1.98 if title else 1.0) * em / height
        figure.text(left, above, title, fontsize=1.2 * 72 * em, fontweight="bold")
        below = 1 - (3.6 if title else 1.0) * em / height
        figure.text(left, below, subtitle, fontsize=_LABEL * 72 * em, alpha=0.75)
    return figure, axes


def visible(colour: str) -> str:
    """The colour; if it is the baseline's and the page is as dark, that of the page's text."""
    import matplotlib

    if colour != _BASELINE_COLOUR or not is_dark():
        return colour
    text: str = matplotlib.rcParams["text.color"]
    return text


def percent_limits(axes: Axes, values: Iterable[float]) -> None:
    """Limits of a percent axis that show every value, and whole markers at 0 and 100."""
    seen = list(values)
    low, high = min(seen), max(seen)
    room = max(2.0, 0.06 * (high - low))
    axes.set_ylim(max(-1.5, low - room), min(101.5, high + room))


def log_scale(axes: Axes, xs: Sequence[float]) -> None:
    """A logarithmic x axis around these values, with ticks that are read without exponents."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(xs), max(xs)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.3, high * 1.3)
    decades = math.log10(high / low) + 0.23
    room = _inches(axes)[0] / (_em() * 2.8)
    subs: tuple[float, ...] = (1.0, 2.0, 5.0)
    if 3 * decades >= min(9, room):
        subs = (1.0, 3.0) if decades < 1.3 else (1.0,)
    axes.xaxis.set_major_locator(LogLocator(10, subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: si(x, 1) if x >= 1 else f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def nudge(axes: Axes, drawn: Iterable[Artist], rank: float) -> None:
    """Move a line sideways by a little, so that points at the same x can be told apart."""
    import matplotlib
    from matplotlib.transforms import ScaledTranslation

    figure = axes.get_figure(root=True)
    assert figure is not None
    points = rank * _NUDGE * matplotlib.rcParams["lines.markersize"]
    shift = ScaledTranslation(points / 72, 0, figure.dpi_scale_trans)
    for artist in drawn:
        artist.set_transform(axes.transData + shift)


def label_size(axes: Axes, texts: Sequence[str]) -> float:
    """Font size (points) at which every text fits the margin, and all of them its height."""
    usual = _LABEL * 72 * _em()
    lines = [line for text in texts for line in text.split("\n")]
    longest = max(map(len, lines), default=0)
    height = len(lines) * usual * _LINE_SPACING / 72 / (1.22 * _inches(axes)[1])
    fits = min(1.0, margin_characters(axes) / max(longest, 1), 1 / max(height, 1e-9))
    return max(0.53 * usual, usual * fits)


def margin_characters(axes: Axes) -> int:
    """Characters of a label that the right margin holds at the usual size."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    inches = figure.get_size_inches()[0] * (1 - axes.get_position().x1)
    return int(inches / (_CHARACTER * _em()))


def label_ends(axes: Axes, labels: Sequence[Label]) -> None:
    """Write each label right of the axes, as near its line's end as the others allow.

    Limits must be final. A dotted leader goes from the end of the line to the label.
    """
    room = margin_characters(axes)
    ordered = sorted(labels, key=lambda label: label.y)
    texts = [textwrap.fill(one.text, room, break_long_words=False) for one in ordered]
    size = label_size(axes, texts)
    gap = size * _LINE_SPACING / 72 / _inches(axes)[1]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((label.x, label.y)) for label in ordered]
    rows = [text.count("\n") + 1 for text in texts]
    # Above the axes stands the subtitle.
    places = spread([float(y) for _, y in ends], gap, rows, highest=_HIGHEST)
    for label, text, (x, y), place in zip(ordered, texts, ends, places, strict=True):
        axes.plot(
            [x, 1.0, 1.025],
            [y, y, place],
            transform=axes.transAxes,
            color=visible(label.colour),
            linestyle=":",
            marker="",
            linewidth=_em() * 5.76,
            alpha=0.7,
            clip_on=False,
            zorder=1,
        )
        axes.text(
            1.03,
            place,
            text,
            transform=axes.transAxes,
            color=visible(label.colour),
            fontsize=size,
            va="center",
        )


def spread(
    wanted: Sequence[float], gap: float, rows: Sequence[int] = (), highest: float = math.inf
) -> list[float]:
    """Ascending places that leave room, each block of crowded ones around its mean.

    A place needs `gap` for each of its rows (one where `rows` is empty), half on either side.
    Nothing reaches above `highest`: what would, and all that it pushes, moves down.

    >>> [round(place, 2) for place in spread([0.0, 0.5, 0.5], 0.2)]
    [0.0, 0.4, 0.6]
    """
    heights = [gap * count for count in rows or [1] * len(wanted)]
    blocks: list[tuple[float, list[float]]] = []
    for place, height in zip(wanted, heights, strict=True):
        centre, members = place, [height]
        while blocks and blocks[-1][0] + (sum(blocks[-1][1]) + sum(members)) / 2 > centre:
            before, earlier = blocks.pop()
            total = sum(earlier) + sum(members)
            centre = (before * sum(earlier) + centre * sum(members)) / total
            members = [*earlier, *members]
        blocks.append((centre, members))
    _lower(blocks, highest)
    places = []
    for centre, members in blocks:
        above = [sum(members[:i]) + height / 2 for i, height in enumerate(members)]
        places += [centre + (place - sum(members) / 2) for place in above]
    return places


def _lower(blocks: list[tuple[float, list[float]]], highest: float) -> None:
    """Move the last block down below `highest`, with all blocks that it then runs into."""
    while blocks:
        centre, members = blocks.pop()
        centre = min(centre, highest - sum(members) / 2)
        if not blocks or blocks[-1][0] + sum(blocks[-1][1]) / 2 <= centre - sum(members) / 2:
            blocks.append((centre, members))
            return
        _, earlier = blocks.pop()
        blocks.append((centre, [*earlier, *members]))


def _em() -> float:
    """The size of ordinary type in inches."""
    import matplotlib

    with some_look():
        return float(matplotlib.rcParams["font.size"]) / 72


def _inches(axes: Axes) -> tuple[float, float]:
    """Width and height of the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    box = axes.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi
