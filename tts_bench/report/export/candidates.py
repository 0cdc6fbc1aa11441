"""candidates.parquet: every candidate of a run with its text, for reading in a notebook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.report.export.kept import TABLE, KnownTexts
from tts_bench.store.files import staged
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import texts_of
from tts_bench.types import Attempt

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
        for rows in _chunks(_rows(run)):
            untold = [row for row in rows if row["text"] is None]
            known = texts.read(row["generation"] for row in untold)
            for row in untold:
                row["text"] = known.get(row["generation"])
            writer.write_table(pa.Table.from_pylist(rows, schema))
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


def _rows(run: RunStore) -> Iterator[dict[str, Any]]:
    for attempt in run.attempts():
        yield from _rows_of(attempt)


def _rows_of(attempt: Attempt) -> Iterator[dict[str, Any]]:
    pool, texts = attempt.pool, texts_of(attempt)
    for i in range(len(pool)):
        yield {
            "cell": attempt.cell,
            "problem": attempt.problem,
            "seed": attempt.seed,
            "candidate": i,
            "chosen": i == attempt.chosen,
            "text": texts[i],
            "answer": pool.answer[i],
            "correct": pool.correct[i],
            "score": _get(pool.score, i),
            "steps": _get(pool.steps, i),
            "parent": _get(pool.parent, i),
            "node": _get(pool.node, i),
            "tokens": _get(pool.tokens, i),
            "logprob": _get(pool.logprob, i),
            "finish_reason": _get(pool.finish_reason, i),
            "generation": _get(pool.generation, i),
        }


def _get(column: Sequence[Any], i: int) -> Any:
    """An entry of a column, or None if the column is empty."""
    return column[i] if column else None


def _chunks(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(rows, _ROWS_PER_GROUP)):
        yield chunk
