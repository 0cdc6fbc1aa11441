"""The figure of several runs: the colour tells the strategy, marker and dashes the run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tts_bench.report.figures.axes import label_ends, log_scale, new_axes, percent_limits
from tts_bench.report.figures.curve_plots import RINGED, by_cost, draw_lines, ends_of
from tts_bench.report.figures.line_styles import LineStyle, line_styles
from tts_bench.report.joint.lines import CostAxis, Joint, Line

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_runs(joint: Joint, cost: CostAxis) -> Figure | None:
    """Accuracy against cost, a line for each strategy of each run; None without such a cost."""
    lines = [
        (_style(line, joint), found)
        for line in joint.lines
        if (found := by_cost((cost.of_point(point), point.accuracy) for point in line.known(cost)))
    ]
    if not lines:
        return None
    partial = " · PARTIAL" if any(scope.partial for scope in joint.scopes) else ""
    figure, axes = new_axes(
        f"{' and '.join(joint.labels)}: accuracy against {cost.name}",
        f"{len(joint.problems)} problems that all attempted · bars: 95 % confidence intervals"
        f"{RINGED}{partial}",
        cost.axis,
        "accuracy, %",
    )
    labels = draw_lines(axes, lines)
    shown = [pair for _, found in lines for pair in found]
    log_scale(axes, [x for x, _ in shown])
    percent_limits(axes, ends_of([estimate for _, estimate in shown]))
    label_ends(axes, labels)
    return figure


def _style(line: Line, joint: Joint) -> LineStyle:
    cells = joint.scopes[line.place].cells
    style = line_styles(cells, joint.strategies, line.place)[line.points[0].cell.line]
    return replace(style, label=f"{line.setting} · {line.run}")
