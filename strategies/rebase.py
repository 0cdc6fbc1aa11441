"""REBASE: a tree in which the better a step, the more continuations it is given."""

import math
from dataclasses import dataclass

from tts_bench import Node, Search, StepSearch


@dataclass(frozen=True)
class Rebase(StepSearch):
    """Reward-balanced search (Wu et al. 2024, 2408.00724, section 3.2).

    After each step the places that ended solutions have left over are shared out among the
    others by a softmax of their scores.
    """

    balance: float = 0.2
    """Temperature of the softmax: the smaller, the more the best steps are favoured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.balance < math.inf:
            raise ValueError(f"balance must be more than 0, not {self.balance}")

    async def grow(self, search: Search) -> None:
        steps = await search.judge(await search.first(self.n))
        ended: list[Node] = []
        while True:
            ended += [node for node in steps if not node.open]
            active = [node for node in steps if node.open]
            search.hold(ended + active)
            if not active:
                return
            scores = [node.score.value for node in active]
            shares = widths(scores, self.n - len(ended), self.balance)
            parents = [
                node for node, width in zip(active, shares, strict=True) for _ in range(width)
            ]
            steps = await search.judge(await search.extend(parents))


def widths(scores: list[float], budget: int, balance: float) -> list[int]:
    """How many continuations each step gets (equation 1); they sum up to the budget.

    Rounded as the authors' code does: from the best step down, each takes its share of what is
    left, rounded up. The worst may get none.
    """
    highest = max(scores)
    weights = [math.exp((score - highest) / balance) for score in scores]
    left, mass = budget, math.fsum(weights)
    found = [0] * len(scores)
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if left == 0:
            break
        # What is an integer but for a rounding error must not be rounded up.
        found[i] = min(left, math.ceil(left * weights[i] / mass - 1e-9))
        left -= found[i]
        mass = max(mass - weights[i], 1e-300)
    return found
