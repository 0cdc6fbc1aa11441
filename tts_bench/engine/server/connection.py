"""What became of a connection, in words, and the proxy that it goes through."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from tts_bench.errors import ModelError

_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
_WANTS_TLS = re.compile(rb"plain HTTP|HTTP request to an HTTPS")
"""What nginx, Apache and Go answer to http:// at a port of https://."""
_TRUST = "to trust it, name a file with it, or with its authority's, in SSL_CERT_FILE"


def proxy_of(url: str) -> str | None:
    """The proxy for an address, by HTTP_PROXY, HTTPS_PROXY and NO_PROXY; None if there is none.

    This machine's own servers need none, whatever the variables say. Raises ModelError for what
    is no HTTP proxy.
    """
    names = (*_VARIABLES, *map(str.upper, _VARIABLES))
    return _proxy_of(url, tuple(os.environ.get(name) for name in names))


@lru_cache(1024)  # asked before every request; the variables are in the key
def _proxy_of(url: str, _: tuple[str | None, ...]) -> str | None:
    parts = urlsplit(url)
    host, proxies = parts.hostname or "", getproxies_environment()
    proxy = proxies.get(parts.scheme)
    if proxy is None or _is_here(host) or proxy_bypass(parts.netloc):
        return None
    if urlsplit(proxy).scheme != "http" or not urlsplit(proxy).hostname:
        variable = f"{parts.scheme}_proxy".upper()
        raise ModelError(f"{variable} is no http:// address of a proxy (for {url})")
    return proxy


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def said_of(error: Exception, url: str) -> str:
    """Why a request came to nothing, from what the client raised."""
    import aiohttp

    proxy = proxy_of(url)
    through = f" by the proxy {_address(proxy)}; NO_PROXY names hosts without one" if proxy else ""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "") or error.certificate_error
        return f"its certificate is not trusted: {why}; {_TRUST}"
    if isinstance(error, aiohttp.ClientSSLError):
        return "it does not speak TLS there: is its address http://, and not https://?"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{error.status}: {error.message}{through}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"no host of the name {error.host}{through}"
    if isinstance(error, aiohttp.ClientConnectorError):
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        return f"{why}{through}"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError):
        tls = "; does it want https://?" if url.startswith("http://") else ""
        return f"it broke the connection off{tls}{through}"
    return f"{type(error).__name__}: {error}"


def _address(proxy: str) -> str:
    """A proxy without its password."""
    parts = urlsplit(proxy)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def check_place(url: str, status: int, location: str, body: bytes) -> None:
    """Raise ModelError for an answer that says that the server is elsewhere.

    One that sends requests on is not followed: there they would lose key and body.
    """
    if 300 <= status < 400:
        where = location.split("?")[0] or "somewhere else"
        raise ModelError(
            f"{url} sends requests on ({status}) to {where}: name that address instead"
        )
    if status == 400 and url.startswith("http://") and _WANTS_TLS.search(body):
        raise ModelError(f"{url} wants https://, and not http:// ({status})")
