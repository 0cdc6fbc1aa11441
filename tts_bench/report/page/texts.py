"""Texts of the page: from the generation store, or from an earlier table of candidates."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tts_bench.errors import StoreError
from tts_bench.report.export.candidates import FILE as CANDIDATES
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import RunTexts

Texts = Callable[[Iterable[str]], Mapping[str, str]]
"""Gives the texts that are known, by key of the generation store."""


@contextmanager
def texts_of_run(run: RunStore) -> Iterator[Texts | None]:
    """What knows the texts of a run's completions; None if nothing does.

    A run that was copied without its generation store still has `candidates.parquet`.
    """
    table = run.folder / CANDIDATES
    with RunTexts(run) as texts:
        if texts.is_stored:
            yield texts.stored
        else:
            yield _of_table(table) if table.is_file() else None


def _of_table(path: Path) -> Texts:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Compressed, for all of them are held: rows of one problem lie far from each other.
    packed: dict[str, bytes] = {}
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["generation", "text"]):
                for row in batch.to_pylist():
                    if row["generation"] and row["text"] is not None:
                        packed[row["generation"]] = zlib.compress(row["text"].encode(), 1)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: {error}") from error

    def texts(keys: Iterable[str]) -> dict[str, str]:
        return {key: zlib.decompress(packed[key]).decode() for key in keys if key in packed}

    return texts
