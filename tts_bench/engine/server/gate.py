"""How many requests may be in flight: fewer while servers say that they are too many."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator


class Gate:
    """Admits requests in order, up to a limit that follows what the servers bear.

    The limit is halved when a server answers "too many requests" and grows by one for each limit's
    worth of answers, up to `most`: additive increase, multiplicative decrease.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.admitted = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextlib.asynccontextmanager
    async def admitted_once(self) -> AsyncIterator[None]:
        """Wait for a place, and hold it."""
        await self._enter()
        try:
            yield
        finally:
            self.admitted -= 1
            self._let_in()

    def shrink(self) -> None:
        """Admit half as many as are in flight now: they were too many."""
        self.limit = max(1.0, min(self.limit, self.admitted) / 2)

    def grow(self) -> None:
        """Admit a little more: an answer came."""
        self.limit = min(float(self.most), self.limit + 1 / self.limit)
        self._let_in()

    async def _enter(self) -> None:
        if self.admitted < int(self.limit) and not self._waiting:
            self.admitted += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # let in and cancelled at once
                self.admitted -= 1
                self._let_in()
            raise

    def _let_in(self) -> None:
        while self._waiting and self.admitted < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self.admitted += 1
                turn.set_result(None)
