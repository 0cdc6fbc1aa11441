from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_bench.strategy.select import (
    SELECTORS,
    best,
    expected_best,
    expected_majority,
    expected_weighted,
    majority,
    weighted,
)

# --- the rules ---------------------------------------------------------------------------------


def test_best_takes_the_highest_score_and_of_equals_the_first() -> None:
    assert best([0.1, 0.9, 0.9]) == 1
    assert best([]) is None
    assert best([-math.inf, -math.inf]) == 0


def test_best_passes_over_what_is_not_eligible() -> None:
    assert best([0.9, 0.1, 0.5], eligible=[False, True, True]) == 2
    assert best([0.9], eligible=[False]) is None


@pytest.mark.parametrize("scores", [[math.nan], [0.5, math.nan]])
def test_best_refuses_nan(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="NaN"):
        best(scores)
    with pytest.raises(ValueError, match="NaN"):
        expected_best(scores, [True] * len(scores), 1)


def test_majority_takes_the_first_of_the_largest_class() -> None:
    assert majority([3, 1, 1]) == 1
    assert majority([3, 1, 1, 3]) == 0
    assert majority([]) is None


def test_candidates_without_answer_never_vote_and_never_win() -> None:
    assert majority([-1, -1, -1, 4]) == 3
    assert weighted([-1, 4], [9.0, 0.1]) == 1
    assert majority([-1, -1]) is None
    assert SELECTORS["best"].choose([-1, 0], [9.0, 0.1]) == 1
    assert SELECTORS["first"].choose([-1, 0]) is None


def test_weighted_takes_the_class_with_the_largest_sum() -> None:
    assert weighted([0, 1, 1], [0.5, 0.3, 0.3]) == 1
    assert weighted([0, 1, 1], [0.7, 0.3, 0.3]) == 0


def test_weighted_calls_a_tie_what_differs_by_rounding_only() -> None:
    assert 0.1 + 0.2 != 0.3
    assert weighted([0, 1, 1], [0.3, 0.1, 0.2]) == 0


def test_a_tie_does_not_depend_on_the_scores_of_other_answers() -> None:
    """A huge score, or two that cancel, made a tie of what others have in a clear order."""
    classes, scores = [0, 1, 2, 2], [0.5, 0.7, -1e13, 0.1]
    assert weighted(classes[:2], scores[:2]) == weighted(classes, scores) == 1
    right = [False, True, False, False]
    for n in (2, 4):
        alone = expected_weighted([0, 1], [0.5, 0.7], [False, True], 2)
        assert alone.value == 1.0
        assert expected_weighted(classes, scores, right, n).value == {2: 3 / 6, 4: 1.0}[n]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_weighted_refuses_what_cannot_be_summed(score: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        weighted([0, 1], [0.5, score])
    with pytest.raises(ValueError, match="not finite"):
        expected_weighted([0, 1], [0.5, score], [True, False], 1)


# --- expectations against every ordered choice --------------------------------------------------

Choose = Callable[[Sequence[int], Sequence[float]], int | None]


def by_brute_force(
    choose: Choose, classes: list[int], scores: list[float], correct: list[bool], n: int
) -> Fraction:
    """Share of correct choices over all n-subsets in all their orders."""
    right = total = 0
    for drawn in itertools.permutations(range(len(classes)), n):
        chosen = choose([classes[i] for i in drawn], [scores[i] for i in drawn])
        right += chosen is not None and correct[drawn[chosen]]
        total += 1
    return Fraction(right, total)


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[int], list[float], list[bool], int]:
    """Up to six candidates, with ties, missing answers and one or two correct classes."""
    classes = draw(st.lists(st.integers(-1, 3), min_size=1, max_size=6))
    scores = draw(
        st.lists(
            st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.6, -0.1]),
            min_size=len(classes),
            max_size=len(classes),
        )
    )
    right = draw(st.sets(st.integers(0, 3), max_size=2))
    n = draw(st.integers(1, len(classes)))
    return classes, scores, [answer in right for answer in classes], n


@pytest.mark.parametrize("name", ["best", "majority", "weighted"])
@settings(max_examples=300, deadline=None)
@given(pool=pools())
def test_expectation_equals_the_mean_over_all_subsets_in_all_orders(
    name: str, pool: tuple[list[int], list[float], list[bool], int]
) -> None:
    classes, scores, correct, n = pool
    selector = SELECTORS[name]
    expected = selector.expected(classes, scores, correct, n)
    assert expected.value == pytest.approx(
        float(by_brute_force(selector.choose, classes, scores, correct, n)), abs=1e-12
    )
    assert expected.stderr == 0.0


def test_expectation_over_seven_candidates_with_every_kind_of_tie() -> None:
    classes = [0, 1, -1, 1, 0, 2, -1]
    scores = [0.5, 0.5, 0.9, 0.1, 0.5, 1.0, 0.2]
    correct = [False, True, False, True, False, False, False]
    for name, n in itertools.product(("best", "majority", "weighted"), range(1, 8)):
        selector = SELECTORS[name]
        expected = selector.expected(classes, scores, correct, n).value
        brute = by_brute_force(selector.choose, classes, scores, correct, n)
        assert expected == pytest.approx(float(brute), abs=1e-12)


def test_best_by_candidate_not_by_class() -> None:
    """Where grading tells members of one class apart, each candidate counts as itself."""
    assert expected_best([0.2, 0.2, 0.1], [True, False, True], 3) == pytest.approx(0.5)


def test_first_is_worth_one_draw_whatever_n_is() -> None:
    classes, correct = [0, -1, 1, 0], [True, False, False, True]
    for n in (1, 4):
        assert SELECTORS["first"].expected(classes, [], correct, n).value == pytest.approx(0.5)


def test_ungraded_counts_as_wrong() -> None:
    assert expected_best([0.5, 0.4], [None, True], 1) == pytest.approx(0.5)
    assert expected_majority([0, 0, 1], [None, None, True], 3) == 0.0


def test_a_class_is_as_correct_as_its_first_member() -> None:
    assert expected_majority([0, 0, 0], [True, False, False], 3) == 1.0


@pytest.mark.parametrize("name", list(SELECTORS))
@pytest.mark.parametrize("n", [0, 3])
def test_n_lies_within_the_pool(name: str, n: int) -> None:
    with pytest.raises(ValueError, match="between 1 and"):
        SELECTORS[name].expected([0, 1], [0.1, 0.2], [True, False], n)


@pytest.mark.parametrize("name", ["best", "weighted"])
def test_a_rule_that_needs_scores_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="needs a score"):
        SELECTORS[name].choose([0, 1])


# --- large pools against exact arithmetic -------------------------------------------------------


def majority_exactly(sizes: list[int], mute: int, n: int) -> Fraction:
    """The first class's chance to win, by polynomials over the integers in x (draws) and y (ties).

    Sum over m of C(c*, m) · [x^(n-m) y^t] product of (sum over i < m of C(c,i) x^i, plus
    y·C(c,m) x^m) / (1 + t), over C(N, n).
    """
    total = Fraction(0)
    for m in range(1, min(sizes[0], n) + 1):
        poly = {(i, 0): math.comb(mute, i) for i in range(min(mute, n - m) + 1)}
        for size in sizes[1:]:
            grown: dict[tuple[int, int], int] = {}
            for (x, t), ways in poly.items():
                for i in range(min(m, size, n - m - x) + 1):
                    key = (x + i, t + (i == m))
                    grown[key] = grown.get(key, 0) + ways * math.comb(size, i)
            poly = grown
        wins = sum(Fraction(ways, 1 + t) for (x, t), ways in poly.items() if x == n - m)
        total += math.comb(sizes[0], m) * wins
    return total / math.comb(sum(sizes) + mute, n)


def classes_of(sizes: list[int], mute: int) -> list[int]:
    labels = [answer for answer, size in enumerate(sizes) for _ in range(size)]
    return labels + [-1] * mute


@pytest.mark.parametrize(
    ("sizes", "mute"),
    [
        ([14, 14, 9, 5, 5, 2, 1, 1, 1], 8),
        ([3, *[1] * 40], 0),
        ([2, 20, 2, 2], 10),
        ([30, 1, 1], 0),
        ([1], 59),
        ([7] * 7, 0),
    ],
)
@pytest.mark.parametrize("n", [2, 3, 8, 24])
def test_majority_is_exact_for_pools_of_some_fifty(sizes: list[int], mute: int, n: int) -> None:
    classes = classes_of(sizes, mute)
    correct = [answer == 0 for answer in classes]
    exact = float(majority_exactly(sizes, mute, n))
    assert expected_majority(classes, correct, n) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(("size", "rest"), [(90, 166), (128, 128), (1900, 2100)])
@pytest.mark.parametrize("n", [16, 65, 250])
def test_majority_of_two_classes_is_hypergeometric(size: int, rest: int, n: int) -> None:
    pool = size + rest
    wins = sum(
        Fraction(math.comb(size, m) * math.comb(rest, n - m), 2 if 2 * m == n else 1)
        for m in range((n + 1) // 2, min(n, size) + 1)
    )
    classes = [0] * size + [1] * rest
    exact = float(wins / math.comb(pool, n))
    correct = [answer == 0 for answer in classes]
    assert expected_majority(classes, correct, n) == pytest.approx(exact, abs=1e-11)


def test_majority_of_a_large_pool_shares_one_among_its_classes() -> None:
    """Some class wins whenever one has an answer: the chances of all classes sum to 1."""
    rng = np.random.default_rng(0)
    classes = rng.zipf(1.5, size=256).clip(max=120).tolist()
    for n in (4, 16, 64, 200, 255):
        chances = [
            expected_majority(classes, [answer == right for answer in classes], n)
            for right in set(classes)
        ]
        assert sum(chances) == pytest.approx(1.0, abs=1e-11)


def test_best_of_n_equals_exact_weights_in_a_large_pool() -> None:
    rng = np.random.default_rng(1)
    scores, correct = rng.random(256), rng.random(256) < 0.3
    ranked = correct[np.argsort(scores)]
    for n in (1, 16, 255, 256):
        exact = sum(
            Fraction(math.comb(i, n - 1), math.comb(256, n)) for i in range(256) if ranked[i]
        )
        assert expected_best(scores.tolist(), correct.tolist(), n) == pytest.approx(
            float(exact), abs=1e-13
        )


# --- the weighted vote's sampling ---------------------------------------------------------------


def test_weighted_with_equal_scores_is_majority_within_its_error() -> None:
    rng = np.random.default_rng(2)
    misses = []
    for seed in range(40):
        classes = rng.integers(-1, 6, size=64).tolist()
        correct = [answer == 2 for answer in classes]
        sampled = expected_weighted(classes, [0.1] * 64, correct, 9, seed=seed)
        exact = expected_majority(classes, correct, 9)
        misses.append((sampled.value - exact) / sampled.stderr)
    assert np.abs(np.mean(misses)) < 3 / math.sqrt(40)
    assert 0.6 < np.std(misses) < 1.5


def test_weighted_is_exact_at_both_ends_and_repeatable_between() -> None:
    rng = np.random.default_rng(3)
    classes, scores = rng.integers(0, 9, size=64).tolist(), rng.random(64).tolist()
    correct = [answer == 2 for answer in classes]
    one = expected_weighted(classes, scores, correct, 1, subsets=8)
    assert (one.value, one.stderr) == (pytest.approx(np.mean(correct)), 0.0)
    everything = expected_weighted(classes, scores, correct, 64)
    chosen = weighted(classes, scores)
    assert chosen is not None
    assert (everything.value, everything.stderr) == (float(correct[chosen]), 0.0)
    assert expected_weighted(classes, scores, correct, 9, seed=5) == expected_weighted(
        classes, scores, correct, 9, seed=5
    )


def test_a_class_that_was_not_drawn_does_not_beat_one_below_zero() -> None:
    assert expected_weighted([0, 1], [-1.0, -2.0], [False, True], 1).value == 0.5
