"""Names of suites, which are those of their runs' folders."""

from __future__ import annotations

import json
import re

from tts_bench.errors import QUOTED

_TAKEN = {"latest", "joint"}
_LONGEST = 128
"""Bytes of a suite's name: file systems end at 255, and files of a run hold it with more."""


def folder_fault(name: str) -> str | None:
    """What is wrong with this name for a suite's folder beside the store; None if nothing is."""
    if not re.fullmatch(r"[\w-]|[\w-][\w.-]*[\w-]", name):
        return (
            "must be letters, digits, '.', '_' and '-', and not begin or end with '.', "
            f"not {json.dumps(name[:QUOTED])}"
        )
    if name.lower() in _TAKEN or name.lower().startswith("generations.sqlite"):
        return f"must not be {json.dumps(name)}, for another file or folder is called so"
    if len(name.encode()) > _LONGEST:
        return f"must be of at most {_LONGEST} bytes, not {len(name.encode())}"
    return None
