"""The figures of an evaluation: reliability of the scores, and best-of-n beside its bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tts_bench.report.figures.axes import (
    COVERAGE_COLOUR,
    Label,
    label_ends,
    new_axes,
    percent_limits,
)
from tts_bench.stats.estimators import Estimate
from tts_bench.stats.ranking import Bin
from tts_bench.verifier_eval.selection import LINES, At

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {
    "coverage": COVERAGE_COLOUR,
    "best": "#0072B2",
    "weighted": "#D55E00",
    "majority": "#000000",
}
_KINDS = {"step": "#0072B2", "answer": "#D55E00", "solution": "#D55E00"}


def plot_reliability(
    bins: Mapping[str, Sequence[tuple[Bin, Estimate]]], title: str, subtitle: str
) -> Figure:
    """Share that is right against each bin's mean score; dots grow with the share of scores."""
    figure, axes = new_axes(title, subtitle, "mean score of the bin", "% that are right")
    axes.plot([0, 1], [0, 100], "--", color=COVERAGE_COLOUR, linewidth=1.2)
    labels = [Label("calibrated", 1.0, 100.0, COVERAGE_COLOUR)]
    for kind, found in bins.items():
        xs = [one.mean_score for one, _ in found]
        ys = [100 * share.value for _, share in found]
        below = [100 * (share.value - share.low) for _, share in found]
        above = [100 * (share.high - share.value) for _, share in found]
        total = sum(one.count for one, _ in found)
        sizes = [10 + 150 * one.count / total for one, _ in found]
        axes.errorbar(
            xs,
            ys,
            yerr=[below, above],
            color=_KINDS[kind],
            ecolor=(_KINDS[kind], 0.35),
            linewidth=1.4,
            elinewidth=1.2,
        )
        axes.scatter(xs, ys, s=sizes, color=_KINDS[kind], alpha=0.75, linewidths=0)
        labels.append(Label(f"{kind} scores ({total:.0f})", xs[-1], ys[-1], _KINDS[kind]))
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-3, 103)
    label_ends(axes, labels)
    return figure


def plot_selection(lines: Mapping[str, Sequence[At]], title: str, subtitle: str) -> Figure:
    """Accuracy against the number of candidates, for each line, with its intervals."""
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    figure, axes = new_axes(title, subtitle, "candidates n", "% of problems")
    labels, seen = [], []
    for line, points in lines.items():
        colour = _COLOURS[line]
        xs, found = [at.n for at in points], [at.accuracy for at in points]
        low, high = [100 * one.low for one in found], [100 * one.high for one in found]
        values = [100 * one.value for one in found]
        style = "--" if line == "coverage" else "-"
        axes.plot(xs, values, style, color=colour, linewidth=1.6, marker="o", markersize=4)
        axes.fill_between(xs, low, high, color=colour, alpha=0.1, linewidth=0)
        labels.append(Label(LINES[line], xs[-1], values[-1], colour))
        seen += [*low, *high]
    ticks = [at.n for at in next(iter(lines.values()))]
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.9, max(ticks) * 1.1)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    percent_limits(axes, seen)
    label_ends(axes, labels)
    return figure
