"""Whom a run would contact, known before anybody is: servers, the Hugging Face Hub, others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tts_bench.dataset.hub import HubDataset, KnownDataset
from tts_bench.engine.ray.cluster import check_address, listed
from tts_bench.engine.ray.placement import Placement
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.weights import is_stored, local_path
from tts_bench.suite.load import Suite
from tts_bench.verifier.reward_model import RewardModel

_PACKAGE = "tts_bench."


def models_of(suite: Suite) -> dict[str, Any]:
    """What runs a model, by what it is for: the policy's engine, the verifier or its judge."""
    judge = getattr(suite.verifier, "engine", None) or suite.verifier
    models: dict[str, Any] = {"policy": suite.engine, f"verifier {suite.verifier_name}": judge}
    return {name: one for name, one in models.items() if getattr(one, "model", None)}


def server_urls(model: Any) -> list[str]:
    """The servers that have a model; none if it is loaded here."""
    return model.urls() if isinstance(model, ServerEngine | RewardModel) else []


def contacts(suite: Suite) -> list[str]:
    """A line for each that would be asked, and what for. Raises ModelError for a wrong address."""
    models = models_of(suite)
    lines = [
        f"{name}: {', '.join(urls)}{_key(model)}"
        for name, model in models.items()
        if (urls := server_urls(model))
    ]
    lines += _clusters(models)
    hub = [*(f"{what} ({_there(*which)})" for what, which in _hub_models(models)), *_data(suite)]
    if hub:
        lines.append(f"Hugging Face Hub: {', '.join(hub)}")
    lines += _strangers(suite)
    return lines or ["nobody"]


def placement(model: Any) -> Placement | None:
    """Where Ray puts its replicas; None if Ray does not."""
    found = getattr(model, "placement", None)
    return found if isinstance(found, Placement) else None


def replicas(suite: Suite) -> Iterator[str]:
    """How many replicas of a model Ray would be asked for, and what for each."""
    for name, model in models_of(suite).items():
        if (where := placement(model)) is not None:
            number = "as many as find room" if where.replicas == "auto" else str(where.replicas)
            gpus = f"{where.gpus} GPU{'s' * (where.gpus > 1)}"
            own = " on a Ray that is started here" if where.address is None else ""
            yield f"{name}: {number}{own}, each with {listed(where.bundle)} and, if any, {gpus}"


def _clusters(models: dict[str, Any]) -> Iterator[str]:
    """Rays that run already."""
    for name, model in models.items():
        if (where := placement(model)) is not None and where.address is not None:
            check_address(where.address)
            yield f"{name}: the Ray at {where.address}"


def _key(model: Any) -> str:
    """Where the key comes from, and whether it is there."""
    name = getattr(model, "api_key_env", None)
    if not name:
        return ""
    return f" (key from {name}{'' if os.environ.get(name) else ', which is not set'})"


def _hub_models(models: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """What is loaded by a name of the hub, and that name with its revision."""
    for name, model in models.items():
        source, what = model.model, f"model of the {name}"
        if server_urls(model):
            source, what = getattr(model, "tokenizer_model", None) or source, f"tokenizer of {name}"
        where = placement(model)
        if where and where.address and Path(source).is_absolute():
            continue  # a folder of the cluster's machines
        if getattr(model, "dialect", "") == "chat":
            source, what = getattr(model, "shape", None), f"sizes of the {name}'s model"
        if isinstance(source, str) and not Path(local_path(source)).is_dir():
            yield f"{what} {source}", (source, getattr(model, "revision", None))


def _there(model: str, revision: str | None) -> str:
    return "in its cache here" if is_stored(model, revision) else "not here yet"


def _data(suite: Suite) -> Iterator[str]:
    """The data set, which is read for a dry run, too: without it nobody knows how much there is."""
    source = suite.dataset
    if isinstance(source, KnownDataset) and source.path is None:
        yield f"data set {source.source.hub_id} (read already)"
    if isinstance(source, HubDataset) and not Path(source.id).exists():
        yield f"data set {source.id} (read already)"


def _strangers(suite: Suite) -> Iterator[str]:
    """Plug-ins, of which nothing is known."""
    own = getattr(suite.verifier, "engine", None)
    parts = {"policy": suite.engine, "verifier": suite.verifier, "verifier's engine": own}
    for name, part in parts.items():
        if part is not None and not type(part).__module__.startswith(_PACKAGE):
            yield f"{name}: whomever {type(part).__name__} asks, a plug-in"
