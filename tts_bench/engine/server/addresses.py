"""Where a model's servers are: base URLs, the key's variable, and the client that asks them."""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tts_bench.errors import ModelError
from tts_bench.secrets.masking import remember

if TYPE_CHECKING:
    import aiohttp

CONNECT_SECONDS = 60.0
"""Long: while thousands of requests are in flight, connecting may have to wait for its turn."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LIKE_A_KEY = re.compile(r"(?=.*[a-z])(?=.*[0-9]).{16,}")
"""What is rather a key than the name of a variable."""
_USER_INFO = re.compile(r"(?<=://)[^/]*@")


@dataclass(frozen=True, slots=True)
class Addresses:
    """The servers of one model, as a suite names them; ValueError says what is no address."""

    base_url: str | tuple[str, ...]
    """An address, several, or a file with one in each line."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key."""

    def __post_init__(self) -> None:
        if not self._given:
            raise ValueError("base_url names no server")
        if self.api_key_env is not None and not _VARIABLE.fullmatch(self.api_key_env):
            raise ValueError("api_key_env must be the name of a variable, and not the key itself")
        for url in () if self._file else self._given:
            if fault := _fault(url):
                raise ValueError(f"base_url {fault}")

    def urls(self) -> list[str]:
        """The base URLs, without a slash at the end.

        Raises ModelError where a file of them is not there, names none, or holds what is none.
        """
        urls = _of_file(self._file) if self._file else self._given
        return list(dict.fromkeys(map(_base, urls)))

    @property
    def _given(self) -> list[str]:
        return [self.base_url] if isinstance(self.base_url, str) else list(self.base_url)

    @property
    def _file(self) -> str | None:
        """The file of addresses, if one is named instead of any."""
        given = self._given
        alone = len(given) == 1 and bool(given[0].strip()) and "://" not in given[0]
        return given[0] if alone and not _looks_like_host(given[0]) else None

    @property
    def provider(self) -> str:
        """Whose servers those are, so that two providers' models are not taken for each other's."""
        return ", ".join(dict.fromkeys(filter(None, map(_provider, self.urls()))))

    def client(self, answer_timeout: float) -> aiohttp.ClientSession:
        """A client that sends the key. Raises ModelError if its variable is not set."""
        import aiohttp

        headers = {"Authorization": f"Bearer {key}"} if (key := self._key()) else {}
        # No limit of its own: the gate has one, and waiting here would count as the server's.
        # A context of its own: that of the library ignores an SSL_CERT_FILE that is set later.
        connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context())
        timeout = aiohttp.ClientTimeout(
            total=None, connect=CONNECT_SECONDS, sock_read=answer_timeout
        )
        return aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout)

    def _key(self) -> str | None:
        if self.api_key_env is None:
            return None
        name = self.api_key_env
        key = os.environ.get(name, "").strip()  # secrets of files often end in a line's end
        if not key and _LIKE_A_KEY.fullmatch(name):
            raise ModelError("api_key_env: no variable of that name is set; is it the key itself?")
        if not key:
            raise ModelError(f"api_key_env: the environment variable {name} is not set")
        if not key.isascii() or not key.isprintable():
            raise ModelError(f"api_key_env: {name} holds a character that no header may have")
        remember({"api_key": key})  # a server may say it again, and its words are shown
        return key


def _base(url: str) -> str:
    """The address without what every request adds to it."""
    url = url.rstrip("/").removesuffix("/chat/completions").removesuffix("/completions")
    return url.removesuffix("/v1")


def _looks_like_host(text: str) -> bool:
    """Whether a text without a scheme is a host with a port, and no file here."""
    is_host = re.fullmatch(r"[\w.-]+:\d+(/v1)?/?|localhost|[\d.]+", text)
    return is_host is not None and not Path(text).exists()


def _fault(url: str) -> str | None:
    """What makes a text no address of a server; it holds no key or password of the text."""
    if not url.strip() or re.search(r"[\s\0-\x1f]", url):
        return f"{url!r} is no address: it is empty or has blanks"
    if "://" not in url:
        return f"{url!r} is no address: it has no http:// or https:// before it"
    try:
        parts = urlsplit(url)
        host, port, known = parts.hostname, parts.port, parts.username or parts.password
        (host or "").encode("idna")
    except ValueError as error:  # UnicodeError is one
        return f"{_USER_INFO.sub('', url)!r} is no address: {error}"
    if known:
        return "holds a name or a password: put the key into api_key_env, not into the address"
    bare = f"{parts.scheme}://{parts.netloc}{parts.path}"
    if parts.scheme not in ("http", "https"):
        return f"{bare!r} is no http:// or https:// address"
    if not host or port == 0:
        return f"{bare!r} is no address: it names no {'port' if host else 'host'}"
    if parts.query or parts.fragment:
        return f"{bare!r} has a part after ? or #, which no request would keep: leave it out"
    return None


def _of_file(name: str) -> list[str]:
    path = Path(name).expanduser()
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise ModelError(
            f"base_url {name!r} is no http:// or https:// address and no file of such ({why})"
        ) from error
    urls = []
    for number, line in enumerate(map(str.strip, lines), start=1):
        if not line or line.startswith("#"):
            continue
        if fault := _fault(line):
            raise ModelError(f"{name}:{number}: {fault}")
        urls.append(line)
    if not urls:
        raise ModelError(f"{name}: names no server: write an address in each line")
    return urls


def _provider(url: str) -> str:
    """The last two labels of a host's name; nothing for an address or a host of this network."""
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ".".join(host.split(".")[-2:]) if "." in host else ""
    return ""
