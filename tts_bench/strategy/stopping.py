"""How sure a pool of answers is: when to stop drawing, and which problems to draw more for (pure).

Answers are numbers of classes, in the order in which they were drawn; -1 marks a candidate
without an answer, which never counts for any class.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

_NO_ANSWER = -1


def lead_confidence(classes: Sequence[int]) -> float:
    """Probability that the leading answer is more common than the runner-up.

    With v and w draws of the two and a uniform prior on the share of the leader among both, it
    is P(Beta(v+1, w+1) > 1/2) (Aggarwal et al. 2023, arXiv:2305.11860, eq. 2), here as the
    binomial sum that it equals for whole numbers. Four equal answers give 0.969. 0 if there
    is no answer.
    """
    counts = Counter(answer for answer in classes if answer != _NO_ANSWER)
    (_, first), (_, second) = (*counts.most_common(2), (0, 0), (0, 0))[:2]
    trials = first + second + 1
    ways = sum(math.comb(trials, k) for k in range(first + 1))
    return float(Fraction(ways, 2**trials)) if first else 0.0


def first_sure(classes: Sequence[int], confidence: float) -> int | None:
    """The earliest number of draws with which the lead is as sure as that; None if never."""
    sizes = range(1, len(classes) + 1)
    return next((n for n in sizes if lead_confidence(classes[:n]) >= confidence), None)


def first_agreed(classes: Sequence[int], window: int) -> int | None:
    """The number of draws up to the first window that agrees entirely; None if none does.

    Windows follow each other without overlap; one that is not full decides nothing, and draws
    without an answer agree with nothing (Li et al. 2024, arXiv:2401.10480).
    """
    for end in range(window, len(classes) + 1, window):
        seen = set(classes[end - window : end])
        if len(seen) == 1 and _NO_ANSWER not in seen:
            return end
    return None


def leading_share(classes: Sequence[int], weights: Sequence[float] | None = None) -> float:
    """Weight of the heaviest answer, as a mean over all draws: 0 (no answer) to 1.

    Without weights the share of draws that agree; with probabilities of being right as weights,
    the leader's expected number of right draws among all.
    """
    weights = [1.0] * len(classes) if weights is None else weights
    sums: dict[int, list[float]] = {}
    for answer, weight in zip(classes, weights, strict=True):
        if answer != _NO_ANSWER:
            sums.setdefault(answer, []).append(weight)
    return max((math.fsum(part) for part in sums.values()), default=0.0) / max(1, len(classes))


def expected_gain(successes: float, trials: int, draws: int) -> float:
    """Chance that the first success comes with the draw after `draws`, judged by a probe.

    E[p (1-p)^draws] under p ~ Beta(1 + successes, 1 + trials - successes): what one more draw
    adds to the coverage of a problem. It falls as `draws` grows.
    """
    a, b = 1 + successes, 1 + trials - successes
    log = math.lgamma(b + draws) - math.lgamma(b)
    log += math.lgamma(a + b) - math.lgamma(a + b + draws + 1)
    return a * math.exp(log)


def share_out(successes: Sequence[float], probe: int, total: int, most: int) -> list[int]:
    """Draws for each problem, `total` together, by expected gain after a probe of each.

    Every problem has the `probe` draws that were made; each further one goes where its expected
    gain is largest (of equals, to the first), and no problem gets more than `most`. Gains fall,
    so this greedy way is the best one.
    """
    given = [probe] * len(successes)
    gains = [(-expected_gain(part, probe, probe), i) for i, part in enumerate(successes)]
    heapq.heapify(gains)
    for _ in range(total - sum(given)):
        while gains and given[gains[0][1]] >= most:
            heapq.heappop(gains)
        if not gains:
            break
        _, i = gains[0]
        given[i] += 1
        heapq.heapreplace(gains, (-expected_gain(successes[i], probe, given[i]), i))
    return given
