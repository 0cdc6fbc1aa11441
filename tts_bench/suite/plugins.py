"""Blocks that name a class and hold its settings, such as `engine: {name: vllm, model: ...}`."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

from tts_bench.concurrency.upkeep import Upkeep
from tts_bench.cost.price import Price
from tts_bench.engine.base import Engine
from tts_bench.errors import UsageError
from tts_bench.suite.fields import build, check, field_types
from tts_bench.suite.registry import ENGINES, VERIFIERS, Kind, Registry
from tts_bench.suite.yaml_document import Address, YamlDocument

_PRICE = "price"


def build_plugin(
    block: Any, address: Address, kind: Kind, registry: Registry, document: YamlDocument
) -> tuple[str, Any] | None:
    """Name and object of the block at an address; None if it has faults, which are noted."""
    if block is None:
        document.fault(address[:-1], f"missing key {address[-1]!r}")
        return None
    if not isinstance(block, dict) or not isinstance(block.get("name"), str):
        document.fault(address, f"must name {kind.name} with the key 'name'")
        return None
    cls = load_class(block["name"], (*address, "name"), kind, registry, document)
    if cls is None:
        return None
    made: dict[str, Any] = {}
    # A verifier may run a model of its own through an engine: `verifier.engine`.
    if block.get("engine") is not None and _takes_engine(cls):
        own = build_plugin(block["engine"], (*address, "engine"), ENGINES, registry, document)
        made = {"engine": own[1] if own else None}
    common = common_keys(cls) if kind in (ENGINES, VERIFIERS) else ()
    plugin = build(cls, block, address, document, skip=("name", *common), made=made)
    given = {key: block[key] for key in common if key in block}
    before = len(document.faults)
    price = check(Price | None, given.pop(_PRICE, None), (*address, _PRICE), document)
    upkeep = build(Upkeep, given, address, document)
    if price is not None and price.gpu_hour == "shared" and address[0] == ENGINES.name:
        document.fault((*address, _PRICE), "gpu_hour: shared is for a verifier, not for the policy")
    if plugin is None or len(document.faults) > before:
        return None
    if given:
        object.__setattr__(plugin, "upkeep", upkeep)  # the plug-in is frozen
    if price is not None:
        object.__setattr__(plugin, _PRICE, price)
    return block["name"], plugin


def common_keys(cls: type[Any]) -> tuple[str, ...]:
    """Keys that every engine and verifier has, but for those that the class has as its own.

    They decide no result: how its model is kept alive, and what it costs.
    """
    own = {field.name for field in dataclasses.fields(cls)}
    every = (*(field.name for field in dataclasses.fields(Upkeep)), _PRICE)
    return tuple(name for name in every if name not in own)


def load_class(
    name: str, address: Address, kind: Kind, registry: Registry, document: YamlDocument
) -> type[Any] | None:
    """The class that a name means; None, and a fault, if there is none that can be set up."""
    try:
        cls = registry.load(kind, name)
        field_types(cls)
        return cls
    except UsageError as error:
        document.fault(address, str(error))
        return None


def _takes_engine(cls: type[Any]) -> bool:
    """Whether the class has a parameter `engine` that holds an engine."""
    kind = field_types(cls).get("engine")
    return any(isinstance(one, type) and issubclass(one, Engine) for one in (kind, *get_args(kind)))
