"""Whether a difference is more than chance: paired tests, their correction, their power.

The problem is the unit, as in `estimators`, whose intervals say how large a difference is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tts_bench.stats.quantiles import normal_below


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p-value that two systems are equally accurate on the same problems.

    `only_a` problems are solved by the first system alone, `only_b` by the second alone; under
    the null the split is Binomial(only_a + only_b, 1/2). 1 if no problem tells them apart.
    """
    from scipy.stats import binomtest

    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)


def sign_flip_p(differences: Sequence[float], resamples: int = 9_999, seed: int = 0) -> float:
    """Two-sided p-value that paired differences are symmetric around 0, by flipping signs.

    Exact if all 2^n flips are few enough, else by seeded resampling (Good 2005, ch. 3). For
    accuracies that are fractions (means over seeds or subsets), where McNemar's test, which
    counts solved problems, does not apply.
    """
    from scipy.stats import permutation_test

    sample = np.asarray(differences, np.float64)
    moved = sample[sample != 0.0]
    if len(moved) < 2:  # one difference is as large with either sign
        return 1.0
    test = permutation_test(
        (moved,),
        lambda x, axis: np.round(np.mean(x, axis=axis), 12),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        rng=np.random.default_rng(seed),
    )
    return float(test.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (1979), in order: all of them hold together at their level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def detectable_difference(stderr: float, confidence: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that a one-sided test at this level finds with this power.

    (z_confidence + z_power) · SE of the paired difference (Miller, arXiv:2411.00640, section 5,
    with a one-sided level).
    """
    return (normal_below(confidence) + normal_below(power)) * stderr
