"""Reads a training file: strict YAML into the dataclasses of `config`, all faults at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tts_bench.errors import SuiteError, UsageError
from tts_bench.prompt import Prompt
from tts_bench.suite.fields import build, check
from tts_bench.suite.overrides import set_values
from tts_bench.suite.plugins import build_plugin
from tts_bench.suite.registry import DATASETS, Registry
from tts_bench.suite.yaml_document import YamlDocument, read_yaml
from tts_bench.training.config import (
    Architecture,
    DataConfig,
    GrpoConfig,
    Stage,
    TrainingConfig,
)

C = TypeVar("C", bound=TrainingConfig)


def load_config(cls: type[C], path: Path, sets: Sequence[str] = ()) -> C:
    """Read, override and check a training file. Raises SuiteError with all of its faults."""
    if not path.is_file():
        raise UsageError(f"{path}: no such training file")
    document = read_yaml(path, str(path))
    if not isinstance(document.data, dict):
        raise SuiteError([f"{path}: a training file is a mapping with the key 'model' and others"])
    set_values(document, sets)
    config = _resolve(cls, document)
    if config is None or document.faults:
        raise SuiteError(document.report())
    return config


def _resolve(cls: type[C], document: YamlDocument) -> C | None:
    values: dict[str, Any] = document.data
    for name in ("data", "report_to"):
        if isinstance(values.get(name), str) and values[name] not in _WORDS:
            values[name] = [values[name]]
    if isinstance(values.get("dataset"), str):
        values["dataset"] = {"name": values["dataset"]}
    names = {one.name for one in dataclasses.fields(cls)}
    blocks = [name for name in _BLOCKS if name in names and isinstance(values.get(name), _NESTED)]
    nested = {name: _BLOCKS[name](document, (name,), values[name]) for name in blocks}
    flat = build(cls, values, (), document, skip=blocks)
    _check_limits(document, cls, values)
    _check_needs(document, cls, values)
    if flat is None or document.faults:
        return None
    return dataclasses.replace(flat, **nested)


_WORDS = ("auto", "none")
_NESTED = (dict, list)


def _architecture(document: YamlDocument, address: tuple[str | int, ...], value: Any) -> Any:
    return _block(Architecture, document, address, value)


def _prompt(document: YamlDocument, address: tuple[str | int, ...], value: Any) -> Any:
    return build(Prompt, value, address, document)


def _stages(document: YamlDocument, address: tuple[str | int, ...], value: Any) -> Any:
    stages = []
    for i, entry in enumerate(check(list[Any], value, address, document) or ()):
        if isinstance(entry, dict) and isinstance(entry.get("data"), str):
            entry["data"] = [entry["data"]]
        stages.append(_block(Stage, document, (*address, i), entry))
    return tuple(stages)


def _dataset(document: YamlDocument, address: tuple[str | int, ...], value: Any) -> Any:
    """A plug-in, as a suite's `dataset:` names it."""
    found = build_plugin(value, address, DATASETS, Registry(), document)
    return found and found[1]


_BLOCKS = {"dataset": _dataset, "model": _architecture, "prompt": _prompt, "stages": _stages}


def _block(cls: type[Any], document: YamlDocument, address: Any, value: Any) -> Any:
    found = build(cls, value, address, document)
    if isinstance(value, Mapping):
        _check_limits(document, cls, value, address)
    return found


def _check_limits(
    document: YamlDocument, cls: type[Any], values: Mapping[str, Any], address: Any = ()
) -> None:
    for one in dataclasses.fields(cls):
        value = values.get(one.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        low, over = one.metadata.get("at_least"), one.metadata.get("above")
        if low is not None and not value >= low:
            document.fault((*address, one.name), f"must be at least {low}, not {value}")
        if over is not None and not value > over:
            document.fault((*address, one.name), f"must be above {over}, not {value}")


_OF_LOADED_MODELS = {
    "added_layers": "a model from scratch has its own key 'layers'",
    "frozen_layers": "a model from scratch would keep random weights",
}


def _check_needs(document: YamlDocument, cls: type[Any], values: Mapping[str, Any]) -> None:
    """Keys that must be there, or exclude each other."""
    if not values.get("model"):
        document.fault((), "missing key 'model'")
    if isinstance(values.get("model"), dict):
        for key, why in _OF_LOADED_MODELS.items():
            if values.get(key):
                document.fault((key,), why)
    if issubclass(cls, GrpoConfig) and not values.get("dataset"):
        document.fault((), "missing key 'dataset'")
    if not issubclass(cls, DataConfig):
        return
    if not values.get("data") and not values.get("stages"):
        document.fault((), "missing key 'data'")
    for one, other in (("data", "stages"), ("epochs", "stages"), ("batch_size", "batch_tokens")):
        if values.get(one) is not None and values.get(other) is not None:
            document.fault((one,), f"{one} and {other} exclude each other")
