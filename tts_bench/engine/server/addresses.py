"""Where a model's servers are: base URLs, the key's variable, and the client that asks them."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tts_bench.errors import ModelError

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 60.0
"""Long: while thousands of requests are in flight, connecting may have to wait for its turn."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The servers of one model, as a suite names them."""

    base_url: str | tuple[str, ...]
    """An address, several, or a file with one in each line."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""

    def urls(self) -> list[str]:
        """The base URLs, without a slash at the end. Raises ModelError for what is none."""
        given = [self.base_url] if isinstance(self.base_url, str) else list(self.base_url)
        if len(given) == 1 and "://" not in given[0]:
            given = _of_file(given[0])
        urls = list(dict.fromkeys(_base(url) for url in given))
        for url in urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ModelError(f"base_url {url!r} is no http:// or https:// address")
            if parts.username or parts.password:
                raise ModelError("base_url: put the key into api_key_env, not into the address")
        if not urls:
            raise ModelError("base_url names no server")
        return urls

    @property
    def provider(self) -> str:
        """Whose servers those are, so that two providers' models are not taken for each other's."""
        return ", ".join(dict.fromkeys(filter(None, map(_provider, self.urls()))))

    def client(self, answer_timeout: float) -> aiohttp.ClientSession:
        """A client that sends the key. Raises ModelError if its variable is not set."""
        import aiohttp

        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        # No limit of its own: the gate has one, and waiting here would count as the server's.
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_SECONDS, sock_read=answer_timeout
        )
        return aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout)

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env)
        if not key:
            raise ModelError(f"api_key_env: the environment variable {self.api_key_env} is not set")
        return key


def _of_file(name: str) -> list[str]:
    path = Path(name).expanduser()
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise ModelError(
            f"base_url {name!r} is no http:// address and no file with such ({error.strerror})"
        ) from error
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _base(url: str) -> str:
    """The address without what every request adds to it."""
    return url.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")


def _provider(url: str) -> str:
    """The last two labels of a host's name; nothing for an address or a host of this network."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ".".join(host.split(".")[-2:]) if "." in host else ""
    return ""
