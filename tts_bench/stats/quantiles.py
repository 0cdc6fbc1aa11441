"""Quantiles of the normal and of Student's distribution, and Wilson's interval: the one place."""

from __future__ import annotations

import math
from functools import lru_cache


@lru_cache(maxsize=64)
def normal(confidence: float) -> float:
    """How far a standard normal value lies from 0 at most, with this probability (1.96 at 0.95)."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + confidence / 2))


@lru_cache(maxsize=64)
def normal_below(probability: float) -> float:
    """The value that a standard normal one stays below with this probability (1.64 at 0.95)."""
    from scipy.special import ndtri

    return float(ndtri(probability))


@lru_cache(maxsize=1024)
def student(confidence: float, degrees: int) -> float:
    """As `normal`, of Student's distribution with so many degrees of freedom (at least 1)."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.5 + confidence / 2))


def wilson(share: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval (1927, JASA 22:209) for a proportion; n need not be whole."""
    return score_interval(share, normal(confidence) ** 2 / n)


def score_interval(share: float, k: float) -> tuple[float, float]:
    """Wilson's interval as a function of k = z²/n alone: all m with (share - m)² <= k·m(1 - m)."""
    centre = (share + k / 2) / (1 + k)
    half = math.sqrt(k * share * (1 - share) + k**2 / 4) / (1 + k)
    # At 0 and 1 the bound is the share itself; rounding must not put it inside.
    low = 0.0 if share == 0.0 else max(0.0, centre - half)
    high = 1.0 if share == 1.0 else min(1.0, centre + half)
    return low, high
