"""GenerationStore: every completion and score ever made, under the hash of its whole request.

One mechanism gives three things: resume at the exact request after any crash, for every
strategy; each draw paid for once though many strategies use it; and replay without a model. It
also keeps what a replay needs beside the completions: what the engine said of itself and the
token ids of every encoded text.
"""

from __future__ import annotations

import asyncio
import json
import operator
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.store.rows import (
    Row,
    T,
    as_text,
    checksum,
    read_row,
    rows_of,
    to_completion,
    to_row,
    to_text,
)
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.cached import pack, unpack

GENERATIONS = "generations.sqlite"
"""Name of the store that all runs of a results folder share."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT PRIMARY KEY, ids BLOB NOT NULL, text TEXT NOT NULL, logprob REAL NOT NULL,
    finish_reason TEXT NOT NULL, stop TEXT, cached INTEGER NOT NULL,
    first_logprobs BLOB NOT NULL DEFAULT x'', counts TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scores (key TEXT PRIMARY KEY, scoring BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS checksums (
    kind TEXT NOT NULL, key TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (kind, key)
) WITHOUT ROWID;
"""
_VERSION = 3
_STEPS = {
    1: "ALTER TABLE completions ADD COLUMN first_logprobs BLOB NOT NULL DEFAULT x''",
    2: "ALTER TABLE completions ADD COLUMN counts TEXT",
}
"""What brings a file of each version to the next one."""


class GenerationStore:
    """SQLite file (WAL) of completions and facts; survives kill -9 at any moment.

    One thread owns the connection. Writes that arrive while a commit runs share the next one,
    and `put` returns only when its completion is committed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="generation-store")
        self._connection: sqlite3.Connection | None = None
        self.damaged: set[str] = set()
        """Keys of rows that are not what was stored; they count as absent, and are replaced."""
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
        stored: dict[str, Scoring] = await self._run(self._insert_scores, scorings)
        return stored

    async def absorb(self, path: Path) -> None:
        """Take up everything of another store that is not here. Raises StoreError."""
        await self._run(self._absorb, path)

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
            raise StoreError(_unreadable(self.path, error)) from error

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
        return self._undamaged("completions", keys, to_completion)

    def _insert(self, rows: list[tuple[str, Completion]]) -> list[Completion]:
        # In the order of their keys neighbours are written together; the file is the same to all.
        ordered = sorted(rows, key=operator.itemgetter(0))
        ignored = self._put_rows("completions", [to_row(key, done) for key, done in ordered])
        stored = self._select(ignored)
        if self.damaged.intersection(ignored):
            return self._insert(rows)
        return [stored.get(key, completion) for key, completion in rows]

    def _select_scores(self, keys: list[str]) -> dict[str, Scoring]:
        return self._undamaged("scores", keys, lambda row: unpack(row[1]))

    def _insert_scores(self, scorings: Mapping[str, Scoring]) -> dict[str, Scoring]:
        ignored = self._put_rows("scores", [(key, pack(one)) for key, one in scorings.items()])
        stored = self._select_scores(ignored)
        if self.damaged.intersection(ignored):
            return self._insert_scores(scorings)
        return {key: stored.get(key, one) for key, one in scorings.items()}

    def _select_facts(self, prefix: str) -> dict[str, Any]:
        keys = self._db.execute(
            "SELECT key FROM facts WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)
        )
        found = self._undamaged("facts", [key for (key,) in keys], lambda row: json.loads(row[1]))
        return {key[len(prefix) :]: value for key, value in found.items()}

    def _insert_facts(self, rows: list[tuple[str, str]]) -> None:
        self.damaged.update(key for key, _ in rows)  # a fact replaces what is there
        self._put_rows("facts", rows)

    def _absorb(self, path: Path) -> None:
        try:
            self._db.execute("ATTACH DATABASE ? AS other", (f"{path.resolve().as_uri()}?mode=ro",))
        except sqlite3.Error as error:
            raise StoreError(_unreadable(path, error)) from error
        try:
            with self._db:
                for table in ("completions", "scores", "facts", "checksums"):
                    columns = self._db.execute(f"PRAGMA other.table_info({table})").fetchall()
                    names = ", ".join(str(column[1]) for column in columns)
                    if names:  # an older version's store lacks some
                        self._db.execute(
                            f"INSERT OR IGNORE INTO {table} ({names}) "
                            f"SELECT {names} FROM other.{table}"
                        )
        except sqlite3.Error as error:
            raise StoreError(_unreadable(path, error)) from error
        finally:
            self._db.execute("DETACH DATABASE other")

    def _undamaged(
        self, table: str, keys: list[str], read: Callable[[tuple[Any, ...]], T]
    ) -> dict[str, T]:
        found = {}
        for row, is_whole in rows_of(self._db, table, keys):
            value = read_row(row, read) if is_whole else None
            if value is None:
                self.damaged.add(row[0])
            else:
                found[row[0]] = value
        return found

    def _put_rows(self, table: str, rows: Sequence[tuple[Any, ...]]) -> list[str]:
        """Store rows that are not there, or damaged; the keys of those that were."""
        ignored, marks = [], ", ".join("?" * len(rows[0])) if rows else ""
        with self._db:
            for row in rows:
                if row[0] in self.damaged:
                    self._db.execute(f"DELETE FROM {table} WHERE key = ?", row[:1])
                insert = f"INSERT OR IGNORE INTO {table} VALUES ({marks})"
                if self._db.execute(insert, row).rowcount:
                    sealed = (table, row[0], checksum(row))
                    self._db.execute("INSERT OR REPLACE INTO checksums VALUES (?, ?, ?)", sealed)
                else:
                    ignored.append(row[0])
        self.damaged.difference_update(row[0] for row in rows)
        return ignored


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
        # In a folder that cannot be written, SQLite reads a store in WAL mode only if it is told
        # that nobody else writes to it, which holds unless there is a log beside it.
        frozen = f"{uri}&immutable=1" if not path.with_name(f"{path.name}-wal").exists() else uri
        try:
            try:
                self._connection = _opened(uri)
            except sqlite3.OperationalError:
                self._connection = _opened(frozen)
        except sqlite3.Error as error:
            raise StoreError(_unreadable(path, error)) from error

    def __enter__(self) -> TextReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, keys: Iterable[str]) -> dict[str, str]:
        """The texts that are there and undamaged, by key."""
        return {row[0]: row[2] for row, is_whole in self._completions(keys) if is_whole}

    def damaged(self, keys: Iterable[str]) -> list[str]:
        """The keys of completions that are there, and are not what was stored."""
        return [row[0] for row, is_whole in self._completions(keys) if not is_whole]

    def count_whole(self, keys: Iterable[str]) -> int:
        """How many completions are there and undamaged."""
        return sum(is_whole for _, is_whole in self._completions(keys))

    def _completions(self, keys: Iterable[str]) -> Iterator[tuple[Row, bool]]:
        """The rows of completions that are there, and whether each is what was stored.

        They are read in the order of the file, which is that of the keys.
        """
        try:
            for row, is_whole in rows_of(self._connection, "completions", sorted(set(keys))):
                yield row, is_whole and read_row(row, to_text) is not None
        except sqlite3.Error as error:
            raise StoreError(_unreadable(self.path, error)) from error

    def damaged_besides(self) -> dict[str, list[str]]:
        """Keys of damaged scores and facts, of all runs that share the store, by table."""
        kinds: dict[str, Callable[[Row], object]] = {
            "scores": lambda row: unpack(row[1]),
            "facts": lambda row: [json.loads(row[1])],
        }
        found = {}
        try:
            for table, read in kinds.items():
                has = "SELECT count(*) FROM sqlite_master WHERE name = ?"
                if not self._connection.execute(has, (table,)).fetchone()[0]:
                    continue  # of an older version
                keys = [key for (key,) in self._connection.execute(f"SELECT key FROM {table}")]
                rows = rows_of(self._connection, table, keys)
                damaged = [
                    row[0] for row, is_whole in rows if not is_whole or read_row(row, read) is None
                ]
                if damaged:
                    found[table] = damaged
        except sqlite3.Error as error:
            raise StoreError(_unreadable(self.path, error)) from error
        return found

    def fault(self) -> str | None:
        """What SQLite finds wrong with the file as a whole, or None."""
        try:
            found = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            return str(error)
        return None if found == "ok" else str(found)


def _opened(uri: str) -> sqlite3.Connection:
    """A connection that has read something: SQLite opens a file at the first question only."""
    connection = sqlite3.connect(uri, uri=True, timeout=60)
    connection.text_factory = as_text
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _unreadable(path: Path, error: sqlite3.Error) -> str:
    """What to do with a store that SQLite cannot read."""
    if isinstance(error, sqlite3.OperationalError):  # locked, full, read-only: the file is whole
        return f"{path}: {error}"
    return (
        f"{path}: {error}; it is damaged: move it elsewhere (reports keep the texts they have), "
        "and runs make what they need again"
    )


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path.resolve().as_uri(), uri=True, timeout=60, check_same_thread=False
    )
    connection.text_factory = as_text
    # Of a new file. A row beyond a quarter of a page has the rest on pages of its own, so that of
    # the usual 4 kB a text of 1,000 characters would fill two.
    connection.execute("PRAGMA page_size=16384")
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
        if not 0 <= version <= _VERSION:
            raise StoreError(f"{path}: generation store of format {version}, not {_VERSION}")
        for step in range(version or _VERSION, _VERSION):
            connection.execute(_STEPS[step])
        for statement in filter(str.strip, _SCHEMA.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()  # which rolls back
        raise
    connection.isolation_level = "DEFERRED"
