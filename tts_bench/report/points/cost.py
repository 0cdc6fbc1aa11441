"""Cost of an attempt, and expected cost of a random part of its pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from tts_bench.types import Usage


@dataclass(frozen=True, slots=True)
class Cost:
    """Requests, tokens, FLOPs and dollars of policy or verifier, as an expectation or a mean.

    FLOPs are None if the model's shape is unknown; the measured ones also if nothing
    was measured (a pool's part of fewer candidates than were drawn). Tokens are None if a recording
    does not tell them.
    """

    requests: float = 0.0
    completion_tokens: float | None = 0.0
    prompt_tokens_logical: float | None = 0.0
    prompt_tokens_ideal: float | None = 0.0
    flops_logical: float | None = 0.0
    flops_ideal: float | None = 0.0
    flops_measured: float | None = None
    prompt_tokens_cached: float | None = None
    """What the engine reported as cached; None if it was not measured."""
    dollars: float | None = None
    """What it cost; None if the price, or what it is a price of, is not known."""

    @property
    def tokens(self) -> float | None:
        """Every token read or written, each distinct prefix counted once."""
        return added(self.prompt_tokens_ideal, self.completion_tokens)


def whole_cost(usage: Usage, flops_measured: float | None, cached: float | None = None) -> Cost:
    """The cost of an attempt as it was made."""
    return Cost(
        usage.requests,
        usage.completion_tokens,
        usage.prompt_tokens_logical,
        usage.prompt_tokens_ideal,
        usage.flops_logical,
        usage.flops_ideal,
        flops_measured,
        cached,
    )


def subset_cost(usage: Usage, drawn: int, n: int, cached: float | None = None) -> Cost:
    """Expected cost of `n` random candidates out of the `drawn` ones that cost `usage`.

    Logical counts are sums over candidates, so they scale with n / drawn. What the ideal counts
    save is the shared prompt, once for each candidate after the first, so savings scale with
    (n - 1) / (drawn - 1). Both are exact expectations over all n-subsets of the policy's draws
    from one prompt; for a verifier, whose texts may share a little more than the problem, the
    second is close. What was reported as cached is taken for such a saving. Measured
    FLOPs are None: nothing of this size was measured.
    """
    if n >= drawn:
        return whole_cost(usage, None, cached)
    share, sharing = n / drawn, (n - 1) / (drawn - 1)

    def scaled(whole: float | None) -> float | None:
        return None if whole is None else whole * share

    def ideal(logical: float | None, whole: float | None) -> float | None:
        if logical is None or whole is None:
            return None
        return logical * share - (logical - whole) * sharing

    return Cost(
        requests=usage.requests * share,
        completion_tokens=scaled(usage.completion_tokens),
        prompt_tokens_logical=scaled(usage.prompt_tokens_logical),
        prompt_tokens_ideal=ideal(usage.prompt_tokens_logical, usage.prompt_tokens_ideal),
        flops_logical=scaled(usage.flops_logical),
        flops_ideal=ideal(usage.flops_logical, usage.flops_ideal),
        prompt_tokens_cached=None if cached is None else cached * sharing,
    )


def mean_cost(groups: Sequence[Sequence[Cost]]) -> Cost:
    """Mean over problems of each problem's mean over its attempts.

    A part is None if it is unknown of any attempt; without problems, nothing was spent.
    """
    if not groups:
        return Cost()
    means: dict[str, Any] = {
        part.name: mean_of_means([[getattr(cost, part.name) for cost in group] for group in groups])
        for part in fields(Cost)
    }
    return Cost(**means)


def mean_of_means(groups: Sequence[Sequence[float | None]]) -> float | None:
    """Mean over groups of the means within; None without groups or where any number is None."""
    total = 0.0
    for group in groups:
        known = [value for value in group if value is not None]
        if len(known) < len(group):
            return None
        total += sum(known) / len(known)
    return total / len(groups) if groups else None


def added(a: float | None, b: float | None) -> float | None:
    """The sum of two numbers, None if one is unknown."""
    return None if a is None or b is None else a + b
