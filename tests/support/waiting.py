"""Waits for what no event is set by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

SECONDS = 120
"""Longer than anything here takes on a busy machine."""


async def until(what: Callable[[], bool]) -> None:
    """Return once it is so."""
    async with asyncio.timeout(SECONDS):
        while not what():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def until_told(what: Callable[[], Awaitable[bool]]) -> None:
    """Return once it is so, by an answer that takes a while."""
    async with asyncio.timeout(SECONDS):
        while not await what():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
