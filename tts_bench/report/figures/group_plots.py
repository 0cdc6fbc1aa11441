"""Accuracy within groups of problems, by level and by subject, as figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tts_bench.report.figures.axes import (
    COVERAGE_COLOUR,
    LineStyle,
    label_size,
    line_styles,
    new_axes,
    percent_limits,
)
from tts_bench.report.figures.curve_plots import ends_of, errorbar, subtitle_of
from tts_bench.report.points.breakdown import Breakdown, Group, Slice, largest
from tts_bench.report.points.content import Report
from tts_bench.report.points.scope import distinguishing, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_GROUPS = 12
"""More cannot be told apart in one figure; the summary has all."""


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
    bound = _draw_bounds(axes, report, breakdown, groups)
    series = _series(report, breakdown, groups)
    width = 0.7 / max(1, len(series))
    for place, (style, parts) in enumerate(series):
        shift = (place - (len(series) - 1) / 2) * width
        places = [groups.index(part.group) + shift for part in parts]
        errorbar(axes, places, [part.accuracy for part in parts], style, connected=False)
    _name_groups(axes, {group: breakdown.sizes[group] for group in groups})
    axes.set_xlim(-0.5, len(groups) - 0.5)
    shown = [*bound, *(part for _, parts in series for part in parts)]
    percent_limits(axes, ends_of([part.accuracy for part in shown]))
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=label_size(axes, [_indented(style.label) for style, _ in series]),
        labelspacing=0.8,
    )
    return figure


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
    names = [str(group).replace(" ", "\n") for group in sizes]
    if max(len(line) for name in names for line in name.split("\n")) <= room:
        labels = [f"{name}\n({n})" for name, n in zip(names, sizes.values(), strict=True)]
        axes.set_xticks(range(len(sizes)), labels)
        _raise(axes, 1.3 * size * max(name.count("\n") for name in names))
        return
    labels = [f"{group} ({n})" for group, n in sizes.items()]
    axes.set_xticks(
        range(len(sizes)),
        labels,
        rotation=35,
        ha="right",
        rotation_mode="anchor",
        fontsize=0.85 * size,
    )
    axes.set_xlabel("")
    # A slanted name is as high as 0.57 of its length; without the axis's name two lines are free.
    _raise(axes, 0.57 * 0.6 * 0.85 * size * max(map(len, labels)) - 2.5 * size)


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
) -> list[Slice]:
    """The first pool's coverage as a grey line and band over each group; returns its slices."""
    if not report.curves:
        return []
    curve = report.curves[0]
    parts = [
        part
        for part in breakdown.slices
        if part.cell is None and part.sampling == curve.sampling and part.group in groups
    ]
    for i, part in enumerate(parts):
        centre, found = groups.index(part.group), part.accuracy
        ends = [centre - 0.44, centre + 0.44]
        axes.fill_between(
            ends, 100 * found.low, 100 * found.high, color=COVERAGE_COLOUR, alpha=0.12, linewidth=0
        )
        axes.plot(
            ends,
            [100 * found.value] * 2,
            "--",
            color=COVERAGE_COLOUR,
            marker="",
            label="_" if i else f"pass@{curve.draws} (oracle)",
        )
    return parts
