"""Reads a training file: strict YAML into the dataclasses of `config`, all faults at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tts_bench.errors import SuiteError, UsageError
from tts_bench.suite.fields import build
from tts_bench.suite.overrides import set_values
from tts_bench.suite.plugins import build_plugin
from tts_bench.suite.registry import DATASETS, Registry
from tts_bench.suite.yaml_document import YamlDocument, read_yaml
from tts_bench.training.config import DataConfig, GrpoConfig, TrainingConfig

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
    _check_needs(document, cls, values)
    made = {}
    if issubclass(cls, GrpoConfig) and values.get("dataset"):
        made["dataset"] = _dataset(values["dataset"], document)
    return build(cls, values, (), document, made=made)


def _dataset(value: Any, document: YamlDocument) -> Any:
    """A plug-in, as a suite's `dataset:` names it; None if faults were noted."""
    block = {"name": value} if isinstance(value, str) else value
    found = build_plugin(block, ("dataset",), DATASETS, Registry(), document)
    return found and found[1]


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
