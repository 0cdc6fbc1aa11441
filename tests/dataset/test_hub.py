from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pandas as pd
import pytest
from pydantic import TypeAdapter

from tts_bench.dataset.arithmetic import Arithmetic
from tts_bench.dataset.base import Dataset
from tts_bench.dataset.hub import Aime24, Aime25, Amc23, Gsm8k, HubDataset, KnownDataset, Math500
from tts_bench.dataset.jsonl import JsonlDataset
from tts_bench.errors import DatasetError

FILES: list[tuple[type[KnownDataset], str, int]] = [
    (Math500, "math500.jsonl", 500),
    (Aime24, "aime2024.jsonl", 30),
    (Aime25, "aime2025.jsonl", 30),
    (Amc23, "amc23.jsonl", 40),
    (Gsm8k, "gsm8k_test.jsonl", 1319),
]


@pytest.mark.parametrize(("known", "file", "size"), FILES)
def test_known_set_loads_from_a_local_copy(
    shared_data: Path, known: type[KnownDataset], file: str, size: int
) -> None:
    loaded = known(path=str(shared_data / file)).load()
    assert (loaded.name, loaded.revision, len(loaded)) == (known.source.name, "", size)
    assert len({item.problem.id for item in loaded}) == size
    assert all(item.problem.text and item.reference == item.reference.strip() for item in loaded)


@pytest.mark.parametrize("known", [Aime24, Aime25, Amc23, Gsm8k])
def test_references_of_integer_sets_are_plain_integers(
    shared_data: Path, known: type[KnownDataset]
) -> None:
    file = next(file for other, file, _ in FILES if other is known)
    loaded = known(path=str(shared_data / file)).load()
    assert all(re.fullmatch(r"0|-?[1-9]\d*", item.reference) for item in loaded)


def test_final_answers_of_gsm8k_agree_with_an_independent_extraction(shared_data: Path) -> None:
    file = shared_data / "gsm8k_test.jsonl"
    final = [json.loads(line)["final"] for line in file.read_text("utf-8").splitlines()]
    assert [item.reference for item in Gsm8k(path=str(file)).load()] == final


def test_math500_has_its_ids_levels_and_subjects(shared_data: Path) -> None:
    loaded = Math500(path=str(shared_data / "math500.jsonl")).load()
    assert loaded.items[0].problem.id == "test/precalculus/807.json"
    levels = Counter(item.problem.level for item in loaded)
    assert levels == {1: 43, 2: 90, 3: 105, 4: 128, 5: 134}
    assert len({item.problem.subject for item in loaded}) == 7
    assert all(item.problem.subject for item in loaded)


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet"])
def test_content_hash_does_not_depend_on_the_file_s_format(
    shared_data: Path, tmp_path: Path, suffix: str
) -> None:
    original = shared_data / "math500.jsonl"
    # Answers such as .35625 and 058 would not survive pandas' guess of numbers.
    table = pd.read_json(original, lines=True, dtype=False, convert_dates=False)
    copy = tmp_path / f"copy.{suffix}"
    if suffix == "json":
        table.to_json(copy, orient="records")
    elif suffix == "csv":
        table.to_csv(copy, index=False)
    else:
        table.to_parquet(copy)
    hashes = {Math500(path=str(path)).load().content_hash for path in (original, copy)}
    assert len(hashes) == 1


def test_content_hash_sees_every_change(tmp_path: Path) -> None:
    row = {"problem": "1 + 1", "answer": "2", "unique_id": "a", "level": 1, "subject": "s"}
    hashes = set()
    for change in [{}, *({column: "3"} for column in row)]:
        file = tmp_path / "a.jsonl"
        file.write_text(json.dumps({**row, **change}))
        hashes.add(Math500(path=str(file)).load().content_hash)
    assert len(hashes) == 6


def test_hub_s_spellings_of_answers_are_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 60, "problem": "p", "answer": "025"}\n')
    (item,) = Aime24(path=str(file)).load()
    assert (item.problem.id, item.reference) == ("60", "25")
    file.write_text('{"id": 0, "question": "p", "answer": 27.0}\n')
    (item,) = Amc23(path=str(file)).load()
    assert (item.problem.id, item.reference) == ("0", "27")


def test_ids_of_gsm8k_do_not_depend_on_who_numbered_the_rows(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    row = {"question": "How many?", "answer": "#### 3"}
    ids = set()
    for extra in ({}, {"id": "gsm8k-test-0"}):
        file.write_text(json.dumps({**row, **extra}))
        ids.add(Gsm8k(path=str(file)).load().items[0].problem.id)
    assert len(ids) == 1


@pytest.mark.parametrize("settings", [{"split": "test"}, {"revision": "main"}])
def test_local_file_with_split_or_revision_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a local file has neither split nor revision"):
        Math500(path="a.jsonl", **settings)


def test_own_file_is_named_after_itself(tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_text('{"question": "1 + 1", "final": 2}\n')
    loaded = JsonlDataset(str(file), {"reference": "final"}).load()
    assert (loaded.name, loaded.source, loaded.items[0].reference) == ("mine", str(file), "2")


@pytest.mark.parametrize("kind", [JsonlDataset, HubDataset])
def test_unknown_role_is_refused_before_anything_is_read(
    kind: type[JsonlDataset | HubDataset],
) -> None:
    with pytest.raises(DatasetError, match="no role 'answer'"):
        kind("nowhere", columns={"answer": "a"})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Math500, {"path": "a.jsonl", "split": None, "revision": None}),
        (HubDataset, {"id": "a/b", "config": "main", "split": "x", "columns": {"problem": "q"}}),
        (JsonlDataset, {"path": "a.jsonl", "columns": {"problem": "q"}}),
        (Arithmetic, {"problems": 5, "seed": 1, "levels": [1, 2]}),
    ],
)
def test_fields_can_be_validated_from_a_suite(kind: type[Any], settings: dict[str, Any]) -> None:
    hints = get_type_hints(kind)
    adapters = {field.name: TypeAdapter(hints[field.name]) for field in fields(kind)}
    values = {name: adapters[name].validate_python(value) for name, value in settings.items()}
    dataset = kind(**values)
    assert isinstance(dataset, Dataset)
    assert "source" not in adapters
