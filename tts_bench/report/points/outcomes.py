"""Attempts reduced to the numbers that a report needs, so that their pools can be forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zlib import crc32

from tts_bench.errors import StoreError
from tts_bench.report.points.cost import Cost, subset_cost, whole_cost
from tts_bench.report.points.money import Rates, make_rates
from tts_bench.report.points.scope import CellRecord, Scope
from tts_bench.stats.subsets import majority_bounds
from tts_bench.store.lines import Fault, summary
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import distinct_draws
from tts_bench.strategy.select import NO_ANSWER, SELECTORS
from tts_bench.types import Attempt, Measurement, Pool, Usage

Key = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class AtSize:
    """An attempt as if its strategy had drawn `n` candidates."""

    accuracy: float
    """Probability of a right answer, over all subsets of this size."""
    monte_carlo_stderr: float
    policy: Cost
    verifier: Cost


@dataclass(frozen=True, slots=True)
class Outcome:
    """One attempt: its accuracy and cost at each size of its cell, and counts of its pool."""

    sizes: tuple[AtSize, ...]
    failed: bool
    priced: bool
    """Whether its costs are known: an attempt that broke off in an error has spent more than
    its account shows."""
    candidates: int
    truncated: int | None
    """None where a recording does not say how its texts ended."""
    unanswered: int | None
    """None where no answers were recorded."""
    ungraded: int
    """Candidates whose grading timed out; they count as wrong."""
    distinct: int
    """Distinct draws among the candidates; none where the attempt failed."""
    distinct_correct: int
    drawn: int
    """Candidates over which the policy's work is spread: those that a failed attempt was to
    draw, if it has none to show."""
    drawing: Usage
    """Cost of the policy for all of them."""
    seconds: float | None
    vote: tuple[bool, bool] | None = None
    """Whether the majority of all candidates is right if every tie goes against it, and if it goes
    for it; None of what is no majority vote."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Facts that the strategy noted of the attempt."""
    cached: int | None = None
    """Prompt tokens of the policy that were reported as cached."""

    def cost_of_draws(self, k: int) -> Cost:
        """Expected cost of `k` random candidates of the pool, without choosing among them."""
        return subset_cost(self.drawing, self.drawn, k, self.cached)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Every attempt of a run that its manifest knows."""

    by_key: Mapping[Key, Outcome]
    faults: Sequence[Fault] = ()
    """Lines of the run's files that do not count."""
    rates: Rates = field(default_factory=Rates)
    """What the run's work costs in dollars."""


def read_outcomes(run: RunStore, scope: Scope) -> Outcomes:
    """Stream the attempts of a run.

    Raises StoreError if the run has no attempt, or a file cannot be read.
    """
    cells = {cell.id: cell for cell in scope.cells}
    faults: list[Fault] = []
    measured = run.measurements(faults)
    found: dict[Key, Outcome] = {}
    for attempt in run.attempts(faults):
        cell = cells.get(attempt.cell)
        if cell is not None:
            found[attempt.key] = reduce_attempt(attempt, cell, measured.get(attempt.key))
    if not found:
        raise StoreError(
            f"{run.folder}: no attempt yet, so there is nothing to report"
            f"{f' (left out: {summary(faults)})' if faults else ''}"
        )
    rates = make_rates(scope.prices, (_work(one) for one in found.values()))
    if scope.prices.known:
        found = {key: _priced(one, rates) for key, one in found.items()}
    return Outcomes(found, faults, rates)


def _work(outcome: Outcome) -> tuple[Cost, Cost]:
    """What policy and verifier did for the whole of an attempt."""
    return outcome.sizes[-1].policy, outcome.sizes[-1].verifier


def _priced(outcome: Outcome, rates: Rates) -> Outcome:
    sizes = (
        replace(at, policy=rates.of_policy(at.policy), verifier=rates.of_verifier(at.verifier))
        for at in outcome.sizes
    )
    return replace(outcome, sizes=tuple(sizes))


def reduce_attempt(attempt: Attempt, cell: CellRecord, measurement: Measurement | None) -> Outcome:
    """The numbers of one attempt, at every size of its cell."""
    pool = attempt.pool
    failed = attempt.status in ("error", "budget")
    distinct = [] if failed else distinct_draws(pool)
    return Outcome(
        sizes=tuple(_at_size(attempt, cell, n, failed, measurement) for n in cell.sizes),
        failed=failed,
        priced=attempt.status != "error",
        candidates=len(pool),
        truncated=_truncated(pool),
        unanswered=_unanswered(pool),
        ungraded=pool.correct.count(None),
        distinct=len(distinct),
        distinct_correct=sum(pool.correct[i] is True for i in distinct),
        drawn=_drawn(attempt, cell),
        drawing=attempt.policy,
        seconds=None if measurement is None else measurement.seconds,
        vote=majority_bounds(pool.answer_class, pool.correct)
        if cell.selector == "majority" and not failed
        else None,
        facts=attempt.facts,
        cached=None if measurement is None else measurement.policy_cached_tokens,
    )


def _truncated(pool: Pool) -> int | None:
    """Candidates that were cut off; None if it is not known of all."""
    if len(pool.finish_reason) < len(pool) or None in pool.finish_reason:
        return None
    return pool.finish_reason.count("length")


def _unanswered(pool: Pool) -> int | None:
    """Candidates without an answer; None if their answers are not known: each has a class."""
    pairs = zip(pool.answer, pool.answer_class, strict=False)
    if any(answer is None and number != NO_ANSWER for answer, number in pairs):
        return None
    return pool.answer.count(None)


def _at_size(
    attempt: Attempt, cell: CellRecord, n: int | None, failed: bool, measurement: Measurement | None
) -> AtSize:
    accuracy, error = _accuracy(attempt, cell, n, failed)
    largest = not cell.pooled or n is None or n == cell.at[-1]
    flops: tuple[float | None, float | None] = (None, None)
    cached: tuple[int | None, int | None] = (None, None)
    if measurement is not None:
        flops = (measurement.policy_flops, measurement.verifier_flops)
        cached = (measurement.policy_cached_tokens, measurement.verifier_cached_tokens)
    if largest:
        policy = whole_cost(attempt.policy, flops[0], cached[0])
        verifier = whole_cost(attempt.verifier, flops[1], cached[1])
        return AtSize(accuracy, error, policy, verifier)
    assert n is not None
    drawn = _drawn(attempt, cell)
    policy = subset_cost(attempt.policy, drawn, n, cached[0])
    verifier = subset_cost(attempt.verifier, drawn, n, cached[1])
    return AtSize(accuracy, error, policy, verifier)


def _drawn(attempt: Attempt, cell: CellRecord) -> int:
    return len(attempt.pool) or max(cell.at, default=1)


def _accuracy(
    attempt: Attempt, cell: CellRecord, n: int | None, failed: bool
) -> tuple[float, float]:
    """Probability of a right answer at this size, and its Monte-Carlo standard error."""
    if failed:
        return 0.0, 0.0
    pool = attempt.pool
    if not cell.pooled or n is None or not len(pool):
        return float(attempt.correct), 0.0
    if cell.selector is None and (noted := [one for one in attempt.expected if one[0] == n]):
        return noted[0][1:]
    if cell.selector is None or cell.selector not in SELECTORS:
        raise StoreError(f"cell {cell.id}: no selector {cell.selector!r} in this version")
    expectation = SELECTORS[cell.selector].expected(
        pool.answer_class,
        pool.score,
        pool.correct,
        min(n, len(pool)),
        seed=crc32(f"{attempt.seed}|{attempt.problem}".encode()),
    )
    return expectation.value, expectation.stderr
