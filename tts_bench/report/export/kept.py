"""Texts of a run's completions that its generation store lacks, out of an earlier report."""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import RunTexts

TABLE, PAGE = "candidates.parquet", "report.html"

_SCHEMA = """
CREATE TABLE texts (key TEXT PRIMARY KEY, packed BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE missing (key TEXT PRIMARY KEY, kept INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE places (
    problem TEXT, cell TEXT, seed INTEGER, packed BLOB NOT NULL,
    PRIMARY KEY (problem, cell, seed)
) WITHOUT ROWID;
"""
_OVERVIEW = re.compile(rb'<script type="application/json" id="overview">(.*)</script>\n')
_CHUNK = re.compile(
    rb'<script type="application/octet-stream;base64" id="chunk-(\d+)">(.*)</script>\n'
)


class KnownTexts:
    """Texts by key: from the generation store, and else as an earlier report has them.

    The earlier `candidates.parquet` and `report.html` of the run are read when a text is first
    missing, into a temporary file, so that what a new report cannot read again is not lost.
    """

    def __init__(self, run: RunStore) -> None:
        self._run = run
        self._stored = RunTexts(run)
        # SQLite keeps a database without a name in a temporary file, and removes that itself.
        self._beside = sqlite3.connect("")
        self._beside.executescript(_SCHEMA)
        self._read_earlier = False

    def __enter__(self) -> KnownTexts:
        return self

    def __exit__(self, *_: object) -> None:
        self._stored.__exit__()
        self._beside.close()

    @property
    def is_stored(self) -> bool:
        """Whether the generation store is where the manifest says."""
        return self._stored.is_stored

    @property
    def any(self) -> bool:
        """Whether any text is to be had."""
        return self.is_stored or self._has_earlier()

    def read(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that are known, by key. Raises StoreError if a file cannot be read."""
        wanted = dict.fromkeys(filter(None, keys))
        found = self._stored.stored(wanted) if self.is_stored else {}
        if missing := [key for key in wanted if key not in found]:
            with _no_room_for_temporary_files():
                earlier = self._earlier(missing)
                rows = [(key, key in earlier) for key in missing]
                self._beside.executemany("INSERT OR IGNORE INTO missing VALUES (?, ?)", rows)
            found |= earlier
        return found

    @property
    def lost(self) -> int:
        """How many texts that were asked for are nowhere."""
        return self._count("missing WHERE NOT kept")

    def note(self) -> str | None:
        """How many texts the store lacks, and what became of them so far, in one line."""
        if not self.is_stored or not (missing := self._count("missing")):
            return None
        return (
            f"texts not in {self._stored.path}: {missing}; kept from the earlier {TABLE} or "
            f"{PAGE}: {missing - self.lost}; nowhere, so left empty: {self.lost}"
        )

    def _count(self, table: str) -> int:
        count: int = self._beside.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count

    def _has_earlier(self) -> bool:
        with _no_room_for_temporary_files():
            self._read_once()
        return self._count("texts") > 0

    def _earlier(self, keys: Iterable[str]) -> dict[str, str]:
        self._read_once()
        found = {}
        for key in keys:
            row = self._beside.execute("SELECT packed FROM texts WHERE key = ?", (key,)).fetchone()
            if row is not None:
                found[key] = zlib.decompress(row[0]).decode()
        return found

    def _read_once(self) -> None:
        if self._read_earlier:
            return
        self._read_earlier = True
        table, page = self._run.folder / TABLE, self._run.folder / PAGE
        if table.is_file():
            self._keep(_texts_of_table(table))
        if page.is_file():
            self._note_places()
            self._keep(self._texts_of_page(page))

    def _keep(self, texts: Iterable[tuple[str, str]]) -> None:
        self._beside.executemany(
            "INSERT OR IGNORE INTO texts VALUES (?, ?)",
            ((key, zlib.compress(text.encode("utf-8", "replace"), 1)) for key, text in texts),
        )

    def _note_places(self) -> None:
        """Remember which completions the attempts have: a page names no keys."""
        self._beside.executemany(
            "INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?)",
            (
                (one.problem, one.cell, one.seed, _pack([one.pool.generation, one.pool.answer]))
                for one in self._run.attempts()
                if one.pool.generation
            ),
        )

    def _texts_of_page(self, path: Path) -> Iterator[tuple[str, str]]:
        """Texts by key, problem by problem; nothing of an attempt that is another by now."""
        overview: dict[str, Any] = {"problems": [], "cells": []}
        try:
            with path.open("rb") as file:
                for line in file:
                    if found := _OVERVIEW.fullmatch(line):
                        overview = json.loads(found[1])
                    elif found := _CHUNK.fullmatch(line):
                        problem = overview["problems"][int(found[1])]["id"]
                        cells = [cell["id"] for cell in overview["cells"]]
                        chunk = json.loads(zlib.decompress(base64.b64decode(found[2])))
                        yield from self._texts_of_chunk(problem, cells, chunk)
        except (OSError, ValueError, LookupError, TypeError, zlib.error) as error:
            raise StoreError(
                f"{path}: cannot be read, and may be all that has some texts of this run: "
                "move it elsewhere and report again"
            ) from error

    def _texts_of_chunk(
        self, problem: str, cells: list[str], chunk: Any
    ) -> Iterator[tuple[str, str]]:
        texts = ["".join(steps) for steps in chunk["texts"]]
        for attempt in chunk["attempts"]:
            place = (problem, cells[attempt["cell"]], attempt["seed"])
            row = self._beside.execute(
                "SELECT packed FROM places WHERE problem = ? AND cell = ? AND seed = ?", place
            ).fetchone()
            keys, answers = _unpack(row[0]) if row else ([], [])
            pool = attempt["pool"]
            if pool["answer"] == answers:
                for key, text in zip(keys, pool["text"], strict=True):
                    if key and text is not None:
                        yield key, texts[text]


@contextmanager
def _no_room_for_temporary_files() -> Iterator[None]:
    """Raise StoreError if the temporary file cannot hold more."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(
            f"temporary files: {error}; SQLITE_TMPDIR names another folder for them"
        ) from error


def _texts_of_table(path: Path) -> Iterator[tuple[str, str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024, columns=["generation", "text"]):
                for row in batch.to_pylist():
                    if row["generation"] and row["text"] is not None:
                        yield row["generation"], row["text"]
    except (OSError, ValueError, pa.ArrowException) as error:
        raise StoreError(
            f"{path}: cannot be read, and may be all that has some texts of this run: "
            "move it elsewhere and report again"
        ) from error


def _pack(value: Any) -> bytes:
    return zlib.compress(json.dumps(value).encode(), 1)


def _unpack(data: bytes) -> Any:
    return json.loads(zlib.decompress(data))
