"""Keeps many calls in flight at once: the one place that knows how they end together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def in_flight(calls: Iterable[Awaitable[T]], limit: int | None = None) -> list[T]:
    """Await all calls side by side, at most `limit` of them at a time; results in order.

    With a limit a call is taken from the iterable only when its turn comes, so that a generator
    may make a million of them. The first error is raised as it is, after the calls that were
    still in flight have been cancelled.
    """
    if limit is None:
        calls = list(calls)
        limit = len(calls)
    results: dict[int, T] = {}
    numbered = enumerate(calls)

    async def work() -> None:
        for place, call in numbered:
            results[place] = await call

    try:
        async with asyncio.TaskGroup() as group:
            workers = [group.create_task(work()) for _ in range(limit)]
    except ExceptionGroup as failures:
        raise _first(failures) from None
    for worker in workers:
        worker.result()  # a call that cancelled itself cancels whoever waits for it
    return [results[place] for place in range(len(results))]


def _first(error: Exception) -> Exception:
    """The first plain error within a (nested) exception group."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
