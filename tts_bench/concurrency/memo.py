"""Joins equal requests: what is being made for one is not made again for another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
R = TypeVar("R")
V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class _Making(Generic[K, V]):
    """A call that makes the values of some keys."""

    task: asyncio.Task[Mapping[K, V]]
    size: int


class Memo(Generic[K, R, V]):
    """Gives the value of each key: looked up, joined if it is being made, else made.

    `look_up` gives the values that are known, and must know what `make` has made once that has
    returned. `make` makes the values of all requests that it is given: one at a time, or with
    `together` all that one caller lacks.

    A failure reaches the callers who asked for what failed: whoever had joined one key of a call
    for several asks again for that key alone, since the fault may be another key's. A caller that
    is cancelled cancels nothing, for others may be waiting, and a finished value is worth keeping.
    """

    def __init__(
        self,
        look_up: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]],
        make: Callable[[Mapping[K, R]], Awaitable[Mapping[K, V]]],
        *,
        together: bool = False,
    ) -> None:
        self._look_up = look_up
        self._make = make
        self._together = together
        self._makings: dict[K, _Making[K, V]] = {}
        self._made: set[K] = set()
        self.hits = 0
        """Values that were given without being made for who asked."""

    async def get(self, requests: Mapping[K, R]) -> dict[K, V]:
        """The value of every key. Raises what `make` raised for one of them."""
        joined = {key: self._makings[key] for key in requests if key in self._makings}
        found = await self._known([key for key in requests if key not in joined])
        missing: dict[K, R] = {}
        for key, request in requests.items():
            if key in found or key in joined:
                continue
            if key in self._makings:  # somebody began on it while we looked
                joined[key] = self._makings[key]
            else:
                missing[key] = request
        self.hits += len(requests) - len(missing)
        own = self._start(missing)
        tasks = [one.task for one in own]
        if tasks:  # a wait that is cancelled cancels none of them
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in sorted(tasks, key=asyncio.Task.done, reverse=True):  # the failed among these
            found |= task.result()
        return found | await self._join(requests, joined)

    async def close(self) -> None:
        """Cancel what is being made, and whoever waits for it."""
        tasks = {one.task for one in self._makings.values()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _known(self, keys: Sequence[K]) -> dict[K, V]:
        found = dict(await self._look_up(keys)) if keys else {}
        # Somebody may have made and kept one while we looked.
        while late := [key for key in keys if key not in found and key in self._made]:
            found |= await self._look_up(late)
        return found

    def _start(self, missing: Mapping[K, R]) -> list[_Making[K, V]]:
        groups = [{key: request} for key, request in missing.items()]
        if self._together and missing:
            groups = [dict(missing)]
        return [self._start_one(group) for group in groups]

    def _start_one(self, group: Mapping[K, R]) -> _Making[K, V]:
        making = _Making(asyncio.ensure_future(self._make(group)), len(group))
        self._makings |= dict.fromkeys(group, making)
        making.task.add_done_callback(lambda task: self._end(group, task))
        return making

    def _end(self, group: Mapping[K, R], task: asyncio.Task[Mapping[K, V]]) -> None:
        for key in group:
            del self._makings[key]
        if not task.cancelled() and task.exception() is None:  # which marks it as seen
            self._made.update(group)

    async def _join(self, requests: Mapping[K, R], joined: Mapping[K, _Making[K, V]]) -> dict[K, V]:
        if tasks := {one.task for one in joined.values()}:
            await asyncio.wait(tasks)
        found: dict[K, V] = {}
        again: dict[K, R] = {}
        for key, making in joined.items():
            is_ours = making.size == 1 or making.task.cancelled()
            if is_ours or making.task.exception() is None:
                found[key] = making.task.result()[key]
            else:
                again[key] = requests[key]
        return found | (await self.get(again) if again else {})
