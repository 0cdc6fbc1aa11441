"""The texts of a run's candidates, and which of them are draws of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tts_bench.errors import StoreError
from tts_bench.store.generations import TextReader
from tts_bench.store.lines import Key
from tts_bench.store.runs import RunStore
from tts_bench.strategy.tree import whole_texts
from tts_bench.types import Attempt, Pool


def generations_of(run: RunStore) -> Path | None:
    """The run's generation store, by its manifest. Raises StoreError for a senseless path."""
    relative = run.read_manifest().generations
    if not relative:
        return None
    try:
        path = (run.folder / relative).resolve()
        path.is_file()
        return path
    except (OSError, ValueError) as error:
        raise StoreError(
            f"{run.manifest_path}: generations: {str(relative)[:80]} can be no file"
        ) from error


def texts_of(attempt: Attempt) -> list[str | None]:
    """Whole texts of the pool's candidates; None if one completion of the store is all."""
    pool = attempt.pool
    texts: list[str | None] = list(pool.text) or [None] * len(pool)
    if attempt.tree is not None:
        grown = whole_texts(attempt.tree)
        for place, node in enumerate(pool.node):
            if node is not None:
                texts[place] = grown[node]
    return texts


class RunTexts:
    """The texts of a run's candidates, over at most one connection to its generation store.

    The connection is opened when a text that only the store has is first asked for, and closed
    at the end of the `with` block.
    """

    def __init__(self, run: RunStore) -> None:
        self._folder = run.folder
        self.path = generations_of(run)
        """The generation store; None if the manifest names none."""
        self._reader: TextReader | None = None

    def __enter__(self) -> RunTexts:
        return self

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.__exit__()
            self._reader = None

    @property
    def is_stored(self) -> bool:
        """Whether the generation store is where the manifest says."""
        return self.path is not None and self.path.is_file()

    def stored(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that the store has, by key; an empty key has none.

        Raises StoreError if the store is not there or cannot be read.
        """
        wanted = dict.fromkeys(filter(None, keys))
        if not wanted:
            return {}
        if self.path is None:
            raise StoreError(f"{self._folder}: its manifest names no generation store with texts")
        if self._reader is None:
            self._reader = TextReader(self.path)
        return self._reader.read(wanted)

    def of(self, attempt: Attempt) -> list[str | None]:
        """The whole text of each candidate; None for one that is nowhere. Raises as `stored`."""
        texts, keys = texts_of(attempt), attempt.pool.generation
        if not keys:
            return texts
        stored = self.stored(key for key, text in zip(keys, texts, strict=True) if text is None)
        return [
            stored.get(key) if text is None else text for key, text in zip(keys, texts, strict=True)
        ]


def damaged_texts(run: RunStore) -> dict[Key, list[str]]:
    """The keys of stored completions that are damaged, by the attempts that have them."""
    path = generations_of(run)
    if path is None or not path.is_file():
        return {}
    with TextReader(path) as reader:
        damaged = set(reader.damaged(_generations(run)))
    if not damaged:
        return {}
    found = {}
    for attempt in run.attempts():
        keys = dict.fromkeys(attempt.pool.generation)
        if of_it := [key for key in keys if key in damaged]:
            found[attempt.key] = of_it
    return found


def has_all_texts(run: RunStore) -> bool:
    """Whether every completion of a run is in its generation store, as it was stored."""
    path = generations_of(run)
    if path is None or not path.is_file():
        return False
    keys = _generations(run)
    with TextReader(path) as reader:
        return reader.count_whole(keys) == len(keys)


def _generations(run: RunStore) -> set[str]:
    """The keys of the completions that a run's attempts have."""
    return {key for attempt in run.attempts() for key in attempt.pool.generation if key}


def distinct_draws(pool: Pool) -> Sequence[int]:
    """Indices of the first candidate of each stored completion: copies count once."""
    if len(pool.generation) < len(pool) or not all(pool.generation):
        return range(len(pool))
    return list({key: i for i, key in reversed(list(enumerate(pool.generation)))}.values())
