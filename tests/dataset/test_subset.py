"""Parts of a data set by level."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.dataset.hub import Math500
from tts_bench.dataset.jsonl import JsonlDataset
from tts_bench.errors import DatasetError


@pytest.fixture
def problems(tmp_path: Path) -> str:
    path = tmp_path / "p.jsonl"
    levels = [2, 1, 1, 3, 2, 1, 3]
    rows = [
        {"id": f"p{i}", "problem": f"{i}?", "reference": i, "level": level}
        for i, level in enumerate(levels)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def ids(dataset) -> list[str]:
    return [item.problem.id for item in dataset.load()]


def test_levels_keep_the_order_of_the_whole(problems):
    assert ids(JsonlDataset(problems, levels=(1, 3))) == ["p1", "p2", "p3", "p5", "p6"]


def test_the_first_so_many_of_each_level(problems):
    assert ids(JsonlDataset(problems, per_level=1)) == ["p0", "p1", "p3"]
    assert ids(JsonlDataset(problems, levels=(1,), per_level=2)) == ["p1", "p2"]


def test_what_follows_the_first_so_many_of_each_level(problems):
    assert ids(JsonlDataset(problems, skip_per_level=1)) == ["p2", "p4", "p5", "p6"]
    assert ids(JsonlDataset(problems, per_level=1, skip_per_level=1)) == ["p2", "p4", "p6"]


def test_nothing_left_is_a_line(problems):
    with pytest.raises(DatasetError, match="skip_per_level 3 leaves no problem"):
        JsonlDataset(problems, skip_per_level=3).load()


def test_a_part_has_a_hash_of_its_own(problems):
    whole, part = JsonlDataset(problems).load(), JsonlDataset(problems, per_level=1).load()
    assert whole.content_hash != part.content_hash


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"levels": (1, 7)}, "no problem of level 7; there are 1, 2, 3")],
)
def test_a_level_that_is_not_there_is_a_line(problems, settings, said):
    with pytest.raises(DatasetError, match=said):
        JsonlDataset(problems, **settings).load()


def test_problems_without_levels_cannot_be_chosen_by_them(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text('{"problem": "1?", "reference": 1}\n')
    with pytest.raises(DatasetError, match="not every problem has a level"):
        JsonlDataset(str(path), per_level=3).load()


def test_none_of_a_level_is_refused(problems):
    with pytest.raises(ValueError, match="per_level: must be at least 1"):
        JsonlDataset(problems, per_level=0)


def test_the_gate_on_math500_has_ten_problems_of_each_level(shared_data):
    items = Math500(path=str(shared_data / "math500.jsonl"), per_level=10).load()
    assert [item.problem.level for item in items].count(3) == 10
    assert len(items) == 50
