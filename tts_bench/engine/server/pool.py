"""Several servers of one model as one: each request goes to one that is well, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tts_bench.engine.affinity import Affinity
from tts_bench.engine.server.gate import Gate
from tts_bench.errors import EngineDied, EngineError

if TYPE_CHECKING:
    import aiohttp

TOO_MANY = 429
QUOTED = 200
"""Characters of a server's own words that a message quotes."""


class Unwell(Exception):
    """A server failed at a request that another one, or the same one later, may serve."""

    def __init__(self, said: str, *, busy: bool = False, wait: float = 0.0) -> None:
        super().__init__(said)
        self.busy = busy
        """Whether it is only asked too much."""
        self.wait = wait
        """Seconds that it asked to be left alone."""


@dataclass(eq=False)
class Server:
    """One base URL, how much it has to do, and whether it is well."""

    url: str
    outstanding: int = 0
    down_until: float = 0.0
    """Time (monotonic) before which nothing is sent there."""
    said: str = ""
    """What was wrong with it last."""
    failures: int = 0
    """Failures since its last answer."""

    @property
    def name(self) -> str:
        """Its address."""
        return self.url

    def is_up(self, now: float) -> bool:
        """Whether requests may go there."""
        return self.down_until <= now


@dataclass
class ServerPool:
    """Sends requests to the servers of one model.

    A request goes to the server that has seen its beginning, if that is hardly busier than the
    others, else to the idlest. A server that fails is left alone for a while, longer each time, and
    its requests go elsewhere with the same seeds; one that says that it is asked too much gets
    fewer. If all have been down for `patience` seconds, every request fails.
    """

    client: aiohttp.ClientSession
    urls: Callable[[], Sequence[str]]
    """The base URLs as they are now: a file of them may change."""
    gate: Gate
    patience: float
    servers: dict[str, Server] = field(default_factory=dict)
    _affinity: Affinity = field(default_factory=Affinity, repr=False)
    _alive: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.refresh()

    def refresh(self) -> None:
        """Take up new URLs and forget those that are gone."""
        urls = list(self.urls())
        for url in urls:
            self.servers.setdefault(url, Server(url))
        for url in set(self.servers) - set(urls):
            del self.servers[url]

    async def post(
        self, path: str, body: Mapping[str, Any], prompt: Sequence[int]
    ) -> tuple[Server, dict[str, Any]]:
        """The answer of one server, and which it was.

        Raises EngineError if the request is refused, EngineDied if no server is left.
        """
        async with self.gate.admitted_once():
            while not self.client.closed:
                server = await self._choose(prompt)
                server.outstanding += 1
                try:
                    answer = await send(self.client, server.url, path, body)
                except Unwell as unwell:
                    self.report(server, unwell)
                else:
                    self._is_well(server)
                    return server, answer
                finally:
                    server.outstanding -= 1
            raise EngineError("the engine is closed")

    def report(self, server: Server, unwell: Unwell) -> None:
        """Leave the server alone for a while: longer after each failure in a row."""
        server.said = str(unwell)
        if not server.is_up(time.monotonic()):
            return  # what was in flight with the failure that is known already
        if unwell.busy:
            self.gate.shrink()
            server.down_until = time.monotonic() + (unwell.wait or 0.5)
            self._alive = time.monotonic()  # busy is not dead
            return
        server.failures += 1
        pause = min(30.0, 0.25 * 2 ** min(server.failures, 10))
        server.down_until = time.monotonic() + max(pause, unwell.wait)

    def _is_well(self, server: Server) -> None:
        server.failures, server.down_until, server.said = 0, 0.0, ""
        self._alive = time.monotonic()
        self.gate.grow()

    async def _choose(self, prompt: Sequence[int]) -> Server:
        """A server that is up; waits for one. Raises EngineDied after `patience` seconds."""
        while True:
            now = time.monotonic()
            up = [server for server in self.servers.values() if server.is_up(now)]
            if up:
                return self._affinity.nearest(prompt, up)
            if self.client.closed:
                raise EngineError("the engine is closed")
            if now - self._alive > self.patience:
                told = "; ".join(f"{one.url}: {one.said}" for one in self.servers.values())
                raise EngineDied(f"no server answers any more ({told})")
            self.refresh()
            await asyncio.sleep(0.25)


async def send(
    client: aiohttp.ClientSession, url: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    """POST the body (GET without one) and return the answer.

    Raises Unwell if the server did not serve it and may another time, EngineError if it refused.
    """
    import aiohttp

    method = "GET" if body is None else "POST"
    try:
        async with client.request(method, url + path, json=body) as answer:
            text = await answer.read()
    except TimeoutError as error:
        raise Unwell("no answer in time") from error
    except aiohttp.ClientPayloadError as error:
        raise Unwell("its answer was cut off") from error
    except aiohttp.ClientError as error:
        raise Unwell(f"{type(error).__name__}: {error}"[:QUOTED]) from error
    if answer.status == TOO_MANY:
        raise Unwell("429, too many requests", busy=True, wait=_retry_after(answer))
    if answer.status >= 500:
        raise Unwell(f"{answer.status}: {_words(text)}", wait=_retry_after(answer))
    if answer.status >= 400:
        raise EngineError(f"{url}{path} refused a request ({answer.status}): {_words(text)}")
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unwell("its answer is no JSON") from error
    return found if isinstance(found, dict) else {"": found}


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Seconds of the header Retry-After; 0 if it names none (a date is not read)."""
    with contextlib.suppress(ValueError):
        return min(60.0, max(0.0, float(answer.headers.get("retry-after", "0"))))
    return 0.0


def _words(body: bytes) -> str:
    """What the server says of its refusal, in one line."""
    text = body.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, AttributeError):
        found = json.loads(text)
        error = found.get("error", found)
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    return " ".join(text.split())[:QUOTED]
