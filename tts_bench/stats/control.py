"""Control, scaling and performance over the runs of one method (pure).

A run is a strategy with one setting of its budget; what it took is its mean over problems.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Run:
    """Test-time compute of a run, in tokens, with its bounds, and its accuracy."""

    tokens: float
    accuracy: float
    least: float = 0.0
    most: float = math.inf


def control(runs: Sequence[Run]) -> float:
    """Share of the runs whose compute lies within their bounds (s1, 2501.19393, section 3.2).

    Raises ValueError for no runs.
    """
    if not runs:
        raise ValueError("control needs at least one run")
    return sum(run.least <= run.tokens <= run.most for run in runs) / len(runs)


def scaling(runs: Sequence[Run]) -> float | None:
    """Mean slope of accuracy over all pairs of runs, in accuracy per token.

    Pairs of equal compute have no slope and are left out; None if no others are there.
    """
    slopes = [
        (b.accuracy - a.accuracy) / (b.tokens - a.tokens)
        for a, b in itertools.combinations(runs, 2)
        if a.tokens != b.tokens
    ]
    return math.fsum(slopes) / len(slopes) if slopes else None


def performance(runs: Sequence[Run]) -> float:
    """The highest accuracy of any run. Raises ValueError for no runs."""
    if not runs:
        raise ValueError("performance needs at least one run")
    return max(run.accuracy for run in runs)


def elasticities(allowed: Sequence[float], used: Sequence[float]) -> list[float | None]:
    """Relative change of the tokens used per relative change of those allowed, step by step.

    Entry i is ln(used[i+1] / used[i]) / ln(allowed[i+1] / allowed[i]): 1 where a model follows
    its budget, 0 if it ignores it, below 0 if a tighter budget makes it write more. None
    if it is undefined. This project's definition: the paper that names the effect
    (2412.18547) gives no formula. Raises ValueError for lists of different lengths.
    """
    if len(allowed) != len(used):
        raise ValueError(f"{len(allowed)} budgets for {len(used)} lengths")
    points = list(zip(allowed, used, strict=True))
    return [_elasticity(*first, *second) for first, second in itertools.pairwise(points)]


def _elasticity(allowed: float, used: float, more: float, longer: float) -> float | None:
    if min(allowed, used, more, longer) <= 0 or allowed == more:
        return None
    return math.log(longer / used) / math.log(more / allowed)
