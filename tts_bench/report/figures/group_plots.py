"""Accuracy within groups of problems, by level and by subject, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tts_bench.report.figures.axes import (
    COVERAGE_COLOUR,
    heights,
    is_crowded,
    label_size,
    new_axes,
    percent_limits,
)
from tts_bench.report.figures.curve_plots import ends_of, errorbar, subtitle_of
from tts_bench.report.figures.line_styles import LineStyle, line_styles
from tts_bench.report.figures.words import fit, shown
from tts_bench.report.points.breakdown import Breakdown, Group, Slice, largest
from tts_bench.report.points.content import Report
from tts_bench.report.points.scope import distinguishing, settings

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import Container
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

Named = tuple["Artist | Container", str]
"""Something drawn, and its name in the legend."""

_MOST_GROUPS = 12
"""More cannot be told apart in one figure; the summary has all."""
_MOST_SLANTED = 0.3
"""Of a figure's height, for names under the groups."""


def plot_by_level(report: Report) -> Figure | None:
    """Accuracy on each difficulty level at every strategy's largest n, beside coverage."""
    return _grouped(report, "level", "accuracy by difficulty")


def plot_by_subject(report: Report) -> Figure | None:
    """Accuracy on each subject, likewise; of many subjects those with the most problems."""
    return _grouped(report, "subject", "accuracy by subject")


def _grouped(report: Report, by: str, what: str) -> Figure | None:
    breakdown = next((found for found in report.breakdowns if found.by == by), None)
    if breakdown is None:
        return None
    groups = _shown(breakdown)
    rest = len(breakdown.sizes) - len(groups)
    of = f" · the {len(groups)} largest of {len(breakdown.sizes)}" if rest else ""
    figure, axes = new_axes(
        f"{report.scope.suite}: {what}, each strategy at its largest size",
        f"{subtitle_of(report)}{of}",
        f"{by} (problems)",
        "accuracy, %",
    )
    bound, named = _draw_bounds(axes, report, breakdown, groups)
    series = _series(report, breakdown, groups)
    width = 0.7 / max(1, len(series))
    for place, (style, parts) in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * width
        places = [groups.index(part.group) + shift for part in parts]
        found = [part.accuracy for part in parts]
        named.append((errorbar(axes, places, found, style, connected=False), style.label))
    axes.set_xlim(-0.5, len(groups) - 0.5)
    _name_groups(axes, {group: breakdown.sizes[group] for group in groups})
    drawn = [*bound, *(part for _, parts in series for part in parts)]
    percent_limits(axes, ends_of([part.accuracy for part in drawn]))
    _name_series(axes, named)
    return figure


def _name_series(axes: Axes, series: Sequence[Named]) -> None:
    """A legend right of the axes, as large as the canvas allows."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    names = ["\n".join(map(shown, name.split("\n"))) for _, name in series]
    if is_crowded(axes, names):
        names = [shown(name) for name in names]
    size = label_size(axes, [_indented(name) for name in names])
    box, (low, high) = axes.get_position(), heights(axes)
    room, filled = box.height * (high - low), 2.0
    while filled > 1:
        # A legend passes over names that begin with an underscore, so they come later.
        legend = axes.legend(
            [drawn for drawn, _ in series],
            ["-"] * len(series),
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=size,
            labelspacing=0.8 if "\n" in "".join(names) else 0.4,
        )
        for text, name in zip(legend.get_texts(), names, strict=True):
            text.set_text(name)
        figure.draw_without_rendering()
        filled = legend.get_window_extent().height / figure.bbox.height / room
        size *= min(1.0, 0.98 / filled)
    half = filled * (high - low) / 2
    legend.set_bbox_to_anchor((1.01, min(max(0.5, low + half), high - half)), axes.transAxes)
    figure.draw_without_rendering()
    for text in legend.get_texts():
        fit(text)


def _shown(breakdown: Breakdown) -> list[Group]:
    """The groups that a figure has room for, in their order."""
    most = sorted(breakdown.sizes, key=lambda group: -breakdown.sizes[group])[:_MOST_GROUPS]
    return [group for group in breakdown.sizes if group in most]


def _name_groups(axes: Axes, sizes: dict[Group, int]) -> None:
    """Names under the groups, slanted if they are too long to stand side by side."""
    import matplotlib
    from matplotlib.font_manager import FontProperties

    figure = axes.get_figure(root=True)
    assert figure is not None
    size = FontProperties(size=matplotlib.rcParams["xtick.labelsize"]).get_size_in_points()
    room = axes.get_window_extent().width / figure.dpi / len(sizes) / (0.6 * size / 72)
    names = [shown(str(group)).replace(" ", "\n") for group in sizes]
    parts = [name.split("\n") for name in names]
    if max(len(part) for name in parts for part in name) <= room and max(map(len, parts)) <= 4:
        labels = [f"{name}\n({n})" for name, n in zip(names, sizes.values(), strict=True)]
        axes.set_xticks(range(len(sizes)), labels)
        _raise(axes, 1.3 * size * max(name.count("\n") for name in names))
        return
    # A slanted name is as high as 0.57 of its length; without the axis's name two lines are free.
    high = 0.57 * 0.6 * 0.85 * size
    most = int(_MOST_SLANTED * 72 * figure.get_size_inches()[1] / high)
    labels = [f"{shown(str(group), most)} ({n})" for group, n in sizes.items()]
    _slant(axes, labels, 0.85 * size)
    axes.set_xlabel("")
    _raise(axes, high * max(map(len, labels)) - 2.5 * size)
    figure.draw_without_rendering()
    # Asked for a second time, they would have the ticks' own words again.
    written = axes.get_xticklabels()
    for text in written:
        fit(text)
    _slant(axes, [text.get_text() for text in written], 0.85 * size)


def _slant(axes: Axes, names: Sequence[str], size: float) -> None:
    axes.set_xticks(
        range(len(names)),
        names,
        rotation=35,
        ha="right",
        rotation_mode="anchor",
        fontsize=size,
    )


def _raise(axes: Axes, points: float) -> None:
    """Move the lower end of the axes up, to make room for what stands below."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    more = max(0.0, points / 72 / figure.get_size_inches()[1])
    box = axes.get_position()
    axes.set_position((box.x0, box.y0 + more, box.width, box.height - more))


def _indented(label: str) -> str:
    """The label with the width of the mark in front of it."""
    return "\n".join(f"        {line}" for line in label.split("\n"))


def _series(
    report: Report, breakdown: Breakdown, groups: Sequence[Group]
) -> list[tuple[LineStyle, list[Slice]]]:
    """The slices of each line's largest point, with the style of the line."""
    styles = line_styles(report.scope.cells)
    varying = distinguishing(report.scope.cells)
    series = []
    for point in {point.cell.line: point for point in largest(report.points)}.values():
        cell, style = point.cell, styles[point.cell.line]
        size = "" if point.n is None else f" n={point.n}"
        varies = {**varying[cell.id]}
        if cell.swept is not None:
            varies[cell.swept] = cell.params[cell.swept]
        label = f"{cell.strategy}{size}\n{settings(varies)}".strip()
        parts = [part for part in breakdown.slices if part.cell is cell and part.group in groups]
        series.append((replace(style, label=label), parts))
    return series


def _draw_bounds(
    axes: Axes, report: Report, breakdown: Breakdown, groups: Sequence[Group]
) -> tuple[list[Slice], list[Named]]:
    """The first pool's coverage as a grey line and band over each group; its slices and name."""
    if not report.curves:
        return [], []
    curve = report.curves[0]
    parts = [
        part
        for part in breakdown.slices
        if part.cell is None and part.sampling == curve.sampling and part.group in groups
    ]
    lines: list[Line2D] = []
    name = f"pass@{curve.draws} (oracle)"
    for part in parts:
        centre, found = groups.index(part.group), part.accuracy
        ends = [centre - 0.44, centre + 0.44]
        axes.fill_between(
            ends, 100 * found.low, 100 * found.high, color=COVERAGE_COLOUR, alpha=0.12, linewidth=0
        )
        value = [100 * found.value] * 2
        lines += axes.plot(ends, value, "--", color=COVERAGE_COLOUR, marker="", label=name)
    return parts, [(line, name) for line in lines[:1]]
