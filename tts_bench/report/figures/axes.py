"""Axes of figures, with labels beside them that neither overlap nor leave the canvas."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tts_bench.report.figures.line_styles import BASELINE_COLOUR
from tts_bench.report.figures.style import is_dark, some_look
from tts_bench.report.figures.words import MOST, fit, shown
from tts_bench.report.format import si

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COVERAGE_COLOUR = "#808080"
_LINE_SPACING = 1.35
_HIGHEST = 1.03
"""Of the labels, in heights of the axes."""
_SMALLEST = 0.53
"""Of the labels that are too long, in sizes of the usual ones; they are cut then."""
_NUDGE = 0.3
"""Of a marker's size."""

# Lengths in em, the size of a figure's ordinary type.
_LEFT, _BOTTOM, _TITLED, _UNTITLED, _RIGHT = 5.26, 4.86, 4.86, 1.2, 16.72
_LABEL = 0.85
_CHARACTER = 0.52
"""Width of a label's character, with what the leader in front of it takes."""
_MOST_RIGHT = 0.36
"""Share of a figure's width that labels may take."""
_NARROW = 5.0
"""Inches; narrower figures stand over a caption and carry no title of their own."""


@dataclass(frozen=True, slots=True)
class Label:
    """A name to write beside the end of a line, at (x, y) in data coordinates."""

    text: str
    x: float
    y: float
    colour: str
    marker: str = ""
    hollow: bool = False


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
        big: dict[str, Any] = {"fontsize": 1.2 * 72 * em, "fontweight": "bold"}
        fit(figure.text(left, above, shown(title, 2 * MOST), **big))
        below = 1 - (3.6 if title else 1.0) * em / height
        small: dict[str, Any] = {"fontsize": _LABEL * 72 * em, "alpha": 0.75}
        fit(figure.text(left, below, shown(subtitle, 3 * MOST), **small))
    return figure, axes


def visible(colour: str) -> str:
    """The colour; if it is the baseline's and the page is as dark, that of the page's text."""
    import matplotlib

    if colour != BASELINE_COLOUR or not is_dark():
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
    """Font size (points) at which the texts stand above each other beside the axes.

    They also fit the margin, unless they had to be much smaller than usual for that.
    """
    usual = _LABEL * 72 * _em()
    lines = [line for text in texts for line in text.split("\n")]
    longest = max(map(len, lines), default=0)
    wide = max(_SMALLEST, min(1.0, margin_characters(axes) / max(longest, 1)))
    lowest, highest = heights(axes)
    inches = (highest - lowest) * _inches(axes)[1]
    high = inches * 72 / (usual * _LINE_SPACING * max(1, len(lines)))
    return usual * min(wide, high)


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
    ordered = sorted(labels, key=lambda label: label.y)
    texts = _wrapped(axes, [shown(one.text) for one in ordered])
    size = label_size(axes, texts)
    gap = size * _LINE_SPACING / 72 / _inches(axes)[1]
    beside = 0.75 * size / 72 / _inches(axes)[0]
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [to_axes.transform((label.x, label.y)) for label in ordered]
    rows = [text.count("\n") + 1 for text in texts]
    lowest, highest = heights(axes)
    places = spread([float(y) for _, y in ends], gap, rows, lowest, highest)
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
        axes.plot(
            [1.03],
            [place],
            transform=axes.transAxes,
            color=visible(label.colour),
            marker=label.marker,
            markersize=0.6 * size,
            markerfacecolor=axes.get_facecolor() if label.hollow else visible(label.colour),
            clip_on=False,
        )
        written = axes.text(
            1.03 + (beside if label.marker else 0.0),
            place,
            text,
            transform=axes.transAxes,
            color=visible(label.colour),
            fontsize=size,
            va="center",
        )
        fit(written)


def _wrapped(axes: Axes, texts: Sequence[str]) -> list[str]:
    """The texts on lines that fit the margin; on one line each where there are too many."""
    room = margin_characters(axes)
    wrapped = [_wrap(text, room) for text in texts]
    if is_crowded(axes, wrapped):
        return [shown(text, int(room / _SMALLEST)) for text in texts]
    return wrapped


def is_crowded(axes: Axes, texts: Sequence[str]) -> bool:
    """Whether texts of several lines have too little height beside the axes to be read."""
    lines = sum(text.count("\n") + 1 for text in texts)
    smallest = _SMALLEST * _LABEL * _em() * _LINE_SPACING
    lowest, highest = heights(axes)
    return lines * smallest > (highest - lowest) * _inches(axes)[1]


def _wrap(text: str, room: int) -> str:
    parts = [shown(word, int(room / _SMALLEST)) for word in text.split(" ")]
    return textwrap.fill(" ".join(parts), room, break_long_words=False)


def heights(axes: Axes) -> tuple[float, float]:
    """Between which heights of the axes labels stand: above is the subtitle, below the edge."""
    box = axes.get_position()
    return 0.01 - box.y0 / box.height, _HIGHEST


def spread(
    wanted: Sequence[float],
    gap: float,
    rows: Sequence[int] = (),
    lowest: float = -math.inf,
    highest: float = math.inf,
) -> list[float]:
    """Ascending places that leave room, each as near to the wanted one as the others allow.

    A place needs `gap` for each of its rows (one where `rows` is empty), half on either side.
    Nothing reaches below `lowest` or above `highest`; where that is too little room for all,
    they stand the closer.

    >>> [round(place, 2) for place in spread([0.0, 0.5, 0.5], 0.2)]
    [0.0, 0.4, 0.6]
    """
    heights = [gap * count for count in rows or [1] * len(wanted)]
    total = sum(heights)
    if total > highest - lowest:
        heights = [height * (highest - lowest) / total for height in heights]
        total = highest - lowest
    above = [sum(heights[:i]) + height / 2 for i, height in enumerate(heights)]
    # Without what stands below each, places need to be ascending and no more.
    free = _ascending([place - offset for place, offset in zip(wanted, above, strict=True)])
    kept = [min(max(place, lowest), highest - total) for place in free]
    return [place + offset for place, offset in zip(kept, above, strict=True)]


def _ascending(values: Sequence[float]) -> list[float]:
    """The nearest values that do not descend: runs that do are set to their means."""
    blocks: list[tuple[float, int]] = []
    for value in values:
        mean, size = value, 1
        while blocks and blocks[-1][0] > mean:
            before, more = blocks.pop()
            mean, size = (mean * size + before * more) / (size + more), size + more
        blocks.append((mean, size))
    return [mean for mean, size in blocks for _ in range(size)]


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
