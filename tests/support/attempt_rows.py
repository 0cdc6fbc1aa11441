"""The attempts of a run as they stand in its file, for runs that must have made the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tts_bench.store.runs import resolve_run


def rows(folder: Path, *, keys: bool = False) -> list[dict[str, Any]]:
    """The attempts of the newest run of suite `s`, by cell and problem.

    Without the `keys` of completions, which name the engine.
    """
    found = []
    for line in resolve_run(folder / "s").attempts_path.read_text().splitlines():
        row = json.loads(line)
        if not keys:
            del row["pool"]["generation"]
        found.append(row)
    return sorted(found, key=lambda row: (row["cell"], row["problem"]))
