"""Keeps a model alive: one that dies or falls silent is started anew, and its calls made again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from pydantic import Field

from tts_bench.errors import (
    EngineDied,
    ModelError,
    ModelLost,
    TtsBenchError,
    VerifierDied,
    one_line,
    quoted,
)

Info = TypeVar("Info")
R = TypeVar("R")

_DEATHS = (EngineDied, VerifierDied, BrokenExecutor, ConnectionError, EOFError, SystemExit)
"""What says that a model is gone, and not that one call has failed: also what Python raises where
a process or a connection is lost, and a library's `sys.exit`."""
_CLOSING = 60.0
"""Seconds that a model may take to be closed after it has died."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What is done about a model that dies or falls silent; keys of `engine` and `verifier`."""

    restarts: Annotated[int, Field(ge=0, le=1000)] = 2
    """How often it is started anew in one session of a run."""
    request_timeout: Annotated[float, Field(gt=0, le=1e7)] | None = 1800.0
    """Seconds without any answer, while requests wait for one, after which it counts as dead."""


class KeptModel(Generic[Info]):
    """Calls to a model that is started anew when it dies; `start` and `close` are the model's.

    Calls that were in flight when it died are made again, so that none fails for its death.
    Where it dies more often than `upkeep` allows, they raise ModelLost.
    """

    def __init__(
        self,
        what: str,
        upkeep: Upkeep,
        start: Callable[[], Awaitable[Info]],
        close: Callable[[], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        self._what, self._upkeep, self._say = what, upkeep, say
        self._start, self._close = start, close
        self._restarts = 0
        self._life = 0
        self._reviving: asyncio.Task[None] | None = None
        self._lost: str | None = None
        self._flights: set[asyncio.Timeout] = set()
        self._answered = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> Info:
        """Start it for the first time.

        Raises what the model's `start` does, and ModelError for what is no error of this package.
        """
        try:
            self._info = await self._start()
        except TtsBenchError:
            raise
        except (Exception, SystemExit) as error:
            raise ModelError(f"{self._what} could not be started: {_said(error)}") from error
        return self._info

    async def close(self) -> None:
        """Close it; one that is lost or being started is given a moment only."""
        if self._timer is not None:
            self._timer.cancel()
        if self._reviving is not None and not self._reviving.done():
            self._reviving.cancel()
            await asyncio.wait([self._reviving])
        if self._restarts or self._lost:
            await self._close_dead()
            return
        try:
            await self._close()
        except (Exception, SystemExit) as error:  # what it has answered is worth no less for it
            self._say(f"warning: {self._what} could not be closed: {_said(error)}")

    async def call(self, ask: Callable[[], Awaitable[R]]) -> R:
        """What `ask` returns, asked again if the model died meanwhile. Raises ModelLost."""
        while True:
            while self._reviving is not None:  # another call may have found it dead again
                await asyncio.shield(self._reviving)
            if self._lost is not None:
                raise ModelLost(self._lost)
            life = self._life
            try:
                return await self._ask(ask)
            except (Exception, SystemExit) as error:
                chain = list(_chain(error))
                for one in chain:
                    if isinstance(one, ModelLost):
                        raise one from None
                death = next((one for one in chain if isinstance(one, _DEATHS)), None)
                if life == self._life:  # otherwise another call has noticed already
                    if death is None:
                        raise
                    self._die(_said(death))
            except asyncio.CancelledError:
                if _being_cancelled():
                    raise
                raise RuntimeError(f"{self._what} cancelled its own call") from None

    async def _ask(self, ask: Callable[[], Awaitable[R]]) -> R:
        loop = asyncio.get_running_loop()
        if not self._flights:
            self._answered = loop.time()
        try:
            async with asyncio.timeout(None) as flight:
                self._flights.add(flight)
                if self._timer is None and self._upkeep.request_timeout is not None:
                    self._timer = loop.call_later(self._upkeep.request_timeout, self._look)
                return await ask()
        finally:
            self._flights.discard(flight)
            self._answered = loop.time()

    def _look(self) -> None:
        """Take the model for dead if it has not answered for too long; else look again later."""
        self._timer = None
        limit = self._upkeep.request_timeout
        if not self._flights or limit is None:
            return
        loop = asyncio.get_running_loop()
        left = self._answered + limit - loop.time()
        if left > 0:
            self._timer = loop.call_later(left, self._look)
        elif self._reviving is None:
            self._die(f"it answered nothing for {limit:g} s")

    def _die(self, why: str) -> None:
        self._life += 1
        self._reviving = asyncio.create_task(self._revive(why))

    async def _revive(self, why: str) -> None:
        """Start the model anew, as often as that is allowed."""
        now = asyncio.get_running_loop().time()
        for flight in self._flights:
            if not flight.expired():
                flight.reschedule(now)
        died = f"{self._what} died: {why}"
        while self._restarts < self._upkeep.restarts:
            self._restarts += 1
            self._say(f"{died}; it is started anew ({self._restarts} of {self._upkeep.restarts})")
            await self._close_dead()
            try:
                info = await self._start()
            except (Exception, SystemExit) as error:
                died = f"{self._what} died, and could not be started anew: {_said(error)}"
                continue
            if info == self._info:
                self._reviving = None
                return
            died = f"{self._what} died, and what was started anew is another model than before"
        times = f"{self._restarts} time{'s' * (self._restarts != 1)}"
        self._lost = f"{died} (it was started anew {times}; the setting is `restarts`)"
        self._reviving = None

    async def _close_dead(self) -> None:
        # Whatever closing a dead model raises says no more than that it is dead.
        with contextlib.suppress(Exception, SystemExit):
            async with asyncio.timeout(_CLOSING):
                await self._close()


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what led to it."""
    seen: set[int] = set()
    next_one: BaseException | None = error
    while next_one is not None and id(next_one) not in seen:
        seen.add(id(next_one))
        yield next_one
        next_one = next_one.__cause__ or next_one.__context__


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it called {_exit(error)}"
    if isinstance(error, TtsBenchError):
        return one_line(error)
    return one_line(f"{type(error).__name__}: {error}")


def _exit(error: SystemExit) -> str:
    return f"sys.exit({quoted(error.code)})"
