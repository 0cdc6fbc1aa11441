"""GenerationStore: every completion and score ever made, under the hash of its whole request.

One mechanism gives three things: resume at the exact request after any crash, for every
strategy; each draw paid for once though many strategies use it; and replay without a model. It
also keeps what a replay needs beside the completions: what the engine said of itself and the
token ids of every encoded text.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.cached import pack, unpack

_SCHEMA = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT PRIMARY KEY, ids BLOB NOT NULL, text TEXT NOT NULL, logprob REAL NOT NULL,
    finish_reason TEXT NOT NULL, stop TEXT, cached INTEGER NOT NULL,
    first_logprobs BLOB NOT NULL DEFAULT x''
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, scoring BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_VERSION = 2
_FROM_1_TO_2 = "ALTER TABLE completions ADD COLUMN first_logprobs BLOB NOT NULL DEFAULT x''"
_KEYS_PER_QUERY = 500


class GenerationStore:
    """SQLite file (WAL) of completions and facts; survives kill -9 at any moment.

    One thread owns the connection. Writes that arrive while a commit runs share the next one,
    and `put` returns only when its completion is committed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generation-store")
        self._connection: sqlite3.Connection | None = None
        self._waiting: list[tuple[str, Completion, asyncio.Future[Completion]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> GenerationStore:
        await self._run(self._open)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._writer is not None:
            await self._writer
        await self._run(self._close)
        self._thread.shutdown()

    async def get_many(self, keys: Sequence[str]) -> dict[str, Completion]:
        """The completions that are stored, by key."""
        found: dict[str, Completion] = await self._run(self._select, list(keys))
        return found

    async def put(self, key: str, completion: Completion) -> Completion:
        """Store a completion; returns once it is committed.

        Where another process has stored one of the same key in the meantime, that one stays
        and is returned: a recorded run must find the very completion that it used.
        """
        done: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, completion, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        return await done

    async def get_scores(self, keys: Sequence[str]) -> dict[str, Scoring]:
        """The scores that are stored, by key."""
        found: dict[str, Scoring] = await self._run(self._select_scores, list(keys))
        return found

    async def put_scores(self, scorings: Mapping[str, Scoring]) -> dict[str, Scoring]:
        """Store scores; where another process has stored one meanwhile, that one is returned."""
        rows = [(key, pack(one)) for key, one in scorings.items()]
        await self._run(self._insert_scores, rows)
        return await self.get_scores(list(scorings))

    async def get_facts(self, prefix: str) -> dict[str, Any]:
        """The stored JSON values whose keys begin so, by the rest of the key."""
        found: dict[str, Any] = await self._run(self._select_facts, prefix)
        return found

    async def put_facts(self, prefix: str, facts: Mapping[str, Any]) -> None:
        """Store JSON values under `prefix` + key, replacing what is there."""
        rows = [(prefix + key, json.dumps(value)) for key, value in facts.items()]
        await self._run(self._insert_facts, rows)

    async def _run(self, function: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, function, *arguments
            )
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                stored = await self._run(self._insert, [(key, done) for key, done, _ in batch])
            except Exception as error:  # whoever waits must hear of it, whatever it is
                for _, _, future in batch:
                    if not future.done():
                        future.set_exception(_as_store_error(self.path, error))
                continue
            for (_, _, future), completion in zip(batch, stored, strict=True):
                if not future.done():
                    future.set_result(completion)

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = _connect(self.path)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.path}: the generation store is not open")
        return self._connection

    def _select(self, keys: list[str]) -> dict[str, Completion]:
        return dict(_read_completions(self._db, keys))

    def _insert(self, rows: list[tuple[str, Completion]]) -> list[Completion]:
        with self._db:
            added = self._db.executemany(
                "INSERT OR IGNORE INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_to_row(key, completion) for key, completion in rows],
            ).rowcount
        if added == len(rows):
            return [completion for _, completion in rows]
        stored = self._select([key for key, _ in rows])
        return [stored[key] for key, _ in rows]

    def _select_scores(self, keys: list[str]) -> dict[str, Scoring]:
        rows = _rows_of(self._db, "scores", keys)
        return {key: unpack(blob) for key, blob in rows}

    def _insert_scores(self, rows: list[tuple[str, bytes]]) -> None:
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?)", rows)

    def _select_facts(self, prefix: str) -> dict[str, Any]:
        rows = self._db.execute(
            "SELECT key, value FROM facts WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )
        return {key[len(prefix) :]: json.loads(value) for key, value in rows}

    def _insert_facts(self, rows: list[tuple[str, str]]) -> None:
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?)", rows)


def _as_store_error(path: Path, error: Exception) -> StoreError:
    return error if isinstance(error, StoreError) else StoreError(f"{path}: {error}")


class TextReader:
    """Texts of stored completions over one read-only connection, for those who only read.

    Raises StoreError if the file is absent or is no generation store.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise StoreError(f"{path}: no generation store there")
        uri = f"{path.absolute().as_uri()}?mode=ro"
        try:
            self._connection = sqlite3.connect(uri, uri=True, timeout=60)
        except sqlite3.Error as error:
            raise StoreError(f"{path}: {error}") from error

    def __enter__(self) -> TextReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that are there, by key."""
        try:
            return dict(_rows_of(self._connection, "completions", list(keys), "key, text"))
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    # In WAL mode NORMAL survives the death of the process at any moment; only a power cut can
    # lose the last commits, and never the file.
    connection.execute("PRAGMA synchronous=NORMAL")
    _migrate(connection, path)
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring a new or an older file to this format; nothing that is stored is rewritten."""
    connection.isolation_level = None  # sqlite3 would commit before a change of the schema
    connection.execute("BEGIN IMMEDIATE")  # another process may be opening the file as well
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, 1, _VERSION):
            raise StoreError(f"{path}: generation store of format {version}, not {_VERSION}")
        if version == 1:
            connection.execute(_FROM_1_TO_2)
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()  # which rolls back
        raise
    connection.isolation_level = "DEFERRED"


def _to_row(key: str, done: Completion) -> tuple[Any, ...]:
    ids = array("i", done.token_ids).tobytes()
    return (
        key,
        ids,
        done.text,
        done.logprob,
        done.finish_reason,
        done.stop,
        done.cached_prompt_tokens,
        array("d", done.first_logprobs).tobytes(),
    )


def _read_completions(
    connection: sqlite3.Connection, keys: list[str]
) -> Iterator[tuple[str, Completion]]:
    for row in _rows_of(connection, "completions", keys):
        key, ids, text, logprob, finish_reason, stop, cached, first = row
        numbers, logprobs = array("i"), array("d")
        numbers.frombytes(ids)
        logprobs.frombytes(first)
        done = (tuple(numbers), text, logprob, finish_reason, stop, cached, key, tuple(logprobs))
        yield key, Completion(*done)


def _rows_of(
    connection: sqlite3.Connection, table: str, keys: list[str], columns: str = "*"
) -> Iterator[Any]:
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        part = keys[start : start + _KEYS_PER_QUERY]
        marks = ",".join("?" * len(part))
        query = f"SELECT {columns} FROM {table} WHERE key IN ({marks})"
        yield from connection.execute(query, part)
