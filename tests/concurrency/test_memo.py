"""Equal requests are joined; failures and cancellations stay with those whom they concern."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tts_bench.concurrency.memo import Memo


class Kitchen:
    """A store, and a maker that waits at a gate and doubles numbers."""

    def __init__(self, *, together: bool = False) -> None:
        self.kept: dict[str, int] = {}
        self.calls: list[list[str]] = []
        self.looks = 0
        self.gate = asyncio.Event()
        self.bad: set[str] = set()
        self.slow_look: asyncio.Event | None = None
        self.memo: Memo[str, int, int] = Memo(self.look_up, self.make, together=together)

    async def look_up(self, keys: Sequence[str]) -> dict[str, int]:
        self.looks += 1
        found = {key: self.kept[key] for key in keys if key in self.kept}
        if self.slow_look is not None:
            waiting, self.slow_look = self.slow_look, None
            await waiting.wait()
        return found

    async def make(self, requests: Mapping[str, int]) -> dict[str, int]:
        self.calls.append(list(requests))
        await self.gate.wait()
        if wrong := self.bad & set(requests):
            raise ValueError(f"{min(wrong)} cannot be made")
        made = {key: 2 * number for key, number in requests.items()}
        self.kept |= made
        return made

    def ask(self, keys: str) -> asyncio.Task[dict[str, int]]:
        return asyncio.create_task(self.memo.get({key: ord(key) - 96 for key in keys}))


async def ticks(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def played(play: Callable[..., Awaitable[Any]], **options: Any) -> Any:
    async def go() -> Any:
        return await play(Kitchen(**options))

    return asyncio.run(asyncio.wait_for(go(), 10))


@pytest.mark.parametrize("together", [False, True])
def test_equal_requests_are_joined_and_kept_ones_looked_up(together: bool):
    async def play(kitchen: Kitchen):
        first, second = kitchen.ask("ab"), kitchen.ask("bc")
        await ticks()
        kitchen.gate.set()
        assert await first == {"a": 2, "b": 4}
        assert await second == {"b": 4, "c": 6}
        assert await kitchen.ask("cba") == {"c": 6, "b": 4, "a": 2}
        return kitchen.calls, kitchen.memo.hits

    calls, hits = played(play, together=together)
    assert calls == ([["a", "b"], ["c"]] if together else [["a"], ["b"], ["c"]])
    assert hits == 4


def test_what_was_made_while_another_looked_is_not_made_again():
    async def play(kitchen: Kitchen):
        kitchen.gate.set()
        kitchen.slow_look = asyncio.Event()
        looked = kitchen.slow_look
        late = kitchen.ask("a")
        await ticks()
        assert await kitchen.ask("a") == {"a": 2}
        looked.set()
        assert await late == {"a": 2}
        return kitchen.calls

    assert played(play) == [["a"]]


def test_what_another_began_while_we_looked_is_joined():
    async def play(kitchen: Kitchen):
        kitchen.slow_look = asyncio.Event()
        looked = kitchen.slow_look
        late = kitchen.ask("a")
        await ticks()
        first = kitchen.ask("a")
        await ticks()
        looked.set()
        await ticks()
        kitchen.gate.set()
        assert await late == await first == {"a": 2}
        return kitchen.calls

    assert played(play) == [["a"]]


def test_a_failure_reaches_everyone_who_asked_for_that_key_and_is_not_kept():
    async def play(kitchen: Kitchen):
        kitchen.bad = {"a"}
        waiting = [kitchen.ask("a"), kitchen.ask("ab"), kitchen.ask("b")]
        await ticks()
        kitchen.gate.set()
        first, second, other = await asyncio.gather(*waiting, return_exceptions=True)
        assert str(first) == str(second) == "a cannot be made"
        assert other == {"b": 4}
        kitchen.bad = set()
        assert await kitchen.ask("a") == {"a": 2}
        return kitchen.calls

    assert played(play) == [["a"], ["b"], ["a"]]


def test_a_failure_among_several_does_not_reach_who_asked_for_another_of_them():
    async def play(kitchen: Kitchen):
        kitchen.bad = {"a"}
        owner = kitchen.ask("ab")
        await ticks()
        joins, fails = kitchen.ask("b"), kitchen.ask("a")
        await ticks()
        kitchen.gate.set()
        found = await asyncio.gather(owner, joins, fails, return_exceptions=True)
        assert [str(one) for one in found] == ["a cannot be made", "{'b': 4}", "a cannot be made"]
        return kitchen.calls

    assert played(play, together=True) == [["a", "b"], ["b"], ["a"]]


@pytest.mark.parametrize("together", [False, True])
def test_cancelling_one_who_waits_does_not_cancel_another(together: bool):
    async def play(kitchen: Kitchen):
        owner, joins = kitchen.ask("ab"), None
        await ticks()
        joins, third = kitchen.ask("b"), kitchen.ask("a")
        await ticks()
        for one in (owner, third):
            one.cancel()
        await ticks()
        kitchen.gate.set()
        assert await joins == {"b": 4}
        assert owner.cancelled()
        assert third.cancelled()
        await ticks()
        # What nobody waits for any more is made to its end, and kept.
        assert kitchen.kept == {"a": 2, "b": 4}

    played(play, together=together)


def test_closing_cancels_what_is_being_made_and_who_waits():
    async def play(kitchen: Kitchen):
        waiting = [kitchen.ask("a"), kitchen.ask("a")]
        await ticks()
        await kitchen.memo.close()
        await ticks()
        assert [one.cancelled() for one in waiting] == [True, True]
        assert kitchen.kept == {}

    played(play)


def test_an_error_that_nobody_waits_for_is_not_reported_as_lost():
    lost: list[Any] = []

    async def play(kitchen: Kitchen):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        kitchen.bad = {"a"}
        one = kitchen.ask("a")
        await ticks()
        one.cancel()
        kitchen.gate.set()
        await ticks()

    played(play)
    import gc

    gc.collect()
    assert lost == []


def test_a_failure_is_heard_before_the_others_are_made() -> None:
    async def play(kitchen: Kitchen) -> None:
        async def make(requests: Mapping[str, int]) -> dict[str, int]:
            if "b" in requests:
                raise ValueError("b cannot be made")
            await kitchen.gate.wait()
            return dict(requests)

        memo: Memo[str, int, int] = Memo(kitchen.look_up, make)
        with pytest.raises(ValueError, match="b cannot"):
            await memo.get({"a": 1, "b": 2, "c": 3})
        kitchen.gate.set()
        assert await memo.get({"c": 3}) == {"c": 3}

    played(play)
