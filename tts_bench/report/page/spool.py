"""The attempts of a run sorted by problem, small enough to be held at once."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from tts_bench.report.points.scope import Scope
from tts_bench.store.runs import RunStore
from tts_bench.types import Attempt

_ATTEMPT = TypeAdapter(Attempt)


@dataclass
class Spool:
    """Attempts by problem, each compressed: their file has them in the order of their ends."""

    _packed: dict[str, dict[tuple[str, int], bytes]] = field(
        default_factory=lambda: defaultdict(dict)
    )

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt; of those with one key the last counts."""
        packed = zlib.compress(_ATTEMPT.dump_json(attempt), 1)
        self._packed[attempt.problem][attempt.cell, attempt.seed] = packed

    def of(self, problem: str) -> Iterator[Attempt]:
        """The attempts at a problem."""
        for packed in self._packed.get(problem, {}).values():
            yield _ATTEMPT.validate_json(zlib.decompress(packed))


def spool_attempts(run: RunStore, scope: Scope, see: Callable[[Attempt], None]) -> Spool:
    """Read every attempt that the manifest knows once, show it to `see` and keep it."""
    cells, problems = {cell.id for cell in scope.cells}, set(scope.problems)
    seeds, spool = set(scope.seeds), Spool()
    for attempt in run.attempts():
        if attempt.cell in cells and attempt.problem in problems and attempt.seed in seeds:
            see(attempt)
            spool.add(attempt)
    return spool
