"""One reader and one writer of manifests: what version 0.1 wrote, and what is damaged."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from manifests import a_manifest

from tts_bench.cost.flops import ModelShape
from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.engine.base import EngineInfo
from tts_bench.errors import StoreError
from tts_bench.store.manifest import (
    DatasetEntry,
    EngineEntry,
    ProblemEntry,
    RunManifest,
    VerifierEntry,
    now,
)
from tts_bench.types import Problem
from tts_bench.verifier.base import VerifierInfo

ROOT = Path(__file__).parents[2]
RECORDED = sorted((ROOT / "results" / "reference").glob("*/manifest.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.parent.name)
def test_a_manifest_of_version_0_1_is_read_and_written_with_every_key(path: Path, tmp_path: Path):
    before = json.loads(path.read_text())
    manifest = RunManifest.read(path)
    assert (manifest.suite, manifest.status) == (before["suite"], "complete")
    assert [one.id for one in manifest.problems] == [one["id"] for one in before["problems"]]
    assert [one.strategy for one in manifest.cells] == [one["strategy"] for one in before["cells"]]
    assert manifest.engine.model == before["engine"]["model"]
    assert manifest.throughput is not None
    assert manifest.throughput.seconds == before["throughput"]["seconds"]
    assert manifest.environment.packages == before["environment"]["packages"]
    manifest.write(tmp_path / "again.json")
    assert json.loads((tmp_path / "again.json").read_text()) == before


def test_there_are_recorded_manifests_to_read():
    assert len(RECORDED) >= 5


def test_keys_of_other_versions_survive_a_change(tmp_path: Path):
    path = tmp_path / "manifest.json"
    a_manifest(engine={"model": "m", "quantized": "int4"}, colour="green").write(path)
    RunManifest.read(path).changed(status="stopped").write(path)
    found = json.loads(path.read_text())
    assert (found["colour"], found["status"]) == ("green", "stopped")
    assert found["engine"] == {"model": "m", "quantized": "int4"}
    assert found["format_version"] == 1


def test_only_fields_can_be_changed_and_only_to_what_they_hold():
    manifest = a_manifest()
    with pytest.raises(TypeError, match="RunManifest has no statsu"):
        manifest.changed(statsu="complete")
    with pytest.raises(ValueError, match="seeds"):
        manifest.changed(seeds="none")
    with pytest.raises(ValueError, match="frozen"):
        manifest.status = "complete"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"format', "Expecting|Unterminated"),
        ("[]", "manifest of format None, and this version reads format 1 only$"),
        ('{"status": "complete"}', "manifest of format None"),
        ('{"format_version": 2, "environment": 3}', "manifest of format 2"),
        (
            '{"format_version": 9, "environment": {"tts_bench": "4.2"}}',
            "format 1 only: it was made by tts-bench 4.2, which can read it$",
        ),
        ('{"format_version": 1}', "missing or malformed part: status: Field required$"),
    ],
)
def test_a_damaged_manifest_is_one_clear_line(tmp_path: Path, text: str, said: str):
    path = tmp_path / "manifest.json"
    path.write_text(text)
    with pytest.raises(StoreError) as error:
        RunManifest.read(path)
    assert re.match(rf"{re.escape(str(path))}: .*({said})", str(error.value))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"cells": [{"id": "greedy"}]}, "cells.0.strategy: Field required"),
        ({"problems": [{"level": 1}]}, "problems.0.id: Field required"),
        ({"seeds": ["one"]}, "seeds.0: Input should be a valid integer"),
        ({"dataset": None}, "dataset: Input should be"),
        ({"throughput": {"seconds": 1}}, "throughput.generated_tokens: Field required"),
    ],
)
def test_a_malformed_part_is_named(tmp_path: Path, part: dict, said: str):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({**json.loads(_text(tmp_path)), **part}))
    with pytest.raises(StoreError) as error:
        RunManifest.read(path)
    assert f"manifest.json: missing or malformed part: {said}" in str(error.value)
    assert "\n" not in str(error.value)


def _text(folder: Path) -> str:
    a_manifest().write(folder / "whole.json")
    return (folder / "whole.json").read_text()


def test_what_cannot_be_written_is_told(tmp_path: Path):
    with pytest.raises(StoreError, match=r"gone/manifest\.json"):
        a_manifest().write(tmp_path / "gone" / "manifest.json")


def test_entries_say_what_their_sources_say():
    shape = ModelShape(1, 2, 3, 3, 4, 5, 6)
    info = EngineInfo("scripted", "m", "r", "float32", 99, shape)
    engine = EngineEntry.of(info)
    assert engine.brief == {"model": "m", "revision": "r", "engine": "scripted", "dtype": "float32"}
    assert engine.shape is not None
    assert ModelShape(**engine.shape) == shape
    verifier = VerifierEntry.of("prm", VerifierInfo("PRM {}", info))
    assert (verifier.name, verifier.recipe, verifier.model) == ("prm", "PRM {}", engine)
    assert VerifierEntry.of("none", VerifierInfo("c")).recorded()["model"] is None
    item = Item(Problem("p", "How many?", 3, "algebra"), "42")
    assert ProblemEntry.of(item).recorded() == {
        "id": "p",
        "level": 3,
        "subject": "algebra",
        "text": "How many?",
        "reference": "42",
    }
    dataset = LoadedDataset("toy", "toy.jsonl", "", (item,))
    assert DatasetEntry.of("mine", dataset).recorded() == {
        "name": "mine",
        "source": "toy.jsonl",
        "revision": "",
        "content_hash": dataset.content_hash,
        "size": 1,
    }


def test_the_clock_is_utc_to_the_second():
    said = datetime.strptime(now(), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - said).total_seconds()) < 5


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no JSON: "),
        (b'{"format_version": 1, "status": "comp', "no JSON: "),
        (b"\xff\xfe\x00", "no JSON: "),
        (b"[" * 100_000, "no JSON: "),
        (b'{"a":' * 100_000, "no JSON: "),
        (b"[1]", "manifest of format None"),
        (b"{}", "manifest of format None"),
        (b'{"format_version": "%s"}' % (b"9" * 5000), "manifest of format 9999"),
    ],
)
def test_a_damaged_manifest_is_one_short_line_with_a_remedy(data: bytes, said: str, tmp_path: Path):
    path = tmp_path / "manifest.json"
    path.write_bytes(data)
    with pytest.raises(StoreError, match=said) as caught:
        RunManifest.read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize(
    ("parts", "named"),
    [
        ({"cells": [{"id": "c"}]}, "cells.0"),
        ({"problems": "all"}, "problems"),
        ({"seeds": ["x"]}, "seeds.0"),
        ({"engine": None}, "engine"),
        ({"resolved": {"prompt": 3}}, "resolved"),
    ],
)
def test_a_part_of_another_kind_is_named(parts: dict, named: str, tmp_path: Path):
    path = tmp_path / "manifest.json"
    a_manifest().write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **parts}))
    with pytest.raises(StoreError, match=f"missing or malformed part: {named}"):
        RunManifest.read(path)


def test_a_pooled_cell_needs_sizes_and_a_sampling_numbers(tmp_path: Path):
    cell = {"id": "c", "strategy": "c", "params": {}, "sampling": {}, "pooled": True}
    path = tmp_path / "manifest.json"
    a_manifest().write(path)
    whole = json.loads(path.read_text())
    for parts in ({"at": []}, {"at": [4, 1]}, {"at": [1], "sampling": {"temperature": None}}):
        path.write_text(json.dumps({**whole, "cells": [{**cell, **parts}]}))
        with pytest.raises(StoreError, match=r"malformed part: cells\.0"):
            RunManifest.read(path)


def test_half_a_character_in_a_manifest_stops_nothing(tmp_path: Path):
    path = tmp_path / "manifest.json"
    a_manifest().write(path)
    path.write_text(path.read_text().replace('"suite": "s"', '"suite": "s\\ud800"'))
    assert RunManifest.read(path).suite == "s?"
