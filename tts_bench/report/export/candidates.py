"""candidates.parquet: every candidate of a run with its text, for reading in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.report.export.kept import TABLE, KnownTexts
from tts_bench.store.files import staged
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import texts_of
from tts_bench.types import Attempt

_Columns = dict[str, list[Any]]

_ROWS_PER_GROUP = 8192
"""Rows in memory at once; 8192 texts of 10 kB are 80 MB."""


def write_candidates(run: RunStore, texts: KnownTexts | None = None) -> bool:
    """Write `candidates.parquet` beside the attempts, a row group at a time.

    Where the run's generation store is absent nothing is written, so that a file made if it
    was stays as it is; returns whether one was written. Texts that the store lacks are those of
    the earlier file or page. Pass what knows the texts if it is open already. Raises StoreError
    if a store or a file cannot be read or written.
    """
    if texts is None:
        with KnownTexts(run) as texts:
            return write_candidates(run, texts)
    if not texts.is_stored:
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with (
        staged(run.folder / TABLE) as beside,
        pq.ParquetWriter(beside, schema, compression="zstd") as writer,
    ):
        for columns in _groups(run):
            told, keys = columns["text"], columns["generation"]
            known = texts.read(key for key, text in zip(keys, told, strict=True) if text is None)
            columns["text"] = [
                known.get(key) if text is None else text
                for key, text in zip(keys, told, strict=True)
            ]
            writer.write_table(pa.Table.from_pydict(columns, schema))
    return True


def count_rows(path: Path) -> int:
    """How many candidates a file has, all of which is read. Raises StoreError if it cannot be."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return sum(batch.num_rows for batch in file.iter_batches(batch_size=1024))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(f"{path}: cannot be read: {str(error)[:200]}") from error


def _schema() -> Any:
    import pyarrow as pa

    name = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("cell", name),
            ("problem", name),
            ("seed", pa.int64()),
            ("candidate", pa.int32()),
            ("chosen", pa.bool_()),
            ("text", pa.string()),
            ("answer", pa.string()),
            ("correct", pa.bool_()),
            ("score", pa.float64()),
            ("steps", pa.list_(pa.float64())),
            ("parent", pa.int32()),
            ("node", pa.int32()),
            ("tokens", pa.int32()),
            ("logprob", pa.float64()),
            ("finish_reason", name),
            ("generation", pa.string()),
        ]
    )


def _groups(run: RunStore) -> Iterator[_Columns]:
    """The candidates of a run, so many at a time."""
    held: _Columns = {}
    for attempt in run.attempts():
        for name, column in _columns_of(attempt).items():
            held.setdefault(name, []).extend(column)
        while len(held["cell"]) > _ROWS_PER_GROUP:
            yield {name: column[:_ROWS_PER_GROUP] for name, column in held.items()}
            held = {name: column[_ROWS_PER_GROUP:] for name, column in held.items()}
    if held and held["cell"]:
        yield held


def _columns_of(attempt: Attempt) -> dict[str, Sequence[Any]]:
    pool = attempt.pool
    size = len(pool)

    def filled(column: Sequence[Any]) -> Sequence[Any]:
        return column or [None] * size

    return {
        "cell": [attempt.cell] * size,
        "problem": [attempt.problem] * size,
        "seed": [attempt.seed] * size,
        "candidate": range(size),
        "chosen": [i == attempt.chosen for i in range(size)],
        "text": texts_of(attempt),
        "answer": pool.answer,
        "correct": pool.correct,
        "score": filled(pool.score),
        "steps": filled(pool.steps),
        "parent": filled(pool.parent),
        "node": filled(pool.node),
        "tokens": filled(pool.tokens),
        "logprob": filled(pool.logprob),
        "finish_reason": filled(pool.finish_reason),
        "generation": filled(pool.generation),
    }
