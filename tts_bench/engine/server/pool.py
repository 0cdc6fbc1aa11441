"""Several servers of one model as one: each request goes to one that is well, and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from tts_bench.engine.affinity import Affinity
from tts_bench.engine.server.connection import check_place, proxy_of, said_of
from tts_bench.engine.server.gate import Gate
from tts_bench.errors import EngineDied, EngineError, ModelError
from tts_bench.secrets.masking import hide

if TYPE_CHECKING:
    import aiohttp

TOO_MANY = 429
_PASSING = (408, 425)
BUSY_SECONDS = 900.0
"""How long a server may say nothing but that it is asked too much: limits by the minute pass, and
those by the day are a failure."""
_SPENT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""Codes of a 429 that no waiting mends."""
_SAMPLING = re.compile(
    r"['\"` ](top_k|top_p|min_p|temperature|stop|seed|logprobs|[a-z]+_penalty)['\"`]"
)
"""A field of the request that a refusal names: no other request would fare better."""
_SYSTEM = re.compile(r"role\W+.{0,40}\bsystem\b|\bsystem\W+(role|message)", re.IGNORECASE)
"""Words of a refusal that is about the system's turn (of some reasoning models)."""
_FLAGGED = re.compile("moderat|flagged|content polic", re.IGNORECASE)
"""Words of a 403 that is about one text and not about the key."""
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


class Refused(EngineError):
    """A server will not serve a request, now or later; `status` and `said` are its answer."""

    def __init__(self, message: str, status: int, said: str, about: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said
        self.about = about
        """Its code, kind and field of the error, where it names them."""

    def of_the_run(self, key_env: str | None) -> ModelError | None:
        """What to say if no other request will be served either; None if another may be."""
        why = f"({self.status}: {self.said})"
        if self.status == 404:
            return ModelError(f"the server does not know the model, or the address {why}")
        if self.status in (400, 422) and _SYSTEM.search(self.said):
            return ModelError(f"the server takes no prompt.system {why}: use prompt.template")
        field = _SAMPLING.search(f"'{self.about}' {self.said} ")
        if self.status in (400, 422) and field:
            return ModelError(f"the server does not take {field[1]} as the suite has it {why}")
        return self.of_the_account(key_env)

    def of_the_account(self, key_env: str | None) -> ModelError | None:
        """What to say if it is about the key, or what is paid for; None if it is not."""
        why = f"({self.status}: {self.said})"
        if self.status == 402 or _is_spent(self.about):
            return ModelError(f"the account has nothing left {why}; the same command goes on later")
        if self.status == 401 or (self.status == 403 and not _FLAGGED.search(self.said)):
            if key_env is None:
                return ModelError(f"the server wants a key {why}: name its variable, api_key_env")
            return ModelError(f"the key in the environment variable {key_env} is refused {why}")
        return None


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
    failing_since: float | None = None
    """When the first of them was."""
    busy_since: float | None = None
    """When it first said, after its last answer, that it is asked too much."""

    @property
    def name(self) -> str:
        """Its address."""
        return self.url

    def is_up(self, now: float) -> bool:
        """Whether requests may go there."""
        return self.down_until <= now

    def is_given_up(self, now: float, patience: float) -> bool:
        """Whether it has failed, and nothing else, for so many seconds."""
        return self.failing_since is not None and now - self.failing_since > patience


@dataclass
class ServerPool:
    """Sends requests to the servers of one model.

    A request goes to the server that has seen its beginning, if that is hardly busier than the
    others, else to the idlest. A server that fails is left alone for a while, longer each time, and
    its requests go elsewhere with the same seeds; one that says that it is asked too much gets
    fewer. If all have failed for `patience` seconds, and answered nothing, every request fails.
    """

    client: aiohttp.ClientSession
    urls: Callable[[], Sequence[str]]
    """The base URLs as they are now: a file of them may change."""
    gate: Gate
    patience: float
    key_env: str | None = None
    """The environment variable that the key is from, for messages."""
    servers: dict[str, Server] = field(default_factory=dict)
    _affinity: Affinity = field(default_factory=Affinity, repr=False)

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

        Raises EngineError if the request is refused, ModelError if every other one would be as
        well (the key, the account), EngineDied if no server is left.
        """
        async with self.gate.admitted_once():
            while not self.client.closed:
                server = await self._choose(prompt)
                server.outstanding += 1
                try:
                    answer = await send(self.client, server.url, path, body)
                except Unwell as unwell:
                    self.report(server, unwell)
                except Refused as refused:
                    raise refused.of_the_run(self.key_env) or EngineError(str(refused)) from None
                else:
                    self._is_well(server)
                    return server, answer
                finally:
                    server.outstanding -= 1
            raise EngineError("the engine is closed")

    def report(self, server: Server, unwell: Unwell) -> None:
        """Leave the server alone for a while: longer after each failure in a row."""
        server.said, now = str(unwell), time.monotonic()
        if not server.is_up(now):
            return  # what was in flight with the failure that is known already
        if unwell.busy:
            self.gate.shrink()
            server.busy_since = server.busy_since or now
            server.down_until = now + (unwell.wait or 0.5)
            if now - server.busy_since <= BUSY_SECONDS:
                return  # busy is not dead
        server.failures += 1
        server.failing_since = server.failing_since or now
        pause = min(30.0, 0.25 * 2 ** min(server.failures, 10))
        server.down_until = now + max(pause, unwell.wait)

    def _is_well(self, server: Server) -> None:
        server.failures, server.down_until, server.said = 0, 0.0, ""
        server.failing_since = server.busy_since = None
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
            if all(server.is_given_up(now, self.patience) for server in self.servers.values()):
                told = "; ".join(f"{one.url}: {one.said}" for one in self.servers.values())
                raise EngineDied(f"no server answers any more ({told})")
            with contextlib.suppress(ModelError):  # the file of URLs may be half-written
                self.refresh()
            await asyncio.sleep(0.25)


async def send(
    client: aiohttp.ClientSession, url: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    """POST the body (GET without one) and return the answer.

    Raises Unwell if the server did not serve it and may another time, Refused if it never will,
    ModelError if it or its proxy is elsewhere than was said.
    """
    import aiohttp

    method = "GET" if body is None else "POST"
    try:
        async with client.request(
            method, url + path, json=body, proxy=proxy_of(url), allow_redirects=False
        ) as answer:
            text = await answer.read()
    except TimeoutError as error:
        raise Unwell("no answer in time") from error
    except aiohttp.ClientPayloadError as error:
        raise Unwell("its answer was cut off") from error
    except aiohttp.ClientError as error:
        raise Unwell(said_of(error, url)[:QUOTED]) from error
    check_place(url, answer.status, answer.headers.get("location", ""), text)
    wait = retry_after(answer.headers.get("retry-after", ""), time.time())
    if answer.status >= 400:
        raise _failure(f"{url}{path}", answer.status, text, wait)
    try:
        found = json.loads(text)
    except ValueError as error:
        raise Unwell("its answer is no JSON") from error
    if not isinstance(found, dict):
        return {"": found}
    if (status := _inner_status(found)) is not None:
        raise _failure(f"{url}{path}", status, text, wait)
    return found


def _inner_status(found: Mapping[str, Any]) -> int | None:
    """The status of a failure that stands in a body, for a gateway that has begun to answer 200."""
    choices = found.get("choices")
    inner = found.get("error")
    if not inner and isinstance(choices, list) and choices and isinstance(choices[0], dict):
        inner = choices[0].get("error")
    if not inner:
        return None
    status = inner.get("code") if isinstance(inner, dict) else None
    return status if type(status) is int and status >= 400 else 400


def _failure(where: str, status: int, body: bytes, wait: float) -> Unwell | Refused:
    """What an answer that is none says: try again, here or elsewhere, or never."""
    said, about = _words(body)
    if status == TOO_MANY and not _is_spent(about):
        told = f": {said}" if said else ""
        return Unwell(f"429, too many requests{told}", busy=True, wait=wait)
    if status >= 500 or status in _PASSING:
        return Unwell(f"{status}: {said}", wait=wait)
    return Refused(f"{where} refused a request ({status}): {said}", status, said, about)


def retry_after(value: str, now: float) -> float:
    """Seconds that the header Retry-After asks for, which is a number of them or a date.

    0 if it asks for nothing, a minute at most; `now` is the time since the epoch.
    """
    with contextlib.suppress(ValueError):
        return min(60.0, max(0.0, float(value)))
    with contextlib.suppress(ValueError, OverflowError):
        return min(60.0, max(0.0, parsedate_to_datetime(value).timestamp() - now))
    return 0.0


def _words(body: bytes) -> tuple[str, str]:
    """What the server says of its refusal, in one line; and what the refusal is about."""
    text, about = body.decode("utf-8", "replace"), ""
    with contextlib.suppress(ValueError, AttributeError, LookupError):
        found = json.loads(text)
        error = found.get("error") or (found.get("choices") or [{}])[0].get("error") or found
        text = str(error.get("message", error) if isinstance(error, dict) else error)
        if isinstance(error, dict):
            about = " ".join(str(error.get(key) or "") for key in ("code", "type", "param"))
    return " ".join(hide(text).split())[:QUOTED], about  # a half of a key would not be known


def _is_spent(about: str) -> bool:
    return any(code in about.split() for code in _SPENT)
