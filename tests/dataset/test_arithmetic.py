from __future__ import annotations

import ast
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_bench.dataset.arithmetic import BOUND, LEVELS, Arithmetic
from tts_bench.dataset.base import Item
from tts_bench.errors import DatasetError


def tree(item: Item) -> ast.expr:
    text = item.problem.text
    assert text.startswith("Compute ")
    assert text.endswith(".")
    return ast.parse(text[len("Compute ") : -1], mode="eval").body


def values(node: ast.expr) -> list[int]:
    """Every intermediate value; the last is that of the whole expression."""
    if isinstance(node, ast.Constant):
        return [int(node.value)]
    assert isinstance(node, ast.BinOp)
    left, right = values(node.left), values(node.right)
    if isinstance(node.op, ast.Add):
        value = left[-1] + right[-1]
    elif isinstance(node.op, ast.Sub):
        value = left[-1] - right[-1]
    else:
        assert isinstance(node.op, ast.Mult)
        value = left[-1] * right[-1]
    return [*left, *right, value]


def numbers(item: Item) -> list[int]:
    found = [node.value for node in ast.walk(tree(item)) if isinstance(node, ast.Constant)]
    return [int(value) for value in found if isinstance(value, int)]


def operations(item: Item) -> int:
    return sum(isinstance(node, ast.BinOp) for node in ast.walk(tree(item)))


def test_references_are_right_and_values_stay_within_bounds() -> None:
    for item in Arithmetic(problems=2000).load():
        steps = values(tree(item))
        assert item.reference == str(steps[-1])
        assert min(steps) >= 1
        assert max(steps) <= BOUND


def test_no_problem_comes_twice() -> None:
    loaded = Arithmetic(problems=2000).load()
    assert len({item.problem.text for item in loaded}) == 2000
    assert len({item.problem.id for item in loaded}) == 2000


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**40),
    short=st.integers(1, 40),
    more=st.integers(0, 40),
    levels=st.lists(st.sampled_from(list(LEVELS)), unique=True, min_size=1),
)
def test_prefix_of_a_longer_set_is_the_shorter_set(
    seed: int, short: int, more: int, levels: list[int]
) -> None:
    long = Arithmetic(problems=short + more, seed=seed, levels=tuple(levels)).load()
    assert Arithmetic(short, seed, tuple(levels)).load().items == long.items[:short]


def test_problem_of_an_id_does_not_depend_on_the_other_levels() -> None:
    alone = {item.problem.id: item for item in Arithmetic(problems=10, levels=(3,)).load()}
    among = {item.problem.id: item for item in Arithmetic(problems=50).load()}
    assert all(among[name] == item for name, item in alone.items())


def test_levels_take_turns() -> None:
    loaded = Arithmetic(problems=12, seed=4).load()
    assert [item.problem.level for item in loaded] == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    assert [item.problem.id for item in loaded][4:6] == ["arithmetic/4/5/0", "arithmetic/4/1/1"]


def test_every_level_has_its_number_of_operations() -> None:
    for item in Arithmetic(problems=500).load():
        assert operations(item) == LEVELS[item.problem.level or 0].operations


def test_higher_levels_have_more_operations() -> None:
    counts = [LEVELS[level].operations for level in sorted(LEVELS)]
    assert all(low < high for low, high in pairwise(counts))


def test_first_levels_are_sums_and_differences_of_small_numbers() -> None:
    for item in Arithmetic(problems=100, levels=(1, 2)).load():
        assert "*" not in item.problem.text
        assert max(numbers(item)) <= LEVELS[item.problem.level or 0].largest


def test_products_are_of_numbers_with_one_digit() -> None:
    factors = [
        factor.value
        for item in Arithmetic(problems=100, levels=(3, 4, 5)).load()
        for node in ast.walk(tree(item))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
        for factor in (node.left, node.right)
        if isinstance(factor, ast.Constant)
    ]
    assert set(factors) == set(range(2, 10))


def test_problems_of_a_seed_never_change() -> None:
    # A change here changes what stored runs were measured on.
    assert [(item.problem.text, item.reference) for item in Arithmetic(problems=5).load()] == [
        ("Compute 29 - 24.", "5"),
        ("Compute 31 - 22 + 35.", "44"),
        ("Compute 8 * 5 - 8 * 3 + 25.", "41"),
        ("Compute 25 + 9 - 8 - 17 - 8 + 12 + 22 - 28.", "7"),
        ("Compute 29 - 12 + 2 * 4 + 16 - 29 + 38 - 32 - 8 * 2 + 39 - 19.", "22"),
    ]


def test_seeds_differ() -> None:
    hashes = {Arithmetic(problems=50, seed=seed).load().content_hash for seed in range(5)}
    assert len(hashes) == 5


def test_used_up_level_is_refused() -> None:
    # 900 ordered sums and 435 positive differences of numbers up to 30; the search gives up after
    # 1000 draws in a row without a new one, so it leaves a few of them.
    with pytest.raises(DatasetError, match=r"level 1 has only 1[23]\d\d problems"):
        Arithmetic(problems=1336, levels=(1,)).load()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"problems": 0}, "problems: 0 is less than 1"),
        ({"levels": ()}, "is empty or names a level twice"),
        ({"levels": (1, 1)}, "is empty or names a level twice"),
        ({"levels": (1, 6)}, "no level 6, only 1 to 5"),
    ],
)
def test_impossible_settings_are_refused(setting: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Arithmetic(**setting)  # type: ignore[arg-type]
