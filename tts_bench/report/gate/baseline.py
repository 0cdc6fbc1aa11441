"""A baseline: what a run gave, in one small file that a repository can keep."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.report.points.point import Point, RunPoints, read_points
from tts_bench.report.points.scope import CellRecord
from tts_bench.store.files import new_folder, write_atomically
from tts_bench.store.runs import RunStore, resolve_run
from tts_bench.types import Attempt

FORMAT_VERSION = 1
_PASSING = ("seconds", "dollars")
_ABOUT = ("suite", "run", "dataset", "engine", "verifier", "seeds")


@dataclass(frozen=True)
class Baseline:
    """Points and attempts that a later run is held against."""

    about: Mapping[str, Any]
    """Suite, run, data set, engine, verifier and seeds of the run that it was made of."""
    points: tuple[Point, ...]
    attempts: Mapping[str, Mapping[str, Any]]
    """What each attempt selected and spent, by `cell | problem | seed`, and digests of its pool."""


def make_baseline(run: RunPoints) -> Baseline:
    """The baseline of a finished run. Raises StoreError for one that is not complete."""
    scope = run.scope
    if scope.status != "complete":
        raise StoreError(f"{run.run.folder}: a baseline needs a complete run, not {scope.status}")
    about = {
        "suite": scope.suite,
        "run": scope.run,
        "dataset": scope.dataset.recorded(),
        "engine": scope.engine.brief,
        "verifier": scope.verifier.name,
        "seeds": list(scope.seeds),
    }
    return Baseline(about, run.points, dict(records(run.run)))


def records(run: RunStore) -> Iterator[tuple[str, dict[str, Any]]]:
    """What each attempt of a run selected, held and spent, by its key."""
    for attempt in run.attempts():
        yield " | ".join(map(str, attempt.key)), _record(attempt)


def _record(attempt: Attempt) -> dict[str, Any]:
    return {
        "status": attempt.status,
        "chosen": attempt.chosen,
        "answer": attempt.answer,
        "correct": attempt.correct,
        "candidates": len(attempt.pool),
        "policy": asdict(attempt.policy),
        "verifier": asdict(attempt.verifier),
        "prompt_tokens": attempt.prompt_tokens,
        "facts": dict(attempt.facts),
        "pool": {name: _digest(getattr(attempt.pool, name)) for name in _COLUMNS},
    }


_COLUMNS = (
    "answer",
    "answer_class",
    "correct",
    "score",
    "steps",
    "logprob",
    "tokens",
    "finish_reason",
    "parent",
)
"""Of a pool: what its candidates gave and took; not if the store keeps their texts."""


def _digest(column: tuple[Any, ...]) -> str:
    """A column in twelve digits: enough to see that something moved, and in which column."""
    return hashlib.sha256(json.dumps(column).encode()).hexdigest()[:12]


def write_baseline(path: Path, baseline: Baseline) -> None:
    """Write the file, one attempt to a line, so that differences of two versions are readable."""
    parts = {
        "format_version": FORMAT_VERSION,
        **baseline.about,
        "points": [_written_point(one) for one in baseline.points],
    }
    head = json.dumps(parts, indent=1, ensure_ascii=False, allow_nan=False)[:-2]
    lines = [
        f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(record, allow_nan=False)}"
        for key, record in sorted(baseline.attempts.items())
    ]
    new_folder(path.parent)
    write_atomically(path, f'{head},\n "attempts": {{\n' + ",\n".join(lines) + "\n }\n}\n")


def _written_point(one: Point) -> dict[str, Any]:
    # Seconds are this machine's, dollars the day's: nothing to hold another run against.
    values = {name: dict(known) for name, known in one.values.items() if name not in _PASSING}
    return {"cell": asdict(one.cell), "n": one.n, "values": values}


def read_baseline(path: Path) -> Baseline:
    """A baseline file, or a run folder taken as one. Raises StoreError if it is neither."""
    if path.is_dir():
        return make_baseline(read_points(resolve_run(path)))
    try:
        data = json.loads(path.read_text("utf-8-sig"))
        if data["format_version"] != FORMAT_VERSION:
            found = data["format_version"]
            raise StoreError(f"{path}: baseline of format {found}, not {FORMAT_VERSION}")
        points = tuple(_read_point(point) for point in data["points"])
        return Baseline({key: data[key] for key in _ABOUT}, points, data["attempts"])
    except FileNotFoundError:
        raise StoreError(
            f"{path}: no such baseline; make one with: tts-bench gate RUN --write-baseline {path}"
        ) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise StoreError(f"{path}: no baseline file: {reason}") from error


def _read_point(point: Mapping[str, Any]) -> Point:
    cell = {**point["cell"], "at": tuple(point["cell"]["at"])}
    return Point(CellRecord(**cell), point["n"], {"seconds": {}, **point["values"]})
