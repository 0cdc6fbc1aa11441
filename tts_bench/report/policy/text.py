"""The compute-optimal policy as text for a terminal, as a figure and as a policy file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tts_bench.report.figures.axes import Label, label_ends, log_scale, new_axes, percent_limits
from tts_bench.report.format import interval, si
from tts_bench.report.points.point import Point
from tts_bench.report.policy.optimal import Optimal, OptimalPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_POLICY, _UNIFORM = "#0072B2", "#D55E00"


def terminal(optimal: Optimal) -> str:
    """A line for each budget: what it reached, what it spent, what it saved and chose."""
    names = optimal.difficulty.names
    heads = ("budget", "FLOPs", "accuracy [95% CI]", "saving [95% CI]", *names)
    rows = [heads, *(_row(point, len(names)) for point in optimal.points)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    notes = [
        f"{len(optimal.problems)} problems; chosen on one half of each bin, scored on the other",
        f"saving: FLOPs of uniform {optimal.baseline} at equal accuracy over those of the policy; "
        "> where it has less at its largest size, < where it has more at its smallest",
    ]
    if optimal.difficulty.by == "oracle":
        notes.append("oracle bins look at the answers: a bound, not a policy that can be run")
    if optimal.difficulty.probe:
        notes.append(f"predicting by {optimal.difficulty.probe} draws is charged")
    return "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _row(point: OptimalPoint, bins: int) -> tuple[str, ...]:
    chosen = {choice.bin: choice.point.full_name for choice in point.choices}
    return (
        si(point.budget),
        si(point.flops),
        interval(point.accuracy),
        str(point.saving),
        *(chosen.get(i, "-") for i in range(bins)),
    )


def figure(optimal: Optimal, title: str, subtitle: str) -> Figure:
    """The policy's curve beside that of the uniform baseline."""
    drawn, axes = new_axes(
        title, subtitle, "FLOPs per problem, policy + verifier, shared prefixes once", "accuracy, %"
    )
    curves = (
        (f"compute-optimal by {optimal.difficulty.by}", _POLICY, "o", _policy_curve(optimal)),
        (f"uniform {optimal.baseline}", _UNIFORM, "s", list(optimal.uniform)),
    )
    labels = []
    for name, colour, marker, found in curves:
        xs = [flops for flops, _ in found]
        ys = [100 * accuracy.value for _, accuracy in found]
        axes.plot(xs, ys, color=colour, marker=marker, markersize=5, linewidth=1.6)
        low = [100 * accuracy.low for _, accuracy in found]
        high = [100 * accuracy.high for _, accuracy in found]
        axes.fill_between(xs, low, high, color=colour, alpha=0.12, linewidth=0)
        labels.append(Label(name, xs[-1], ys[-1], colour))
    every = [pair for *_, found in curves for pair in found]
    log_scale(axes, [flops for flops, _ in every])
    percent_limits(axes, [100 * end for _, e in every for end in (e.low, e.high)])
    label_ends(axes, labels)
    return drawn


def _policy_curve(optimal: Optimal) -> list[tuple[float, Any]]:
    return sorted(((p.flops, p.accuracy) for p in optimal.points), key=lambda pair: pair[0])


def policy_file(optimal: Optimal, made_of: str) -> dict[str, Any]:
    """What `strategy: policy` reads: for each budget, the strategy of each bin.

    Raises ValueError for oracle bins, which nobody knows of a new problem.
    """
    difficulty = optimal.difficulty
    if difficulty.by == "oracle":
        raise ValueError("a policy by oracle difficulty cannot be run: use --by level or predicted")
    where: dict[str, Any] = {"by": difficulty.by, "bins": list(difficulty.names)}
    if difficulty.by == "predicted":
        where |= {"probe": difficulty.probe, "edges": list(difficulty.edges)}
    else:
        where["levels"] = [int(name.removeprefix("level ")) for name in difficulty.names]
    return {
        "format_version": 1,
        "made_of": made_of,
        **where,
        "budgets": [
            {
                "flops": point.budget,
                "choices": [_choice(choice.point) for choice in point.choices],
            }
            for point in optimal.points
        ],
    }


def _choice(point: Point) -> dict[str, Any]:
    params = dict(point.cell.params)
    if point.n is not None:
        params["n"] = point.n
    return {"strategy": point.cell.strategy, "params": params}
