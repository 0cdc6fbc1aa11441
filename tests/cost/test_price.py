from __future__ import annotations

import pytest

from tts_bench.cost.price import Price


def test_tokens_are_paid_by_the_million():
    price = Price(input=2.0, cached_input=0.5, output=10.0)
    assert price.of_tokens(1_000_000, 0, 0) == 2.0
    assert price.of_tokens(1_000_000, 400_000, 0) == pytest.approx(0.6 * 2 + 0.4 * 0.5)
    assert price.of_tokens(0, 0, 300_000) == pytest.approx(3.0)


def test_without_a_price_of_its_own_cached_input_is_paid_as_any_other():
    assert Price(input=2.0, output=1.0).of_tokens(1e6, 4e5, 0) == 2.0


def test_what_is_not_known_to_be_cached_is_paid_as_input():
    assert Price(input=2.0, cached_input=0.5, output=1.0).of_tokens(1e6, None, 0) == 2.0


@pytest.mark.parametrize("counts", [(None, 0, 5), (5, 0, None)])
def test_an_unknown_count_has_no_price(counts):
    assert Price(input=1.0, output=1.0).of_tokens(*counts) is None


def test_what_is_free_needs_no_count():
    assert Price(input=0, output=10.0).of_tokens(None, None, 100_000) == 1.0


def test_a_price_that_is_needed_and_unknown_makes_the_whole_unknown():
    reads = Price(input=1.0)
    assert reads.of_tokens(1e6, 0, 0) == 1.0
    assert reads.of_tokens(1e6, 0, 1) is None
    assert Price(output=1.0).of_tokens(1, 0, 1) is None


def test_gpus_are_paid_by_the_hour():
    assert Price(gpu_hour=3.0, gpus=8).of_hours(1800) == 12.0
    assert Price(gpu_hour="shared").of_hours(1800) is None
    assert Price(input=1.0, output=1.0).of_hours(1800) is None
