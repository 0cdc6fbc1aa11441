"""Ends a long command in order when it is told to: Ctrl-C, SIGTERM and SIGHUP do the same."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

R = TypeVar("R")

_NAMES = ("SIGTERM", "SIGHUP")


def run_until_told(work: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """`asyncio.run`, but a scheduler's SIGTERM or a lost terminal stops it as Ctrl-C does.

    The first signal cancels the work, which then ends in order; a later one interrupts even that.
    Either way KeyboardInterrupt is raised at the end.
    """

    async def go() -> R:
        task = asyncio.current_task()
        assert task is not None
        with _calling(_Stop(asyncio.get_running_loop(), task)):
            return await work()

    # Before the work and after it, too, a signal must end the command as an interruption.
    with _calling(_interrupt):
        try:
            return asyncio.run(go())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


class _Stop:
    """Cancels a task at the first signal, and interrupts at the next."""

    def __init__(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        self._loop, self._task = loop, task
        self._told = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            raise KeyboardInterrupt
        self._told = True
        self._loop.call_soon_threadsafe(self._task.cancel)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _calling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """While this is held, signals call the handler; those that are ignored stay ignored (nohup)."""
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in _NAMES:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
