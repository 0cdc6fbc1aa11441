"""When to stop drawing, and which problems to draw more for: against independent computations."""

from __future__ import annotations

import itertools

import pytest
from scipy import integrate, stats

from tts_bench.strategy.stopping import (
    expected_gain,
    first_agreed,
    first_sure,
    lead_confidence,
    leading_share,
    share_out,
)


@pytest.mark.parametrize(("first", "second"), itertools.product(range(1, 9), range(9)))
def test_the_lead_is_the_beta_probability(first, second):
    if second > first:
        return
    classes = [0] * first + [1] * second + [2] * min(second, 1) + [-1] * 3
    beta = stats.beta(first + 1, second + 1)
    assert lead_confidence(classes) == pytest.approx(beta.sf(0.5), abs=1e-12)


def test_four_equal_answers_are_the_least_that_are_sure():
    assert lead_confidence([0] * 4) == pytest.approx(31 / 32)
    assert first_sure([0] * 9, 0.95) == 4
    assert lead_confidence([0] * 3) == pytest.approx(15 / 16)


def test_no_answer_is_never_sure():
    assert lead_confidence([]) == lead_confidence([-1] * 50) == 0.0
    assert first_sure([-1] * 50, 0.6) is None


def test_the_earliest_draw_counts_though_later_ones_disagree():
    classes = [0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]
    # Four to one: P(Beta(5, 2) > 1/2) = 57/64 = 0.891; five to one: 120/128 = 0.9375.
    assert first_sure(classes, 0.9) == 6
    assert first_sure(classes[:5], 0.9) is None
    assert lead_confidence(classes) < 0.9


def test_windows_do_not_overlap_and_none_agrees_with_nothing():
    assert first_agreed([0, 1, 1, 1, 1, 1], 3) == 6
    assert first_agreed([0, 1, 1, 1, 1], 3) is None  # the second window is not full
    assert first_agreed([-1, -1, -1, 2, 2, 2], 3) == 6
    assert first_agreed([0, 0, 0], 3) == 3


def test_the_leading_share():
    assert leading_share([0, 0, 1, -1]) == 0.5
    assert leading_share([0, 0, 1, -1], [0.1, 0.2, 0.9, 1.0]) == pytest.approx(0.225)
    assert leading_share([-1, -1]) == leading_share([]) == 0.0


@pytest.mark.parametrize(("successes", "trials", "draws"), [(0, 4, 4), (2.5, 4, 7), (4, 4, 30)])
def test_the_expected_gain_is_the_integral(successes, trials, draws):
    beta = stats.beta(1 + successes, 1 + trials - successes)
    whole, _ = integrate.quad(lambda p: beta.pdf(p) * p * (1 - p) ** draws, 0, 1)
    assert expected_gain(successes, trials, draws) == pytest.approx(whole, rel=1e-6)


def test_sharing_out_is_as_good_as_the_best_of_all_ways():
    successes, probe, total, most = [4.0, 2.0, 0.0], 4, 24, 12

    def worth(given):
        return sum(
            expected_gain(part, probe, draws)
            for part, n in zip(successes, given, strict=True)
            for draws in range(probe, n)
        )

    ways = itertools.product(range(probe, most + 1), repeat=3)
    best = max(worth(way) for way in ways if sum(way) == total)
    given = share_out(successes, probe, total, most)
    assert sum(given) == total
    assert worth(given) == pytest.approx(best)


def test_problems_that_agree_get_less():
    given = share_out([4, 1, 4], 4, 30, 64)
    assert sum(given) == 30
    assert given[1] > given[0] == given[2]


def test_equal_problems_get_equal_shares_and_the_first_ones_what_is_left():
    assert share_out([1, 1, 1], 2, 11, 64) == [4, 4, 3]


def test_what_nobody_may_have_is_not_given():
    assert share_out([0, 0], 2, 100, 5) == [5, 5]
    assert share_out([], 4, 0, 5) == []
    assert share_out([1, 1], 4, 8, 64) == [4, 4]
