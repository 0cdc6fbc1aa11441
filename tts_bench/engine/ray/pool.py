"""Several replicas of one model as one engine: what is lost with one of them is drawn by another.

Nothing here knows Ray: a replica is whatever draws completions and may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.engine.affinity import Affinity
from tts_bench.engine.base import EngineInfo
from tts_bench.errors import EngineDied, EngineError, ModelError, one_line

DRAINING = 10.0
"""Seconds that requests in flight get to notice that their replica was killed."""


class ReplicaLost(Exception):
    """A replica is gone, and with it whatever it worked on."""


class Prompted(Protocol):
    """A request: for a completion, or for the reading of a text."""

    @property
    def prompt_ids(self) -> tuple[int, ...]:
        """What its model computes first."""
        ...


class Replica(Protocol):
    """One copy of the model."""

    @property
    def where(self) -> str:
        """The machine it is on, for messages."""
        ...

    @property
    def info(self) -> EngineInfo:
        """What it says of itself."""
        ...

    async def generate(self, request: Prompted) -> Any:
        """The answer to a request; cancelling the call frees it.

        Raises EngineError if the request is refused, ReplicaLost if the replica is gone.
        """
        ...

    def kill(self) -> None:
        """End it, and free what it holds."""
        ...


class Launch(Protocol):
    """Starts a replica."""

    async def __call__(self, patience: float | None, placed: Callable[[], None]) -> Replica:
        """A replica that is ready; `placed` is called once there is room and it begins to load.

        Raises ModelError if there is no room for `patience` seconds (None: waits for ever) or
        if it cannot load, ReplicaLost if it goes while it loads.
        """
        ...


@dataclass(eq=False)
class Member:
    """A replica of the pool, and how much it has to do."""

    name: str
    replica: Replica
    outstanding: int = 0


class ReplicaPool:
    """Sends each request to the replica that has seen its beginning, or to the idlest.

    A replica that is lost costs what it worked on, which others draw with the same seeds; it is
    started anew as soon as there is room, unless as many as `restarts` for each were, one after
    the other, and none has answered since. Where none is left, and none is being started, and no
    room was found for `patience` seconds, requests fail with EngineDied.
    """

    def __init__(
        self, launch: Launch, *, patience: float, restarts: int, say: Callable[[str], None]
    ) -> None:
        self._launch, self._say = launch, say
        self._patience, self._restarts = patience, restarts
        self._members: list[Member] = []
        self._affinity = Affinity()
        self._number = 0
        self._info: EngineInfo | None = None
        self._named = 0
        self._fruitless = 0
        """Replicas started anew since the last answer."""
        self._replacing: set[asyncio.Task[None]] = set()
        self._loading: set[object] = set()
        """One for each replica that has room and is about to be ready."""
        self._news = asyncio.Event()
        self._closed = False
        self._lost = ""
        """What was last said of a loss."""
        self._flights = 0

    async def start(self, number: int) -> Replica:
        """Start that many replicas, side by side; returns one of them.

        Raises what the first failure raises, and ModelError if they are not all the same model.
        """
        self._number = number
        try:
            first, *others = await in_flight(self._begin() for _ in range(number))
            for other in others:
                if other.info != first.info:
                    raise ModelError(
                        f"{first.where} has {_said(first.info)}, and {other.where} has"
                        f" {_said(other.info)}"
                    )
        except ReplicaLost as lost:
            await self.close()
            raise ModelError(f"a replica was lost while it was started: {lost}") from lost
        except BaseException:
            await self.close()
            raise
        self._info = first.info
        return first

    @property
    def replicas(self) -> list[Replica]:
        """Those that serve now."""
        return [member.replica for member in self._members]

    async def generate(self, request: Prompted) -> Any:
        """One replica's answer. Raises EngineError if it is refused, EngineDied if all fail."""
        self._flights += 1
        try:
            while True:
                member = await self._choose(request.prompt_ids)
                member.outstanding += 1
                try:
                    done = await member.replica.generate(request)
                except ReplicaLost as lost:
                    self._lose(member, str(lost))
                else:
                    self._fruitless = 0
                    return done
                finally:
                    member.outstanding -= 1
        finally:
            self._flights -= 1
            if self._closed:
                self._tell()

    async def close(self) -> None:
        """Kill every replica; requests in flight fail with EngineError."""
        self._closed = True
        for task in self._replacing:
            task.cancel()
        if self._replacing:
            await asyncio.wait(self._replacing)
        for member in self._members:
            member.replica.kill()
        self._members.clear()
        self._tell()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAINING):
                while self._flights:
                    await self._news.wait()

    async def _begin(self) -> Replica:
        replica = await self._launch(self._patience, lambda: None)
        self._join(replica)
        return replica

    def _join(self, replica: Replica) -> None:
        self._named += 1
        self._members.append(Member(f"replica {self._named}", replica))
        self._tell()

    async def _choose(self, prompt: Sequence[int]) -> Member:
        """The member that a request goes to; waits for one. Raises EngineDied if none comes."""
        while not self._members:
            if self._closed:
                raise EngineError("the engine is closed")
            if not self._replacing:
                raise EngineDied(f"all replicas are lost ({self._lost})")
            try:
                async with asyncio.timeout(None if self._loading else self._patience):
                    await self._news.wait()
            except TimeoutError as error:
                raise EngineDied(
                    f"all replicas are lost ({self._lost}), and for {self._patience:g} s there was"
                    " no room for another one"
                ) from error
        return self._affinity.nearest(prompt, self._members)

    def _lose(self, member: Member, why: str) -> None:
        """Take a member out that is gone, and see to another one."""
        if member not in self._members:
            return  # what was in flight with the failure that is known already
        self._members.remove(member)
        member.replica.kill()
        self._lost = f"{member.replica.where}: {one_line(why)}"
        task = asyncio.create_task(self._replace())
        self._replacing.add(task)
        task.add_done_callback(self._replaced)
        self._say(
            f"a replica is lost ({self._lost}); its requests go elsewhere"
            f" ({len(self._members)} of {self._number} left)"
        )

    def _replaced(self, task: asyncio.Task[None]) -> None:
        self._replacing.discard(task)
        self._tell()

    async def _replace(self) -> None:
        """Start a replica anew, as often as that is allowed."""
        while self._fruitless < self._restarts * self._number:
            self._fruitless += 1
            if await self._replace_once():
                return
        if self._fruitless:
            self._say(
                f"no replica is started anew any more: {self._fruitless} were since the last"
                f" answer ({self._lost}; the setting is `restarts`)"
            )

    async def _replace_once(self) -> bool:
        """Whether another replica serves now."""
        token = object()

        def placed() -> None:
            self._loading.add(token)
            self._tell()

        try:
            replica = await self._launch(None, placed)
            if replica.info != self._info:
                replica.kill()
                raise ModelError(f"{replica.where} has another model: {_said(replica.info)}")
        except (ModelError, ReplicaLost) as error:
            self._lost = one_line(error)
            self._say(f"a replica could not be started anew: {self._lost}")
            return False
        finally:
            self._loading.discard(token)
        self._join(replica)
        self._say(
            f"a replica was started anew on {replica.where}"
            f" ({len(self._members)} of {self._number} there)"
        )
        return True

    def _tell(self) -> None:
        """Wake whoever waits for news."""
        news, self._news = self._news, asyncio.Event()
        news.set()


def _said(info: EngineInfo) -> str:
    return info.identity.replace("|", " ")
