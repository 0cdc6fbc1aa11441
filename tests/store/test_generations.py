from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Completion, Request, TokenCounts
from tts_bench.engine.cached import CachedEngine, request_keys
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.errors import EngineError, ReplayMiss, StoreError
from tts_bench.store.generations import GenerationStore, TextReader
from tts_bench.types import Sampling, Score
from tts_bench.verifier.base import Scoring

DONE = Completion((1, 2, 70000), "text \u2211", -1.25, "stop", "\n\n", 7)


def request(seed: int = 0, ids=(1, 2), **sampling) -> Request:
    return Request(ids, Sampling(**{"max_tokens": 9, **sampling}), seed)


def test_a_completion_comes_back_as_it_was_stored(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put("k", DONE)
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            return await store.get_many(["k", "absent"])

    [(key, found)] = asyncio.run(go()).items()
    assert key == found.key == "k"
    assert (found.token_ids, found.text, found.logprob) == (DONE.token_ids, DONE.text, DONE.logprob)
    assert (found.finish_reason, found.stop, found.cached_prompt_tokens) == ("stop", "\n\n", 7)


def test_what_an_api_counted_comes_back_and_a_log_probability_that_none_gave(tmp_path: Path):
    """Also beside rows of format 2, whose checksums know nothing of the new column."""
    path = tmp_path / "g.sqlite"
    counted = replace(DONE, logprob=math.nan, counts=TokenCounts(12, 400, 380))

    async def go():
        async with GenerationStore(path) as store:
            await store.put("old", DONE)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("ALTER TABLE completions DROP COLUMN counts")
            connection.execute("PRAGMA user_version=2")
        async with GenerationStore(path) as store:
            await store.put("new", counted)
            await store.put("told nothing", replace(counted, counts=TokenCounts()))
            return await store.get_many(["old", "new", "told nothing"]), store.damaged

    found, damaged = asyncio.run(go())
    assert not damaged
    assert found["old"] == replace(DONE, key="old")
    assert found["new"] == replace(counted, key="new")
    assert found["new"].written == 400
    assert found["told nothing"].written is None
    assert TextReader(path).damaged(["old", "new"]) == []


def test_many_puts_at_once_are_all_stored_and_texts_are_read_in_chunks(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await asyncio.gather(*(store.put(str(i), DONE) for i in range(1200)))

    asyncio.run(go())
    texts = TextReader(tmp_path / "g.sqlite").read(map(str, range(1200)))
    assert len(texts) == 1200


def test_what_put_has_returned_survives_kill_9(tmp_path: Path):
    script = f"""
import asyncio, os, signal
from pathlib import Path
from tts_bench.engine.base import Completion
from tts_bench.store.generations import GenerationStore
async def go():
    async with GenerationStore(Path({str(tmp_path / "g.sqlite")!r})) as store:
        for i in range(1000):
            await store.put(str(i), Completion((1,), "t", 0.0, "stop"))
            if i == 57:
                os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(go())
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    assert len(TextReader(tmp_path / "g.sqlite").read(map(str, range(1000)))) == 58


def test_a_file_that_is_no_store_is_one_clear_error(tmp_path: Path):
    (tmp_path / "g.sqlite").write_text("not a database, but long enough to be taken for one" * 9)

    async def go():
        async with GenerationStore(tmp_path / "g.sqlite"):
            pass

    with pytest.raises(StoreError, match="not a database"):
        asyncio.run(go())
    with pytest.raises(StoreError, match="not a database"):
        TextReader(tmp_path / "g.sqlite").read(["a"])
    with pytest.raises(StoreError, match="no generation store there"):
        TextReader(tmp_path / "absent").read(["a"])


def test_a_store_of_another_format_is_refused(tmp_path: Path):
    with sqlite3.connect(tmp_path / "g.sqlite") as connection:
        connection.execute("PRAGMA user_version=99")

    async def go():
        async with GenerationStore(tmp_path / "g.sqlite"):
            pass

    with pytest.raises(StoreError, match="format 99, not 3"):
        asyncio.run(go())


def test_a_full_disk_fails_the_put_and_keeps_what_was_there(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put("first", DONE)
            await store._run(lambda: store._db.execute("PRAGMA max_page_count=1"))
            large = Completion((1,) * 50_000, "x" * 50_000, 0.0, "stop")
            with pytest.raises(StoreError, match="full"):
                await store.put("too large", large)

    asyncio.run(go())
    assert TextReader(tmp_path / "g.sqlite").read(["first"]) == {"first": DONE.text}


def test_every_part_of_a_request_is_in_its_key():
    same = [request(), request(), request(ids=(1, 3)), request()]
    base, again, other, last = request_keys("engine", same)
    assert base == again == last
    requests = [
        request(seed=1),
        request(ids=(1, 3)),
        request(max_tokens=8),
        request(temperature=0.5),
        request(top_p=0.5),
        request(top_k=5),
        request(stop=("a",)),
        request(stop=("a", "b")),
        request(stop=("a, b",)),
    ]
    others = [*request_keys("other", [request()]), *request_keys("engine", requests)]
    assert other in others
    assert len({base, *others}) == 1 + len(others)


class Counted:
    """A scripted engine that counts how often it is asked."""

    def __init__(self):
        self.asked = 0

    def engine(self) -> ScriptedEngine:
        def script(prompt, request):
            self.asked += 1
            return f"answer {request.seed}"

        return ScriptedEngine(script)


def cached(counted: Counted, path: Path, work, **options):
    async def go():
        async with GenerationStore(path) as store:
            engine = CachedEngine(counted.engine(), store, **options)
            await engine.start()
            try:
                return await work(engine)
            finally:
                await engine.close()

    return asyncio.run(go())


def test_each_request_is_made_once_within_and_across_runs(tmp_path: Path):
    counted, path = Counted(), tmp_path / "g.sqlite"

    async def twice_at_once(engine):
        both = await asyncio.gather(
            engine.generate_all([request(i) for i in range(50)]),
            engine.generate_all([request(i) for i in range(60)]),
        )
        assert [done.text for done in both[1]] == [f"answer {i}" for i in range(60)]
        return both[0]

    first = cached(counted, path, twice_at_once)
    assert counted.asked == 60
    assert cached(counted, path, twice_at_once) == first
    assert counted.asked == 60


def test_draws_of_one_prompt_stay_distinct_in_the_store(tmp_path: Path):
    async def eight(engine):
        return await engine.generate_all([request(i) for i in range(8)])

    for _ in range(2):
        assert len({done.text for done in cached(Counted(), tmp_path / "g.sqlite", eight)}) == 8


def test_a_salt_keeps_completions_apart(tmp_path: Path):
    counted, path = Counted(), tmp_path / "g.sqlite"

    async def one_twice(engine):
        await engine.generate(request(1))
        return await engine.generate(request(1))

    plain = cached(counted, path, one_twice)
    salted = cached(counted, path, one_twice, salt="fresh")
    assert counted.asked == 2
    assert plain.key != salted.key
    cached(counted, path, one_twice, salt="fresh")
    assert counted.asked == 2


def test_of_two_completions_of_one_key_the_first_stays_and_both_get_it(tmp_path: Path):
    other = replace(DONE, text="drawn by another process")

    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            return [await store.put("k", DONE), await store.put("k", other)]

    first, second = asyncio.run(go())
    assert first.text == second.text == DONE.text
    assert TextReader(tmp_path / "g.sqlite").read(["k"]) == {"k": DONE.text}


def test_a_completion_that_cannot_be_stored_is_an_error_and_holds_nobody_up(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            with pytest.raises(StoreError, match="surrogates not allowed"):
                await store.put("k", replace(DONE, text="\ud800"))
            await store.put("l", DONE)

    asyncio.run(asyncio.wait_for(go(), 30))


def test_the_longest_text_is_part_of_the_identity():
    info = asyncio.run(ScriptedEngine(lambda *_: "").start())
    assert info.identity != replace(info, max_model_len=24).identity


def test_replay_answers_without_the_engine_and_a_miss_is_an_error(tmp_path: Path):
    counted, path = Counted(), tmp_path / "g.sqlite"

    async def work(engine):
        chat = [{"role": "user", "content": "q"}]
        ids = engine.tokenizer.encode("Wait"), engine.tokenizer.encode_chat(chat, {})
        return ids, await engine.generate(request(1))

    recorded = cached(counted, path, work)
    assert cached(counted, path, work, replay=True) == recorded
    assert counted.asked == 1

    async def other_request(engine):
        await engine.generate(request(2))

    async def other_text(engine):
        engine.tokenizer.encode("never encoded")

    for miss in (other_request, other_text):
        with pytest.raises(ReplayMiss, match="never"):
            cached(counted, path, miss, replay=True)
    with pytest.raises(ReplayMiss, match=r"^nothing was ever recorded with scripted"):
        cached(counted, tmp_path / "empty.sqlite", work, replay=True)


def test_a_failure_is_raised_and_the_request_is_tried_again(tmp_path: Path):
    fail = [True]

    def script(prompt, request):
        if fail[0]:
            raise RuntimeError("no")
        return "yes"

    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            engine = CachedEngine(ScriptedEngine(script), store)
            await engine.start()
            with pytest.raises(EngineError, match="RuntimeError: no"):
                await engine.generate_all([request(1), request(2)])
            fail[0] = False
            return await engine.generate(request(1))

    assert asyncio.run(go()).text == "yes"


def test_a_draw_that_another_attempt_stored_while_we_looked_is_not_made_again(tmp_path: Path):
    """The first look-up of the second attempt answers from before the first one's draw."""
    counted = Counted()

    class Slow(GenerationStore):
        looks = 0

        async def get_many(self, keys):
            self.looks += 1
            look = self.looks
            found = await super().get_many(keys)
            if look == 2:
                await stored.wait()
            return found

    async def go():
        async with Slow(tmp_path / "g.sqlite") as store:
            engine = CachedEngine(counted.engine(), store)
            await engine.start()
            first = asyncio.create_task(engine.generate(request(1)))
            second = asyncio.create_task(engine.generate(request(1)))
            await first
            stored.set()
            return await first, await second

    stored = asyncio.Event()
    first, second = asyncio.run(asyncio.wait_for(go(), 30))
    assert first.text == second.text
    assert counted.asked == 1


SCORED = Scoring(Score(0.1 + 0.2, (1 / 3, -7.5)), (Call((1, 70000), 0, 1, logits=2), Call((), 4)))


def test_scores_come_back_as_they_were_stored_and_absent_ones_are_left_out(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put_scores({str(i): SCORED for i in range(1200)})
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            assert await store.get_scores([]) == {}
            return await store.get_scores([*map(str, range(1200)), "absent"])

    found = asyncio.run(go())
    assert found == {str(i): SCORED for i in range(1200)}


def test_of_two_scores_of_one_key_the_first_stays_and_both_get_it(tmp_path: Path):
    other = Scoring(Score(9.0))

    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            first = await store.put_scores({"k": SCORED})
            return first, await store.put_scores({"k": other, "l": other})

    first, second = asyncio.run(go())
    assert (first, second) == ({"k": SCORED}, {"k": SCORED, "l": other})
    assert first["k"] is SCORED  # what was just written is not read back


def test_a_store_from_before_scores_were_stored_gets_a_table_for_them(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put("k", DONE)
            await store._run(lambda: store._db.execute("DROP TABLE scores"))
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put_scores({"k": SCORED})
            return await store.get_scores(["k"]), await store.get_many(["k"])

    scores, completions = asyncio.run(go())
    assert scores == {"k": SCORED}
    assert completions["k"].text == DONE.text


def test_a_full_disk_fails_the_scores_and_keeps_what_was_there(tmp_path: Path):
    async def go():
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            await store.put_scores({"first": SCORED})
            await store._run(lambda: store._db.execute("PRAGMA max_page_count=1"))
            large = Scoring(Score(0.0), (Call(tuple(i * i for i in range(20_000)), 0),))
            with pytest.raises(StoreError, match="full"):
                await store.put_scores({"second": SCORED, "too large": large})
            return await store.get_scores(["first", "second", "too large"])

    assert asyncio.run(go()) == {"first": SCORED}


@pytest.mark.parametrize("table", ["completions", "scores", "facts"])
def test_a_flipped_bit_of_a_row_is_seen_and_the_row_replaced(tmp_path: Path, table: str):
    path = tmp_path / "g.sqlite"
    columns = {
        "completions": ["ids", "text", "first_logprobs", "finish_reason", "logprob", "cached"],
        "scores": ["scoring"],
        "facts": ["value"],
    }

    async def put(store: GenerationStore) -> None:
        await store.put("k", replace(DONE, first_logprobs=(-0.5,)))
        await store.put_scores({"k": SCORED})
        await store.put_facts("f|", {"k": [1, 2, 3]})

    async def get(store: GenerationStore):
        found = [await store.get_many(["k"]), await store.get_scores(["k"])]
        return [*found, await store.get_facts("f|")]

    async def go():
        async with GenerationStore(path) as store:
            await put(store)
            whole = await get(store)
        for column in columns[table]:
            key = "f|k" if table == "facts" else "k"
            with contextlib.closing(sqlite3.connect(path)) as connection, connection:
                damage(connection, table, column, key)
            async with GenerationStore(path) as store:
                found = await get(store)
                assert [not one for one in found] == [
                    table == name for name in ("completions", "scores", "facts")
                ], column
                await put(store)
                assert await get(store) == whole

    asyncio.run(go())


def damage(connection: sqlite3.Connection, table: str, column: str, key: str) -> None:
    """Flip one bit of a value, as a disk would."""
    where = f"FROM {table} WHERE key = ?"
    [value] = connection.execute(f"SELECT {column} {where}", (key,)).fetchone()
    if isinstance(value, float | int):
        value += 1
    else:
        data = bytearray(value.encode() if isinstance(value, str) else value)
        data[-1] ^= 0x80 if isinstance(value, str) else 1
        value = bytes(data)
    kind = "TEXT" if column in ("text", "value", "finish_reason") else "BLOB"
    cast = f"CAST(? AS {kind})" if isinstance(value, bytes) else "?"
    connection.execute(f"UPDATE {table} SET {column} = {cast} WHERE key = ?", (value, key))


def test_rows_without_a_checksum_are_read_if_they_can_be(tmp_path: Path):
    path = tmp_path / "g.sqlite"

    async def go():
        async with GenerationStore(path) as store:
            for key in "abc":
                await store.put(key, DONE)
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("DROP TABLE checksums")
            connection.execute("UPDATE completions SET ids = x'01' WHERE key = 'b'")
        assert set(TextReader(path).read("abc")) == {"a", "c"}  # read-only, without the table
        assert TextReader(path).damaged("abc") == ["b"]
        async with GenerationStore(path) as store:
            return await store.get_many(["a", "b", "c"])

    assert set(asyncio.run(go())) == {"a", "c"}


def test_a_store_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch):
    path = tmp_path / "g.sqlite"

    async def go():
        async with GenerationStore(path) as store:
            await store.put("k", DONE)

    asyncio.run(go())
    real = sqlite3.connect

    def refusing(source: str, **options):
        if "immutable" not in source:  # what SQLite says where it may not make its log
            raise sqlite3.OperationalError("unable to open database file")
        return real(source, **options)

    monkeypatch.setattr(sqlite3, "connect", refusing)
    assert TextReader(path).read(["k"]) == {"k": DONE.text}
    path.with_name("g.sqlite-wal").touch()  # another process writes
    with pytest.raises(StoreError, match="unable to open"):
        TextReader(path)
