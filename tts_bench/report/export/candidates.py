"""candidates.parquet: every candidate of a run with its text, for reading in a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.store.generations import TextReader
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import texts_of
from tts_bench.types import Attempt

FILE = "candidates.parquet"

_ROWS_PER_GROUP = 8192
"""Rows in memory at once; 8192 texts of 10 kB are 80 MB."""


def write_candidates(run: RunStore, generations: Path | None) -> bool:
    """Write `candidates.parquet` beside the attempts, a row group at a time.

    `generations` is the generation store that has the texts. Where it is absent nothing is
    written, so that a file made if it was stays as it is; returns whether one was written.
    Raises StoreError if a store or the file cannot be read or written.
    """
    if generations is None or not generations.is_file():
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = run.folder / FILE
    staged = run.folder / f".{FILE}-{os.getpid()}"
    schema = _schema()
    try:
        with (
            TextReader(generations) as reader,
            pq.ParquetWriter(staged, schema, compression="zstd") as writer,
        ):
            for rows in _chunks(_rows(run)):
                untold = [row for row in rows if row["text"] is None]
                keys = dict.fromkeys(row["generation"] for row in untold if row["generation"])
                texts = reader.read(keys)
                for row in untold:
                    row["text"] = texts.get(row["generation"])
                writer.write_table(pa.Table.from_pylist(rows, schema))
        os.replace(staged, target)
    except OSError as error:
        raise StoreError(f"{target}: {error.strerror or error}") from error
    finally:
        staged.unlink(missing_ok=True)
    return True


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
