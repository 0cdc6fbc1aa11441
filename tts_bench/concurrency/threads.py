"""Waits for a thread to end, in an event loop."""

from __future__ import annotations

import asyncio
import threading

_LOOK_EVERY = 0.01


async def ended(thread: threading.Thread) -> None:
    """Return once the thread has ended, or was never begun; cancelling stops the waiting.

    A `join` in a thread of its own could not be cancelled: behind a thread that hangs it would
    keep the whole process from ending.
    """
    while thread.is_alive():  # noqa: ASYNC110 (no event is set by a thread that is killed)
        await asyncio.sleep(_LOOK_EVERY)
