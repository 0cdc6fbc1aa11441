"""Coverage of the pools of a run: how often at least one of k draws is right (pass@k)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tts_bench.report.points.cost import Cost, mean_cost
from tts_bench.report.points.money import Rates
from tts_bench.report.points.outcomes import Outcome, Outcomes
from tts_bench.report.points.scope import CellRecord, Scope, canonical
from tts_bench.stats.estimators import Estimate, mean_interval, pass_at_k
from tts_bench.stats.powerlaw import (
    CoverageFit,
    Extrapolation,
    LogLinear,
    extrapolate,
    fit_coverage,
    log_linear_range,
)


@dataclass(frozen=True, slots=True)
class CoverageAt:
    """pass@k with its cost: k draws of the policy, and nobody to choose among them."""

    k: int
    coverage: Estimate
    cost: Cost
    by_problem: Mapping[str, float] = field(repr=False)
    """pass@k of each problem, averaged over seeds."""


@dataclass(frozen=True, slots=True)
class Curve:
    """The coverage of one pool: an upper bound for every strategy that chooses from it."""

    sampling: Mapping[str, Any]
    draws: int
    """Largest number of draws per problem."""
    problems: int
    seeds: int
    sweep: tuple[int, ...]
    """Every n at which a strategy chose from this pool."""
    points: tuple[CoverageAt, ...]
    fit: CoverageFit | None
    extrapolation: Extrapolation | None
    """What the fit says of a larger pool; None if there is no fit."""
    log_linear: LogLinear | None


def make_curves(scope: Scope, outcomes: Outcomes) -> tuple[Curve, ...]:
    """One curve for each distinct pool of at least two draws.

    Flat cells with the same sampling and seed draw the same candidates, so they share a pool:
    for each problem and seed the largest that any of them drew.
    """
    pools: dict[str, list[CellRecord]] = defaultdict(list)
    for cell in scope.cells:
        if cell.pooled:
            pools[canonical(cell.sampling)].append(cell)
    curves = (_curve(cells, scope, outcomes) for cells in pools.values())
    return tuple(curve for curve in curves if curve is not None)


def _curve(cells: Sequence[CellRecord], scope: Scope, outcomes: Outcomes) -> Curve | None:
    groups = _largest_pools(cells, scope, outcomes)
    draws = max((one.distinct for found in groups.values() for one in found), default=0)
    if draws < 2:
        return None
    sweep = sorted({n for cell in cells for n in cell.at if n <= draws})
    if scope.budgeted:
        # The budget cut the draws of each n differently: a pool speaks for its own n alone.
        pools = {n: [cell for cell in cells if n in cell.at] for n in sweep}
        points = tuple(
            _at(n, _largest_pools(pools[n], scope, outcomes), scope, outcomes.rates) for n in sweep
        )
    else:
        ks = sorted({*_powers_of_two(draws), *sweep, draws})
        points = tuple(_at(k, groups, scope, outcomes.rates) for k in ks)
    fit, extrapolation = _fit(points)
    return Curve(
        sampling=cells[0].sampling,
        draws=draws,
        problems=len(groups),
        seeds=len(scope.seeds),
        sweep=tuple(sweep),
        points=points,
        fit=fit,
        extrapolation=extrapolation,
        log_linear=log_linear_range([at.k for at in points], [at.coverage.value for at in points]),
    )


def _largest_pools(
    cells: Sequence[CellRecord], scope: Scope, outcomes: Outcomes
) -> dict[str, list[Outcome]]:
    groups: dict[str, list[Outcome]] = {}
    for problem in scope.problems:
        found = []
        for seed in scope.seeds:
            keys = [(cell.id, problem, seed) for cell in cells]
            drawn = [outcomes.by_key[key] for key in keys if key in outcomes.by_key]
            if drawn:
                found.append(max(drawn, key=lambda outcome: outcome.distinct))
        if found or scope.finished:
            groups[problem] = found
    return groups


def _powers_of_two(up_to: int) -> list[int]:
    return [2**power for power in range(up_to.bit_length())]


def _at(k: int, groups: Mapping[str, Sequence[Outcome]], scope: Scope, rates: Rates) -> CoverageAt:
    by_problem = {
        problem: sum(_pass_at(k, one) for one in found)
        / (len(scope.seeds) if scope.finished else len(found))
        for problem, found in groups.items()
    }
    made = [priced for found in groups.values() if (priced := [o for o in found if o.priced])]
    return CoverageAt(
        k=k,
        coverage=mean_interval(list(by_problem.values())),
        cost=mean_cost(
            [[rates.of_policy(one.cost_of_draws(k)) for one in found] for found in made]
        ),
        by_problem=by_problem,
    )


def _pass_at(k: int, outcome: Outcome) -> float:
    """pass@k of one pool; where a budget left fewer than k draws, of all that are there."""
    if outcome.distinct == 0:
        return 0.0
    draws = min(k, outcome.distinct)
    return float(pass_at_k(outcome.distinct, outcome.distinct_correct, draws))


def _fit(points: Sequence[CoverageAt]) -> tuple[CoverageFit | None, Extrapolation | None]:
    """The power law, or None if it has too few points or does not fit them."""
    shared = [p for p in points[0].by_problem if all(p in at.by_problem for at in points)]
    ks = [at.k for at in points]
    values = [[at.by_problem[problem] for at in points] for problem in shared]
    try:
        fit = fit_coverage(ks, values)
    except ValueError:
        return None, None
    return fit, extrapolate(fit, ks, values)


def coverage_notes(curves: Sequence[Curve]) -> Iterator[str]:
    """What each fit says, and a warning where the pool does not support its extrapolation."""
    for curve in curves:
        fit, beyond, line = curve.fit, curve.extrapolation, curve.log_linear
        if fit is None or beyond is None:
            continue
        said = (
            f"coverage fits exp(a k^b), a = {fit.a:.3g} ± {fit.stderr_a:.2g}, "
            f"b = {fit.b:.3g} ± {fit.stderr_b:.2g} (standard errors over problems)"
        )
        if line is not None:
            said += (
                f"; a line in log k from k = {line.low:.0f} to {line.high:.0f}, "
                f"{100 * line.per_doubling:+.1f} points a doubling"
            )
        yield said
        ends = f"[{100 * beyond.low:.1f}, {100 * beyond.high:.1f}]"
        if beyond.supported:
            yield f"extrapolated coverage at k = {beyond.k:.0f}: {100 * beyond.coverage:.1f} {ends}"
        else:
            yield (
                f"warning: the pool does not support extrapolating its coverage to "
                f"k = {beyond.k:.0f} ({100 * beyond.coverage:.1f} {ends}): {beyond.warning}"
            )
