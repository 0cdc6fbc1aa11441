"""The plan of batches: what is trained on, in which order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tts_bench.errors import DatasetError
from tts_bench.training.config import PolicyConfig, Stage
from tts_bench.training.data import Example, plan_batches, within

LENGTHS = [3 + (7 * i) % 40 for i in range(500)]


def config(**keys: object) -> PolicyConfig:
    return PolicyConfig(output="o", model="m", learning_rate=1.0, data=("d",), **keys)


def test_each_epoch_has_every_row_once():
    plan = plan_batches([LENGTHS], config(epochs=3, batch_size=7))
    assert Counter(i for batch in plan.batches for i in batch) == dict.fromkeys(range(500), 3)
    assert plan.steps == 3 * 72
    half = len(plan.batches) // 3
    assert plan.batches[:half] != plan.batches[half : 2 * half]


def test_batches_hold_as_many_tokens_as_fit_with_little_padding():
    plan = plan_batches([LENGTHS], config(batch_tokens=400))
    longest = [len(batch) * max(LENGTHS[i] for i in batch) for batch in plan.batches]
    assert max(longest) <= 400
    assert sum(LENGTHS) / sum(longest) > 0.9


def test_a_row_longer_than_a_batch_is_a_batch_of_its_own():
    plan = plan_batches([[10, 500, 10]], config(batch_tokens=100))
    assert sorted(plan.batches, key=len) == [(1,), (0, 2)] or (1,) in plan.batches


def test_stages_follow_each_other_and_steps_end_with_them():
    stages = (Stage(data=("a",), epochs=2), Stage(data=("b",)))
    two = config(stages=stages, batch_size=2, accumulate=2)
    plan = plan_batches([[5] * 10, [5] * 6], two)
    assert plan.stage_of_step == (0, 0, 0, 0, 0, 0, 1, 1)
    assert len(plan.batches) == 16
    assert all(i < 10 for batch in plan.batches[:12] for i in batch)
    assert all(i >= 10 for batch in plan.batches[12:] for i in batch)


@pytest.mark.parametrize("steps", [3, 200])
def test_max_steps_cuts_off_or_repeats_the_last_stage(steps: int):
    assert plan_batches([[5] * 20], config(batch_size=2, max_steps=steps)).steps == steps


def test_the_seed_alone_decides_the_order():
    plans = [plan_batches([LENGTHS], config(seed=seed)).batches for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


def test_what_is_too_long_is_left_out_or_refused(tmp_path: Path):
    rows = [Example(np.zeros(n, dtype=np.int32), None, f"d.jsonl:{n}") for n in (2, 9, 4)]
    kept, left_out = within(rows, 5, "skip")
    assert [len(one) for one in kept] == [2, 4]
    assert left_out == 1
    with pytest.raises(DatasetError, match=r"d.jsonl:9: 9 tokens do not fit max_length 5"):
        within(rows, 5, "error")
    with pytest.raises(DatasetError, match="none of 3 rows fits max_length 1"):
        within(rows, 1, "skip")
