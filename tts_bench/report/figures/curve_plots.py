"""The figures of a report; each function returns None if there is nothing to draw."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from tts_bench.report.figures.axes import (
    COVERAGE_COLOUR,
    Label,
    label_ends,
    log_scale,
    new_axes,
    nudge,
    percent_limits,
    visible,
)
from tts_bench.report.figures.line_styles import LineStyle, line_styles
from tts_bench.report.points.content import Report
from tts_bench.report.points.coverage import CoverageAt, Curve
from tts_bench.report.points.point import Point
from tts_bench.report.tables.rows import curve_names
from tts_bench.stats.crossings import pareto
from tts_bench.stats.estimators import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_FIT_COLOUR = "#000000"
RINGED = " · rings: Pareto frontier"

Line = tuple[LineStyle, list[Point]]
Measured = tuple[LineStyle, list[tuple[float, Estimate]]]
"""A line as it is drawn: (x, estimate) of each point."""


def plot_accuracy_vs_flops(report: Report) -> Figure | None:
    """Accuracy against ideal FLOPs of policy and verifier.

    Lines whose FLOPs are unknown are left out; None if that leaves nothing.
    """
    return _accuracy_against(
        report,
        "compute",
        "FLOPs per problem, policy + verifier, shared prefixes once",
        lambda point: point.flops,
        lambda at: at.cost.flops_ideal,
    )


def plot_accuracy_vs_tokens(report: Report) -> Figure | None:
    """Accuracy against the policy's completion tokens."""
    return _accuracy_against(
        report,
        "tokens",
        "completion tokens per problem, policy",
        lambda point: point.policy.completion_tokens,
        lambda at: at.cost.completion_tokens,
    )


def plot_accuracy_vs_dollars(report: Report) -> Figure | None:
    """Accuracy against dollars for policy and verifier; None if the run has no price."""
    return _accuracy_against(
        report,
        "dollars",
        "dollars per problem, policy + verifier",
        lambda point: point.dollars,
        lambda at: at.cost.dollars,
    )


def plot_coverage(report: Report) -> Figure | None:
    """Coverage against the number of draws, its fit, and what each strategy makes of it."""
    if not report.curves:
        return None
    figure, axes = new_axes(
        f"{report.scope.suite}: coverage and what selection keeps of it",
        subtitle_of(report),
        "candidates n",
        "% of problems",
    )
    labels, seen = [], []
    for curve, name in zip(
        report.curves, curve_names(report.curves, "pass@n (oracle)"), strict=True
    ):
        found = [(float(at.k), at.coverage) for at in curve.points]
        labels.append(_draw_coverage(axes, found, name))
        seen += [estimate for _, estimate in found]
        # Fits of several pools lie on each other; the summary has them all.
        labels += _draw_fit(axes, curve) if len(report.curves) == 1 else []
    pooled = [
        (style, points)
        for style, points in _lines(report)
        if points[0].cell.pooled and not points[0].cell.swept
    ]
    for place, (style, points) in enumerate(pooled):
        found = [(float(point.n or 1), point.accuracy) for point in points]
        labels.append(draw_line(axes, found, style, place - (len(pooled) - 1) / 2))
        seen += [estimate for _, estimate in found]
    _scale_of_counts(axes, max(curve.draws for curve in report.curves))
    _finish(axes, seen, labels)
    return figure


def _accuracy_against(
    report: Report,
    what: str,
    xlabel: str,
    x_of_point: Callable[[Point], float | None],
    x_of_coverage: Callable[[CoverageAt], float | None],
) -> Figure | None:
    lines = [
        (style, found)
        for style, points in _lines(report)
        if (found := by_cost((x_of_point(point), point.accuracy) for point in points))
    ]
    if not lines:
        return None
    figure, axes = new_axes(
        f"{report.scope.suite}: accuracy against {what}",
        f"{subtitle_of(report)}{RINGED}",
        xlabel,
        "accuracy, %",
    )
    labels, shown = [], []
    for curve, name in zip(
        report.curves, curve_names(report.curves, "pass@n (oracle)"), strict=True
    ):
        if found := by_cost((x_of_coverage(at), at.coverage) for at in curve.points):
            labels.append(_draw_coverage(axes, found, name))
            shown += found
    labels += draw_lines(axes, lines)
    shown += [pair for _, found in lines for pair in found]
    log_scale(axes, [x for x, _ in shown])
    _finish(axes, [estimate for _, estimate in shown], labels)
    return figure


def by_cost(found: Iterable[tuple[float | None, Estimate]]) -> list[tuple[float, Estimate]]:
    """The points whose place on a logarithmic axis is known, cheapest first."""
    return sorted(((x, estimate) for x, estimate in found if x), key=lambda pair: pair[0])


def draw_lines(axes: Axes, lines: Sequence[Measured]) -> list[Label]:
    """Lines side by side, and a ring around each point that none of all these dominates."""
    every = [pair for _, found in lines for pair in found]
    best = iter(pareto([x for x, _ in every], [estimate.value for _, estimate in every]))
    labels = []
    for place, (style, found) in enumerate(lines):
        # Many lines stay as close as few, lest they seem to differ in cost.
        rank = (place - (len(lines) - 1) / 2) * min(1.0, 5 / max(1, len(lines) - 1))
        labels.append(draw_line(axes, found, style, rank))
        rings = [
            pair for pair, chosen in zip(found, [next(best) for _ in found], strict=True) if chosen
        ]
        nudge(axes, _rings(axes, rings), rank)
    return labels


def _rings(axes: Axes, found: Sequence[tuple[float, Estimate]]) -> Sequence[Line2D]:
    import matplotlib

    return axes.plot(
        [x for x, _ in found],
        [100 * estimate.value for _, estimate in found],
        linestyle="none",
        marker="o",
        markersize=2.1 * matplotlib.rcParams["lines.markersize"],
        markerfacecolor="none",
        markeredgecolor=matplotlib.rcParams["text.color"],
        markeredgewidth=0.5 * matplotlib.rcParams["lines.linewidth"],
        zorder=4,
    )


def _lines(report: Report) -> list[Line]:
    styles = line_styles(report.scope.cells)
    return [
        (style, points)
        for line, style in styles.items()
        if (points := [point for point in report.points if point.cell.line == line])
    ]


def draw_line(
    axes: Axes, found: Sequence[tuple[float, Estimate]], style: LineStyle, rank: float
) -> Label:
    """A line with its intervals; `rank` sets it beside the lines that share its x."""
    bars = errorbar(axes, [x for x, _ in found], [estimate for _, estimate in found], style)
    nudge(axes, bars.get_children(), rank)
    x, estimate = found[-1]
    y = 100 * estimate.value
    return Label(style.label, x, y, style.colour, style.marker, style.hollow)


def _draw_coverage(axes: Axes, found: Sequence[tuple[float, Estimate]], text: str) -> Label:
    xs = [x for x, _ in found]
    axes.plot(xs, [100 * e.value for _, e in found], "--", marker="", color=COVERAGE_COLOUR)
    low, high = [100 * e.low for _, e in found], [100 * e.high for _, e in found]
    axes.fill_between(xs, low, high, color=COVERAGE_COLOUR, alpha=0.12, linewidth=0)
    x, estimate = found[-1]
    return Label(text, x, 100 * estimate.value, COVERAGE_COLOUR)


def errorbar(
    axes: Axes,
    xs: Sequence[float],
    estimates: Sequence[Estimate],
    style: LineStyle,
    connected: bool = True,
) -> ErrorbarContainer:
    """Points with their intervals, in the style of a line and joined by it."""
    import matplotlib

    colour = visible(style.colour)
    values = [100 * estimate.value for estimate in estimates]
    below = [100 * (estimate.value - estimate.low) for estimate in estimates]
    above = [100 * (estimate.high - estimate.value) for estimate in estimates]
    return axes.errorbar(
        xs,
        values,
        yerr=[below, above],
        color=colour,
        ecolor=(colour, 0.35),
        marker=style.marker,
        markerfacecolor=axes.get_facecolor() if style.hollow else colour,
        linestyle=style.dash if connected else "none",
        elinewidth=0.75 * matplotlib.rcParams["lines.linewidth"],
        label=style.label,
    )


def _draw_fit(axes: Axes, curve: Curve) -> list[Label]:
    fit = curve.fit
    if fit is None:
        return []
    ks = [curve.draws ** (i / 60) for i in range(61)]
    fitted = [100 * float(fit.predict(k)) for k in ks]
    axes.plot(ks, fitted, ":", marker="", color=visible(_FIT_COLOUR))
    text = f"its fit, exp({fit.a:.2f} n^{fit.b:.2f})"
    return [Label(text, ks[-1], fitted[-1], _FIT_COLOUR)]


def _scale_of_counts(axes: Axes, most: int) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    axes.set_xlim(0.8, most * 1.25)
    step = max(1, round(most.bit_length() / 9))
    axes.xaxis.set_major_locator(FixedLocator([2**i for i in range(0, most.bit_length(), step)]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _finish(axes: Axes, seen: Sequence[Estimate], labels: Sequence[Label]) -> None:
    percent_limits(axes, ends_of(seen))
    label_ends(axes, labels)


def ends_of(estimates: Sequence[Estimate]) -> list[float]:
    return [100 * end for estimate in estimates for end in (estimate.low, estimate.high)]


def subtitle_of(report: Report) -> str:
    """Run, meaning of the bars, and whether the run is whole."""
    parts = [report.scope.extent, "bars: 95 % confidence intervals"]
    return " · ".join([*parts, "PARTIAL"] if report.scope.partial else parts)
