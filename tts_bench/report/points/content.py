"""A report in memory: everything that the derived files of a run say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tts_bench.cost.price import Price
from tts_bench.report.points.breakdown import Breakdown, make_breakdowns
from tts_bench.report.points.control import (
    Control,
    Elasticity,
    control_notes,
    make_controls,
    make_elasticities,
)
from tts_bench.report.points.coverage import Curve, coverage_notes, make_curves
from tts_bench.report.points.outcomes import Outcomes
from tts_bench.report.points.point import Point, frontier, read_points
from tts_bench.report.points.recorded import recording_notes
from tts_bench.report.points.scope import Scope, distinguishing, settings
from tts_bench.store.lines import summary
from tts_bench.store.runs import RunStore

_TRUNCATED_NOTE = 0.02


@dataclass(frozen=True, slots=True)
class Report:
    """Points, coverage and breakdowns of one run, and what a reader must know beside them."""

    scope: Scope
    attempts: int
    points: tuple[Point, ...]
    frontier: tuple[Point, ...]
    """The points that no other is cheaper and better than, cheapest first."""
    curves: tuple[Curve, ...]
    breakdowns: tuple[Breakdown, ...]
    controls: tuple[Control, ...]
    elasticities: tuple[Elasticity, ...]
    notes: tuple[str, ...]
    """One sentence each: what is best, partial, unknown or suspicious."""
    whole: bool
    """Whether the run is finished, with every attempt and no line that does not count."""

    def on_frontier(self, point: Point) -> bool:
        """Whether no other point is cheaper and better than this one."""
        return any(point is one for one in self.frontier)


def build_report(run: RunStore, prices: Mapping[str, Price] | None = None) -> Report:
    """Compute the report of a run from its manifest, attempts and measurements.

    `prices` of `policy` and `verifier` replace what its suite states. Raises StoreError if the
    run has no attempt, or a file cannot be read.
    """
    found = read_points(run, prices)
    scope, outcomes, points = found.scope, found.outcomes, found.points
    curves = make_curves(scope, outcomes)
    controls = make_controls(scope, outcomes, points)
    elasticities = make_elasticities(scope, outcomes, points)
    return Report(
        scope=scope,
        attempts=len(outcomes.by_key),
        points=points,
        frontier=frontier(points),
        curves=curves,
        breakdowns=make_breakdowns(scope, points, curves),
        controls=controls,
        elasticities=elasticities,
        notes=(
            *_frontier_note(scope, points),
            *_notes(run, scope, outcomes, points),
            *_money_notes(scope, points),
            *recording_notes(scope, outcomes),
            *control_notes(controls, elasticities),
            *coverage_notes(curves),
        ),
        whole=scope.finished
        and len(outcomes.by_key) == scope.expected_attempts
        and not outcomes.faults,
    )


def _frontier_note(scope: Scope, points: Sequence[Point]) -> Iterator[str]:
    varies = distinguishing(scope.cells)
    # Strategies that share a pool may be equal at its first draw.
    names = [f"{one.name} {settings(varies[one.cell.id])}".rstrip() for one in frontier(points)]
    if len(points) > 1 and names:
        cost = "FLOPs" if any(point.flops for point in points) else "tokens"
        yield f"Pareto frontier (accuracy against {cost}): {', '.join(names)}"


def _money_notes(scope: Scope, points: Sequence[Point]) -> Iterator[str]:
    """What dollars are of, and which of them are not known, and why."""
    prices = scope.prices
    if not prices.known:
        return
    yield f"dollars: {'; '.join(prices.phrases)}"
    sides = {"policy": prices.policy, "verifier": prices.verifier}
    for name, price in sides.items():
        unknown = sum(getattr(point, name).dollars is None for point in points)
        if not unknown:
            continue
        why = "tokens, or FLOPs that hours are shared by, are not known"
        if price is None:
            why = f"the {name} has no price"
        elif price.gpu_hour is not None and not prices.generated:
            why = "no session of this run measured how fast it generates"
        yield f"no dollars of the {name} for {unknown} of {len(points)} points: {why}"


def _notes(
    run: RunStore, scope: Scope, outcomes: Outcomes, points: Sequence[Point]
) -> Iterator[str]:
    if scope.answers:
        yield f"answers are of the kind {scope.answers}"
    if scope.limited:
        size = scope.dataset.size or "all"
        yield f"partial: {len(scope.problems)} of {size} problems"
    if not scope.finished:
        done, whole = len(outcomes.by_key), scope.expected_attempts
        yield f"unfinished ({scope.status}): computed over {done} of {whole} attempts"
    listed = [fault for fault in outcomes.faults if fault.kind != "unlisted"]
    unlisted = [fault for fault in outcomes.faults if fault.kind == "unlisted"]
    if outside := sum(fault.path == run.attempts_path for fault in unlisted):
        yield f"passed over, for the manifest does not list them: {outside} attempts"
    if listed:
        yield (
            f"left out: {summary(listed)}; `tts-bench check` says which and why, and the command "
            "that made the run makes damaged attempts again"
        )
    if any(point.policy.flops_ideal is None for point in points):
        reason = scope.engine.shape_note or "the model's shape is not known"
        yield f"no policy FLOPs, so no accuracy_vs_flops.png: {reason}"
    if any(point.verifier.flops_ideal is None for point in points):
        name = scope.verifier.name or "the verifier"
        yield (
            f"no verifier FLOPs: the shape of {name} is not known; what uses it is not in "
            "accuracy_vs_flops.png"
        )
    models = {
        "the policy's endpoint": scope.engine,
        "the verifier's endpoint": scope.verifier.model,
    }
    for whose, model in models.items():
        for note in model.notes if model else ():
            yield f"{whose}: {note}"
    cut = {p.cell.id: p.truncated for p in points if (p.truncated or 0) > _TRUNCATED_NOTE}
    if cut:
        worst = max(cut, key=lambda cell: cut[cell] or 0)
        yield (
            f"{100 * (cut[worst] or 0):.1f} % of the candidates of {worst} were cut off at "
            f"max_tokens{' or by the budget' if scope.budgeted else ''}; "
            f"above 2 % in {len(cut)} of {len(scope.cells)} cells"
        )
    by_cell = {point.cell.id: point.ungraded for point in points}.values()
    # The cells of a recording have one pool.
    if ungraded := sum(by_cell) if scope.recording is None else max(by_cell, default=0):
        recorded = scope.recording is not None and scope.recording.verdicts == "recorded"
        why = "no verdict was recorded" if recorded else "their grading timed out"
        yield f"counted as wrong, for {why}: {ungraded} candidates"
