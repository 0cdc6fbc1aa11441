"""summary.json: a report as plain data, every metric an object of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from tts_bench.report.points.breakdown import Breakdown, Slice
from tts_bench.report.points.content import Report
from tts_bench.report.points.cost import Cost
from tts_bench.report.points.coverage import CoverageAt, Curve
from tts_bench.report.points.point import Point
from tts_bench.report.points.scope import CellRecord
from tts_bench.stats.estimators import Estimate
from tts_bench.stats.powerlaw import CoverageFit

FORMAT_VERSION = 1


def summary_text(report: Report) -> str:
    """The summary as strict JSON: what is unknown or not a number is null."""
    return json.dumps(summarize(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def summarize(report: Report) -> dict[str, Any]:
    """The report as JSON-ready values; units are in docs/results.md."""
    scope = report.scope
    whole = {
        "format_version": FORMAT_VERSION,
        "run": scope.run,
        "suite": scope.suite,
        "status": scope.status,
        "partial": scope.partial,
        "model": scope.engine.brief,
        "dataset": scope.dataset.recorded(),
        "n_problems": len(scope.problems),
        "seeds": list(scope.seeds),
        **({"prices": scope.prices.described()} if scope.prices.known else {}),
        "attempts": report.attempts,
        "attempts_expected": scope.expected_attempts,
        "notes": list(report.notes),
        "points": [
            {**_point(point), "frontier": report.on_frontier(point)} for point in report.points
        ],
        "coverage": [_curve(curve) for curve in report.curves],
        "control": [asdict(one) for one in report.controls],
        "elasticity": [asdict(one) for one in report.elasticities],
        **{f"by_{breakdown.by}": _breakdown(breakdown) for breakdown in report.breakdowns},
    }
    strict: dict[str, Any] = _strict(whole)
    return strict


def _point(point: Point) -> dict[str, Any]:
    metrics = [
        {
            **_metric("accuracy", point.accuracy),
            "monte_carlo_stderr": point.monte_carlo_stderr,
        }
    ]
    if point.difference is not None:
        metrics.append(_metric("accuracy_minus_greedy", point.difference))
    return {
        **_cell(point.cell),
        "n": point.n,
        "estimated_from": point.estimator,
        "problems": point.problems,
        "seeds": point.seeds,
        "metrics": metrics,
        "policy": _cost(point.policy),
        "verifier": _cost(point.verifier),
        "flops_ideal": point.flops,
        **({} if point.dollars is None else {"dollars": point.dollars}),
        "seconds": point.seconds,
        "truncated": point.truncated,
        "no_answer": point.unanswered,
        "grading_timeouts": point.ungraded,
        "errors": point.errors,
    }


def _cost(cost: Cost) -> dict[str, Any]:
    """Its parts; dollars only where they are known."""
    found = asdict(cost)
    return found if cost.dollars is not None else {k: v for k, v in found.items() if k != "dollars"}


def _cell(cell: CellRecord) -> dict[str, Any]:
    return {
        "cell": cell.id,
        "strategy": cell.strategy,
        "params": dict(cell.variant),
        "sampling": dict(cell.sampling),
        "selector": cell.selector,
    }


def _curve(curve: Curve) -> dict[str, Any]:
    line = curve.log_linear
    return {
        "sampling": dict(curve.sampling),
        "draws": curve.draws,
        "problems": curve.problems,
        "seeds": curve.seeds,
        "points": [_coverage(point) for point in curve.points],
        "fit": None if curve.fit is None else _fit(curve, curve.fit),
        "log_linear": None if line is None else asdict(line),
    }


def _fit(curve: Curve, fit: CoverageFit) -> dict[str, Any]:
    beyond = curve.extrapolation
    return {
        "formula": "exp(a k^b)",
        "a": fit.a,
        "b": fit.b,
        "stderr_a": fit.stderr_a,
        "stderr_b": fit.stderr_b,
        "rmse": fit.rmse,
        "points": fit.points,
        "n": fit.problems,
        "curve": [
            {"k": point.k, "value": float(fit.predict(point.k)), "ci95": fit.interval(point.k)}
            for point in curve.points
        ],
        "extrapolation": None
        if beyond is None
        else {
            "k": beyond.k,
            "value": beyond.coverage,
            "ci95": [beyond.low, beyond.high],
            "supported": beyond.supported,
            "warning": beyond.warning or None,
            "trial_miss_ci95": beyond.miss,
        },
    }


def _coverage(point: CoverageAt) -> dict[str, Any]:
    return {
        "k": point.k,
        "metrics": [_metric("pass@k", point.coverage)],
        "policy": _cost(point.cost),
    }


def _breakdown(breakdown: Breakdown) -> list[dict[str, Any]]:
    return [_slice(breakdown.by, part) for part in breakdown.slices]


def _slice(by: str, part: Slice) -> dict[str, Any]:
    name = "pass@k" if part.cell is None else "accuracy"
    return {
        by: part.group,
        "cell": part.cell.id if part.cell else None,
        "strategy": part.cell.strategy if part.cell else None,
        "sampling": dict(part.sampling),
        "n": part.n,
        "metrics": [_metric(name, part.accuracy)],
    }


def _metric(name: str, estimate: Estimate) -> dict[str, Any]:
    return {
        "metric": name,
        "value": estimate.value,
        "stderr": estimate.stderr,
        "ci95": [estimate.low, estimate.high],
        "n": estimate.n,
        "higher_is_better": True,
    }


def _strict(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _strict(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(part) for part in value]
    return value
