"""Savings: FLOPs of a uniform strategy over those of a policy of the same accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Saving:
    """FLOPs of the uniform baseline at a policy's accuracy over the policy's own.

    Infinity says that the baseline does not get there at its largest size, zero that it has more
    at its smallest: then the saving is beyond `most` or below `least`. Nothing is extrapolated.
    """

    value: float
    low: float
    high: float
    """95 % interval, a percentile bootstrap over problems; either end may be open."""
    least: float
    """The baseline's smallest cost over the policy's."""
    most: float
    """Its largest."""

    def __str__(self) -> str:
        return f"{self._number(self.value)} [{self._number(self.low)}, {self._number(self.high)}]"

    def _number(self, value: float) -> str:
        # A resample's own range may be a little wider than the one that is stated.
        if value > self.most * (1 + _SAME):
            return f">{self.most:.2f}"
        return f"<{self.least:.2f}" if value < self.least * (1 - _SAME) else f"{value:.2f}"

    def as_json(self) -> dict[str, Any]:
        """JSON-ready; 0 and null stand for below and beyond the range."""
        value, low, high = (
            None if one == math.inf else one for one in (self.value, self.low, self.high)
        )
        return {
            "saving": value,
            "saving_ci95": [low, high],
            "saving_range": [self.least, self.most],
        }


def saving_at(costs: Floats, reached: Floats, accuracy: float, flops: float) -> float:
    """FLOPs at which a baseline first reaches an accuracy, over `flops`.

    The baseline has these accuracies at these costs, both ascending by size; between them it is
    taken as linear in log FLOPs. Infinity and zero as in `Saving`.
    """
    xs, ys = np.log(costs), np.maximum.accumulate(reached)
    if accuracy > ys[-1]:
        return math.inf
    if accuracy < ys[0]:
        return 0.0
    after = int(np.searchsorted(ys, accuracy))
    if after == 0:
        return math.exp(float(xs[0])) / flops
    share = (accuracy - float(ys[after - 1])) / float(ys[after] - ys[after - 1])
    return math.exp(float(xs[after - 1]) + share * float(xs[after] - xs[after - 1])) / flops


def ends_of(savings: list[float]) -> tuple[float, float]:
    """The 95 % interval of savings in resamples, those out of range among them."""
    # Not interpolated: there is nothing between a number and infinity.
    low, high = np.quantile(savings, [0.025, 0.975], method="inverted_cdf")
    return float(low), float(high)
