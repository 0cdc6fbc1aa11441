"""The texts of a run's candidates, and which of them are draws of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tts_bench.store.runs import RunStore
from tts_bench.strategy.tree import whole_texts
from tts_bench.types import Attempt, Pool


def generations_of(run: RunStore) -> Path | None:
    """The run's generation store, by its manifest."""
    relative = run.read_manifest().get("generations")
    return (run.folder / relative).resolve() if relative else None


def texts_of(attempt: Attempt) -> list[str | None]:
    """Whole texts of the pool's candidates; None where one completion of the store is all."""
    pool = attempt.pool
    texts: list[str | None] = list(pool.text) or [None] * len(pool)
    if attempt.tree is not None:
        grown = whole_texts(attempt.tree)
        for place, node in enumerate(pool.node):
            if node is not None:
                texts[place] = grown[node]
    return texts


def distinct_draws(pool: Pool) -> Sequence[int]:
    """Indices of the first candidate of each stored completion: copies count once."""
    if len(pool.generation) < len(pool) or not all(pool.generation):
        return range(len(pool))
    return list({key: i for i, key in reversed(list(enumerate(pool.generation)))}.values())
