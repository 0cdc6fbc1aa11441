"""What a run is likely to take: tokens, FLOPs and GPU hours, before a model is loaded.

Every figure here is an estimate and is said to be one (docs/runs.md has the formulas). The bound
that cannot be exceeded is `most_tokens` of the strategies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.price import Price
from tts_bench.run.plan import Plan
from tts_bench.store.runs import RunStore

SHARES = (0.15, 0.5)
"""Length of a solution as a share of `max_tokens`, least and most, if no earlier run tells."""
PROMPT = 200
"""Tokens of a prompt with its template, for the cost of reading it."""
GPUS = {"H100": 989e12, "RTX 4090": 165e12}
"""Peak FLOP/s of dense bfloat16 products, as the maker states them."""
USE_DECODING = 0.25
USE_READING = 0.5
"""Share of the peak that large batches reach: writing is bound by memory, reading less so."""
_ATTEMPTS_READ = 200


@dataclass(frozen=True, slots=True)
class Expected:
    """A likely range of what is still missing of a run."""

    tokens: tuple[float, float]
    """Completion tokens of the policy."""
    lengths: tuple[float, float]
    """Tokens of one solution."""
    measured: bool
    """Whether the lengths are those of an earlier run, and not a share of `max_tokens`."""

    def seconds(
        self, gpu: str, policy: ModelShape, verifier: ModelShape | None
    ) -> tuple[float, float]:
        """Seconds on one such GPU: FLOPs over the share of its peak that batches reach.

        A verifier reads each solution once; what it reads again of a search's prefixes, and
        loading, are not counted.
        """
        low, high = (
            self._seconds(tokens, length, GPUS[gpu], policy, verifier)
            for tokens, length in zip(self.tokens, self.lengths, strict=True)
        )
        return low, high

    def dollars(
        self, price: Price, rate: float | None, *, reading: bool
    ) -> tuple[float, float] | None:
        """What the policy costs or, `reading`, a verifier that reads each solution once.

        `rate` is of generated tokens per second, for GPUs by the hour; None if it is needed and
        not known, or a price is. A draw is paid once, however many strategies use it.
        """
        found = []
        for tokens, length in zip(self.tokens, self.lengths, strict=True):
            solutions = tokens / length
            if price.gpu_hour is not None:
                found.append(price.of_hours(tokens / rate) if rate else None)
            elif reading:
                found.append(price.of_tokens(solutions * (PROMPT + length), 0, 0))
            else:
                found.append(price.of_tokens(solutions * PROMPT, 0, tokens))
        low, high = found
        return None if low is None or high is None else (low, high)

    @staticmethod
    def _seconds(
        tokens: float, length: float, peak: float, policy: ModelShape, verifier: ModelShape | None
    ) -> float:
        solutions = tokens / length
        written = solutions * float(policy.decode(PROMPT, int(length)))
        read = solutions * float(verifier.scoring(PROMPT + int(length))) if verifier else 0.0
        return written / (peak * USE_DECODING) + read / (peak * USE_READING)


def expect(plan: Plan, earlier: Iterator[RunStore]) -> Expected | None:
    """The likely range of the missing attempts; None if there is nothing to say of a strategy.

    `earlier` are runs of the same suite with the same model, the newest first.
    """
    measured = next((length for run in earlier if (length := mean_length(run))), None)
    lengths: list[float] = []
    totals = [0.0, 0.0]
    for side, share in enumerate(SHARES):
        pools: dict[tuple[str, int, object], float] = {}
        for cell, item, seed in plan.missing():
            length = measured or share * cell.sampling.max_tokens
            lengths.append(length)
            shorter = replace(cell.sampling, max_tokens=max(1, round(length)))
            likely = cell.strategy.likely_tokens(shorter)
            if likely is None:
                return None
            if cell.at:  # strategies that share a pool draw it once
                key = (item.problem.id, seed, cell.sampling)
                pools[key] = max(pools.get(key, 0.0), likely[side])
            else:
                totals[side] += likely[side]
        totals[side] += sum(pools.values())
    if not lengths:
        return None
    return Expected((totals[0], totals[1]), (min(lengths), max(lengths)), measured is not None)


def mean_length(run: RunStore) -> float | None:
    """Mean tokens of a candidate over the first attempts of a run."""
    tokens = [
        count
        for attempt in islice(run.attempts(), _ATTEMPTS_READ)
        for count in attempt.pool.tokens
        if count
    ]
    return sum(tokens) / len(tokens) if tokens else None
