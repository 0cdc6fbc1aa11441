"""Paired tests against enumeration by hand, scipy and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tts_bench.stats.significance import detectable_difference, holm, mcnemar_exact, sign_flip_p


def test_mcnemar_needs_six_one_sided_flips() -> None:
    assert mcnemar_exact(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar_exact(6, 0) == mcnemar_exact(0, 6) == pytest.approx(2 / 2**6)
    assert mcnemar_exact(6, 0) < 0.05 < mcnemar_exact(5, 0)
    assert mcnemar_exact(0, 0) == mcnemar_exact(3, 3) == 1.0


def test_sign_flips_are_enumerated_where_they_are_few():
    differences = [0.5, 0.25, -0.125, 0.75, 0.0]
    moved = [d for d in differences if d]
    flips = [abs(np.dot(signs, moved)) for signs in product([1, -1], repeat=len(moved))]
    expected = np.mean([flip >= abs(sum(moved)) - 1e-12 for flip in flips])
    assert sign_flip_p(differences) == pytest.approx(expected)


def test_sign_flips_of_solved_problems_are_mcnemars_test():
    differences = [1.0] * 7 + [-1.0] * 2 + [0.0] * 20
    assert sign_flip_p(differences) == pytest.approx(mcnemar_exact(7, 2))


def test_without_any_difference_nothing_is_significant():
    assert sign_flip_p([0.0, 0.0]) == sign_flip_p([]) == 1.0


@pytest.mark.parametrize("moved", [[0.5], [-0.5], [0.5, 0.0, 0.0], [0.25, -0.25]])
def test_one_or_two_differences_are_never_significant(moved):
    """One is as large with either sign; of two, one sign in two is at least as extreme."""
    assert sign_flip_p(moved) == 1.0
    assert sign_flip_p([0.5, 0.25]) == 0.5


def test_sign_flips_keep_their_level_on_many_problems():
    rng = np.random.default_rng(0)
    p_values = [sign_flip_p(rng.normal(size=40) / 10, resamples=399) for _ in range(300)]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.035)


def test_holm_by_hand():
    # Sorted .01 .02 .04 by 3, 2, 1; an adjusted value is never below the one before it.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_detectable_difference_is_found_with_its_power():
    stderr, rng = 0.03, np.random.default_rng(1)
    drop = detectable_difference(stderr)
    assert drop == pytest.approx((1.6449 + 0.8416) * stderr, rel=1e-4)
    seen = rng.normal(-drop, stderr, 20_000) + 1.6449 * stderr < 0
    assert np.mean(seen) == pytest.approx(0.8, abs=0.01)
