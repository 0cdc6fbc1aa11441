from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Budget, Call, Ledger, Meter, PrefixIndex
from tts_bench.errors import BudgetExhausted, UsageError
from tts_bench.types import Usage

SHAPE = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocab=32)
ids = st.lists(st.integers(0, 2), max_size=8).map(tuple)


def longest_known(known: list[tuple[int, ...]], new: tuple[int, ...]) -> int:
    return max((k for old in known for k in range(len(new) + 1) if old[:k] == new[:k]), default=0)


@given(st.lists(ids, max_size=12))
def test_the_prefix_index_agrees_with_a_search_through_all_sequences(sequences):
    index, known = PrefixIndex(), []
    for sequence in sequences:
        assert index.add(sequence) == longest_known(known, sequence)
        known.append(sequence)


def test_best_of_n_pays_its_prompt_n_times_logically_and_once_ideally():
    meter = Meter(SHAPE)
    prompt = tuple(range(10))
    meter.charge([Call(prompt, 5, cached) for cached in (0, 9, 9, 9)])
    usage = meter.usage
    assert (usage.requests, usage.completion_tokens) == (4, 20)
    assert (usage.prompt_tokens_logical, usage.prompt_tokens_ideal) == (40, 10)
    whole = SHAPE.prefill(10) + SHAPE.decode(10, 5)
    assert usage.flops_logical == pytest.approx(4 * whole)
    assert usage.flops_ideal == pytest.approx(SHAPE.prefill(10) + 4 * SHAPE.decode(10, 5))
    assert meter.measured_flops == pytest.approx(whole + 3 * SHAPE.completion(10, 5, 9))
    assert meter.cached_tokens == 27


def test_a_continuation_pays_ideally_only_what_was_not_computed():
    meter = Meter(SHAPE)
    prompt, written = (1, 2, 3), (4, 5, 6, 7)
    meter.charge([Call(prompt, len(written))])
    # The last written token has not been read by the model yet: one token is left to prefill.
    meter.note_computed(prompt + written[:-1])
    meter.charge([Call(prompt + written, 2), Call(prompt + written, 2)])
    assert meter.usage.prompt_tokens_ideal == 3 + 1
    assert meter.usage.prompt_tokens_logical == 3 + 7 + 7


def test_an_api_is_charged_by_its_own_counts():
    """A prompt of the same text costs its tokens once ideally; a beginning of it, in proportion."""
    meter = Meter(SHAPE)
    text = tuple(range(40))
    meter.charge([Call(text, 5, 4, prompt_tokens=10), Call(text, 7, 8, prompt_tokens=10)])
    usage = meter.usage
    assert (usage.completion_tokens, usage.prompt_tokens_logical) == (12, 20)
    assert (usage.prompt_tokens_ideal, meter.cached_tokens) == (10, 12)
    assert usage.flops_logical == pytest.approx(SHAPE.completion(10, 5) + SHAPE.completion(10, 7))
    meter.charge([Call((*text, *range(100, 140)), 1, prompt_tokens=20)])
    assert meter.usage.prompt_tokens_ideal == 10 + 10


def test_what_nobody_counted_is_unknown_from_then_on():
    meter = Meter(SHAPE)
    meter.charge([Call((1, 2), 3, prompt_tokens=2)])
    meter.charge([Call((1, 2), None), Call((1, 2), 3, prompt_tokens=2)])
    meter.charge([Call((1, 2), 3, prompt_tokens=2)])
    assert meter.usage == Usage(4, None, None, None, None, None)
    assert meter.measured_flops is None


def test_a_budget_cannot_be_held_where_nobody_counts():
    ledger = Ledger(Meter(None), Meter(None), Budget(tokens=100))
    ledger.policy.charge([Call((1, 2), None)])
    with pytest.raises(UsageError, match=r"budget\.tokens cannot be held"):
        ledger.grant(1, 10)


def test_flops_of_an_unknown_shape_are_unknown_and_not_zero():
    meter = Meter(None)
    meter.charge([Call((1, 2), 3)])
    assert meter.usage.flops_logical is None
    assert meter.usage.flops_ideal is None
    assert meter.measured_flops is None
    assert meter.usage.completion_tokens == 3


def test_calls_that_read_are_charged_without_writing_and_stand_beside_those_that_write():
    """By hand: a token takes 2304 operations, a key attended to 64, a position's logits 512."""
    meter = Meter(SHAPE)
    text, other = tuple(range(10)), (0, 1, 2, 3, *range(20, 26))
    meter.charge([Call(text, 0, logits=0), Call(other, 0, 4, logits=3), Call(text[:4], 5)])
    reward = 10 * 2304 + 64 * 55
    steps, rest = reward + 3 * 512, 6 * 2304 + 64 * (55 - 10) + 3 * 512
    reading, writing = 4 * 2304 + 64 * 10 + 512, 4 * (2304 + 512) + 64 * (5 + 6 + 7 + 8)
    assert meter.usage.flops_logical == reward + steps + reading + writing == 77952
    assert meter.usage.flops_ideal == reward + rest + writing == 57728
    assert meter.measured_flops == reward + rest + reading + writing == 68096
    assert (meter.usage.requests, meter.usage.completion_tokens) == (3, 5)
    assert (meter.usage.prompt_tokens_logical, meter.usage.prompt_tokens_ideal) == (24, 16)


def test_no_model_costs_nothing():
    assert Meter(None, has_model=False).usage.flops_ideal == 0.0


def ledger(tokens: int | None) -> Ledger:
    return Ledger(Meter(SHAPE), Meter(None, has_model=False), Budget(tokens))


@given(st.integers(1, 60), st.integers(1, 20), st.integers(1, 20))
def test_a_grant_never_exceeds_the_budget_and_wastes_less_than_a_token_per_call(
    budget, calls, max_tokens
):
    granted, tokens = ledger(budget).grant(calls, max_tokens)
    assert 1 <= granted <= calls
    assert 1 <= tokens <= max_tokens
    assert granted * tokens <= budget
    if granted < calls:
        assert granted == budget
    elif tokens < max_tokens:
        assert granted * (tokens + 1) > budget


def test_what_is_granted_is_reserved_until_it_is_settled():
    account = ledger(100)
    assert account.grant(4, 15) == (4, 15)
    assert account.left == 40
    assert account.grant(4, 15) == (4, 10)
    with pytest.raises(BudgetExhausted):
        account.grant(1, 1)
    account.settle(4, 10)
    account.settle(4, 15)
    assert account.left == 100


def test_a_spent_budget_grants_nothing():
    account = ledger(4)
    account.policy.charge([Call((1,), 4)])
    assert account.left == 0
    with pytest.raises(BudgetExhausted, match="budget of 4 tokens is spent"):
        account.grant(1, 1)


def test_without_a_budget_everything_is_granted():
    assert ledger(None).grant(7, 100) == (7, 100)
    assert ledger(None).left is None


@pytest.mark.parametrize("many", [1, 3, 7, 8, 40])
def test_calls_of_all_kinds_are_summed_up_to_the_bit(many: int):
    """Totals of stored attempts are numpy's sums, however few or many calls they are of."""
    shape = replace(SHAPE, hidden=8192, layers=81, intermediate=28673, vocab=151937)
    rng = np.random.default_rng(many)
    sizes = rng.integers(1, 4000, many)
    written, logits = rng.integers(0, 900, many), rng.integers(0, 9, many)
    cached, reads = rng.integers(0, sizes + 1), rng.random(many) < 0.3
    calls = [
        Call(
            (int(number), *range(int(size) - 1)),
            int(w),
            int(c),
            logits=int(x) if reading else None,
        )
        for number, size, w, c, x, reading in zip(
            range(many), sizes, written, cached, logits, reads, strict=True
        )
    ]
    meter = Meter(shape)
    meter.charge(calls)
    for total, known in (
        (meter.usage.flops_logical, np.zeros_like(sizes)),
        (meter.measured_flops, cached),
    ):
        generation = shape.completion(sizes, written, known)
        reading = shape.scoring(sizes, known, logits=logits)
        assert total == float(np.sum(np.where(reads, reading, generation)))
