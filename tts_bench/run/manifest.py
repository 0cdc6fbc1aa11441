"""The manifest of a run: everything that its attempts do not say themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.engine.base import EngineInfo
from tts_bench.errors import StoreError
from tts_bench.store import environment
from tts_bench.store.runs import FORMAT_VERSION
from tts_bench.suite.load import Suite
from tts_bench.verifier.base import VerifierInfo

_SESSION = ("argv", "started", "ended", "status", "throughput", "environment")


def describe_suite(suite: Suite, suite_hash: str) -> dict[str, Any]:
    """What the suite asks for."""
    return {
        "suite": suite.name,
        "suite_hash": suite_hash,
        "resolved": dict(suite.resolved),
        "cells": [cell.describe() for cell in suite.cells],
        "seeds": list(suite.seeds),
    }


def describe_verifier(name: str, verifier_info: VerifierInfo) -> dict[str, Any]:
    """The verifier as it says of itself once it has started."""
    shape = verifier_info.shape
    return {"name": name, **asdict(verifier_info), "shape": asdict(shape) if shape else None}


def describe_problems(name: str, dataset: LoadedDataset, items: Sequence[Item]) -> dict[str, Any]:
    """Where the problems come from, and which of them the run attempts."""
    return {
        "partial": len(items) < len(dataset),
        "dataset": {
            "name": name,
            "source": dataset.source,
            "revision": dataset.revision,
            "content_hash": dataset.content_hash,
            "size": len(dataset),
        },
        "problems": [
            # With text and reference, so that a report can show them without the data set.
            {
                "id": item.problem.id,
                "level": item.problem.level,
                "subject": item.problem.subject,
                "text": item.problem.text,
                "reference": item.reference,
            }
            for item in items
        ],
    }


def begin(
    parts: Mapping[str, Any],
    info: EngineInfo,
    *,
    argv: Sequence[str],
    salt: str,
    earlier: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest of a run that begins, or goes on after the session that `earlier` tells of.

    Raises StoreError where the earlier session used another model: attempts of two models must
    not stand in one run.
    """
    engine = asdict(info)
    sessions = []
    if earlier is not None:
        _same_engine("", earlier["engine"], engine)
        old, new = earlier["verifier"].get("model"), parts["verifier"]["model"]
        if old and new:
            _same_engine("verifier ", old, new)
        sessions = [*earlier["earlier_sessions"], {key: earlier[key] for key in _SESSION}]
    return {
        "format_version": FORMAT_VERSION,
        "status": "running",
        **parts,
        "engine": engine,
        "salt": salt,
        "argv": list(argv),
        "started": now(),
        "ended": None,
        "throughput": None,
        "environment": environment.describe(),
        "earlier_sessions": sessions,
    }


def now() -> str:
    """UTC time to the second, in ISO 8601."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _same_engine(whose: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in ("engine", "model", "revision", "dtype", "max_model_len"):
        if old[key] != new[key]:
            raise StoreError(
                f"this run was begun with {whose}{key} {old[key]}, which is now {new[key]}: "
                "begin a new one with --fresh"
            )
