"""Manifests of runs that tests have need of, with nothing in them but what must be there."""

from __future__ import annotations

from typing import Any

from tts_bench.store.manifest import RunManifest


def a_manifest(**parts: Any) -> RunManifest:
    """The smallest manifest, with these fields as they are given."""
    whole = {
        "status": "complete",
        "suite": "s",
        "partial": False,
        "dataset": {},
        "engine": {},
        **dict.fromkeys(("cells", "seeds", "problems"), ()),
    }
    return RunManifest.model_validate({**whole, **parts})
