"""Whether what trains is installed; imports nothing heavy."""

from __future__ import annotations

import importlib.util

from tts_bench.errors import MissingExtra


def need(*packages: str) -> None:
    """Raise MissingExtra if a package of the extra `train` is not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise MissingExtra(f"training ({package})", "train")
