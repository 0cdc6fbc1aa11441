"""The attempts of a run in another order than that of their ends, in a temporary file."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable, Iterator

from pydantic import TypeAdapter

from tts_bench.report.points.scope import Scope
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt

_ATTEMPT = TypeAdapter(Attempt)
_SCHEMA = """
CREATE TABLE attempts (
    problem TEXT, cell TEXT, seed INTEGER, packed BLOB NOT NULL, PRIMARY KEY (problem, cell, seed)
) WITHOUT ROWID
"""


class Spool:
    """Attempts by problem, each compressed: their file has them in the order of their ends."""

    def __init__(self) -> None:
        # SQLite keeps a database without a name in a temporary file, and removes that itself.
        self._attempts = sqlite3.connect("")
        self._attempts.execute(_SCHEMA)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._attempts.close()

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt; of those with one key the last counts."""
        packed = zlib.compress(_ATTEMPT.dump_json(attempt), 1)
        row = (attempt.problem, attempt.cell, attempt.seed, packed)
        self._attempts.execute("INSERT OR REPLACE INTO attempts VALUES (?, ?, ?, ?)", row)

    def of(self, problem: str) -> Iterator[Attempt]:
        """The attempts at a problem."""
        query = "SELECT packed FROM attempts WHERE problem = ?"
        for (packed,) in self._attempts.execute(query, (problem,)):
            yield _ATTEMPT.validate_json(zlib.decompress(packed))

    def at(self, problem: str, cell: str, seed: int) -> Attempt | None:
        """The attempt of a cell at a problem with a seed."""
        query = "SELECT packed FROM attempts WHERE problem = ? AND cell = ? AND seed = ?"
        row = self._attempts.execute(query, (problem, cell, seed)).fetchone()
        return None if row is None else _ATTEMPT.validate_json(zlib.decompress(row[0]))


def spool_attempts(run: RunStore, scope: Scope, see: Callable[[Attempt], object]) -> Spool:
    """Read every attempt that the manifest knows once, show it to `see` and keep it."""
    cells, problems = {cell.id for cell in scope.cells}, set(scope.problems)
    seeds, spool = set(scope.seeds), Spool()
    for attempt in run.attempts():
        if attempt.cell in cells and attempt.problem in problems and attempt.seed in seeds:
            see(attempt)
            spool.add(attempt)
    return spool
