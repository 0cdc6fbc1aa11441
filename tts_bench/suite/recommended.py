"""`sampling: recommended`: as the model's makers say in its generation_config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tts_bench.engine.base import Engine
from tts_bench.engine.weights import generation_config
from tts_bench.errors import ModelError
from tts_bench.suite.yaml_document import YamlDocument

KEY = "recommended"
TAKEN = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
"""Fields that are taken, if they are there, under the names that they have in both."""


def take(data: dict[str, Any], engine: Engine | None, document: YamlDocument) -> str:
    """Put the model's settings in place of `recommended: true`, below what the suite sets itself.

    Returns what was taken in a line, empty without the key; notes a fault if there is nothing.
    """
    block = data.get("sampling")
    if not isinstance(block, dict) or KEY not in block:
        return ""
    wanted = block.pop(KEY)
    if not isinstance(wanted, bool):
        document.fault(("sampling", KEY), "must be true or false")
        return ""
    if not wanted or engine is None:
        return ""
    model, revision = engine.weights
    if model is None:
        document.fault(("sampling", KEY), "the engine names no model whose settings can be read")
        return ""
    try:
        found = generation_config(model, revision)
    except ModelError as error:
        document.fault(("sampling", KEY), str(error))
        return ""
    taken = _taken(found)
    if not taken:
        document.fault(("sampling", KEY), f"{model} recommends nothing: set what you want")
        return ""
    own = {name: value for name, value in taken.items() if name not in block}
    data["sampling"] = own | block
    said = ", ".join(f"{name}={value}" for name, value in own.items())
    return f"{said or 'nothing that the suite does not set itself'} (as {model} recommends)"


def _taken(config: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: config[name] for name in TAKEN if config.get(name) is not None}
    greedy = config.get("do_sample") is False
    return {**found, "temperature": 0.0} if greedy and found else found
