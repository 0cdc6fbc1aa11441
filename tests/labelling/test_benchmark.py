"""The figures of benchmarks/step_labels.py, by hand."""

from __future__ import annotations

import runpy
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from tts_bench.labelling.label_file import LabelRow
from tts_bench.labelling.rollouts import labels_of
from tts_bench.steps import first_error

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "step_labels.py"


@pytest.fixture(scope="module")
def benchmark() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def row(problem: str, value: int, outcomes: tuple[str, ...], *, correct: bool) -> LabelRow:
    """A solution of `Compute 2 + 3 - 1.` whose first result is `value`."""
    labels = labels_of(outcomes, correct).labels
    steps = (f"<think>2 + 3 = {value}\n\n", f"{value} - 1 = {value - 1}\n\n")
    return LabelRow(
        id=f"{problem}/{value}",
        problem_id=problem,
        prompt="Compute 2 + 3 - 1.",
        completions=(*steps, f"</think>\\boxed{{{value - 1}}}"),
        labels=labels,
        method="mc",
        first_error=first_error(labels),
        outcomes=(*outcomes, ""),
        correct=correct,
    )


ROWS = [
    row("a", 5, ("1011", "1111"), correct=True),
    row("b", 6, ("0100", "0000"), correct=False),
    row("c", 5, ("0000", "1110"), correct=True),
]


def test_labels_of_few_rollouts_are_judged_by_the_exact_check(benchmark):
    assert [benchmark.exact(one) for one in ROWS] == [(True,) * 3, (False,) * 3, (True,) * 3]
    one = benchmark.judge(ROWS, partial(benchmark.with_monte_carlo, rollouts=1, threshold=0.0))
    # Steps up to the first wrong one: three, one and three; only c's first is mislabelled.
    assert (one["steps_alike"]["value"], one["steps_alike"]["of"]) == (round(6 / 7, 4), 7)
    assert one["wrong_steps_labelled_right"]["value"] == 0
    assert one["right_steps_labelled_wrong"]["value"] == round(1 / 6, 4)
    assert one["same_first_error"]["value"] == round(2 / 3, 4)
    # The second rollout behind b's wrong step is right all the same.
    two = benchmark.judge(ROWS, partial(benchmark.with_monte_carlo, rollouts=2, threshold=0.0))
    assert two["wrong_steps_labelled_right"]["value"] == 1
    half = benchmark.judge(ROWS, partial(benchmark.with_monte_carlo, rollouts=2, threshold=0.5))
    assert half["wrong_steps_labelled_right"]["value"] == 0


def test_the_search_uses_the_same_draws_and_counts_them(benchmark):
    found = benchmark.search(ROWS, 2)
    # a and c are right and cost nothing; b's first step passes, and its second is probed.
    assert found["rollouts_per_solution"] == round(2 * 2 / 3, 1)
    assert found["wrong_steps_labelled_right"]["value"] == 1
    assert found["right_steps_labelled_wrong"]["value"] == 0


def test_the_bias_is_the_share_of_right_rollouts_behind_a_wrong_step(benchmark):
    found = benchmark.bias(ROWS)
    assert found["rollouts_right_behind_a_wrong_step"]["value"] == 0.25
    right = (3 / 4 + 1 + 0 + 3 / 4) / 4
    assert found["rollouts_right_behind_a_right_step"]["value"] == round(right, 4)
    assert found["right_answers_with_a_wrong_step"] == {"value": 0, "ci95": [0, 0], "of": 2}
