"""A run's texts: whole, from wherever they are, over one connection."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tts_bench.engine.base import Completion
from tts_bench.errors import StoreError
from tts_bench.store import texts
from tts_bench.store.generations import GenerationStore
from tts_bench.store.texts import RunTexts
from tts_bench.types import Attempt, Pool, SearchTree


def attempt(**columns: Any) -> Attempt:
    size = len(next(iter(columns.values())))
    tree = columns.pop("tree", None)
    pool = Pool(answer=("1",) * size, correct=(True,) * size, **columns)
    return Attempt("c", "p", 0, "ok", "1", True, 0, pool=pool, tree=tree)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every SQLite file that is opened from here on."""
    connect, found = sqlite3.connect, []

    def counted(path: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        found.append(str(path))
        return connect(path, *arguments, **options)

    monkeypatch.setattr(sqlite3, "connect", counted)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    async def fill() -> None:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            for key in "abcdef":
                await store.put(key, Completion((1,), f"text {key}", 0.0, "stop"))

    asyncio.run(fill())
    monkeypatch.setattr(texts, "generations_of", lambda run: run.generations)
    return SimpleNamespace(folder=tmp_path, generations=tmp_path / "g.sqlite")


def test_many_attempts_are_read_over_one_connection_that_is_closed(run: Any, opened: list[str]):
    with RunTexts(run) as found:
        assert opened == [], "nothing was asked yet"
        pairs = [found.of(attempt(generation=(key, "b"))) for key in "acdef"]
        assert pairs == [[f"text {key}", "text b"] for key in "acdef"]
        assert found.stored(["a", "", "absent", "a"]) == {"a": "text a"}
        assert len(opened) == 1
        reader = found._reader
    assert reader is not None
    with pytest.raises(StoreError, match="closed"):
        reader.read(["a"])


def test_texts_that_the_attempt_has_open_nothing(run: Any, opened: list[str]):
    tree = SearchTree((None, 0), (1, 2), ("first ", "second"), (0.5, 0.5))
    with RunTexts(run) as found:
        assert found.of(attempt(node=(1, 0), tree=tree)) == ["first second", "first "]
        assert found.of(attempt(text=("whole",), generation=("a",))) == ["whole"]
        assert found.of(attempt(generation=("",))) == [None]
    assert opened == []


def test_a_text_that_is_nowhere_is_none_and_an_absent_store_an_error(run: Any, tmp_path: Path):
    with RunTexts(run) as found:
        assert found.is_stored
        assert found.of(attempt(generation=("absent", "a"))) == [None, "text a"]
    run.generations = tmp_path / "gone.sqlite"
    with RunTexts(run) as found:
        assert not found.is_stored
        with pytest.raises(StoreError, match="no generation store there"):
            found.of(attempt(generation=("a",)))
    run.generations = None
    with RunTexts(run) as found, pytest.raises(StoreError, match="names no generation store"):
        found.of(attempt(generation=("a",)))
