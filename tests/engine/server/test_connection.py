"""Servers behind TLS, redirections and proxies: what is wrong is one line that says the remedy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import transformers
from aiohttp import ClientSession, web
from stand_in_server import MODEL, StandIn, listening

from tts_bench.engine.base import Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.connection import proxy_of
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.weights import local_path
from tts_bench.errors import ModelError
from tts_bench.types import Sampling

CERTIFICATE = Path(__file__).parents[2] / "data" / "self_signed.pem"
PROXIES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@pytest.fixture(scope="module")
def tokenizer() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(local_path(MODEL)))


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def secure(tokenizer) -> StandIn:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return StandIn(tokenizer, tls=context)


async def start(url: str) -> None:
    engine = ServerEngine(base_url=url, model=MODEL, patience=2.0)
    await engine.start()
    await engine.generate(Request((1, 2, 3), Sampling(4), 1))
    await engine.close()


def fault_at(server: StandIn, spell=lambda url: url) -> str:
    """What is said of the address of a server, spelt otherwise."""

    async def go() -> None:
        async with listening(server) as (url,):
            await start(spell(url))

    with pytest.raises(ModelError) as caught:
        asyncio.run(go())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_remedy(secure):
    said = fault_at(secure)
    assert "its certificate is not trusted: self-signed certificate" in said
    assert "SSL_CERT_FILE" in said
    assert secure.served == 0


def test_a_certificate_that_is_named_is_trusted(secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))

    async def go() -> None:
        async with listening(secure) as (url,):
            await start(url)

    asyncio.run(go())
    assert secure.served > 1


def test_a_certificate_for_another_host_is_refused(secure, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    said = fault_at(secure, lambda url: url.replace("127.0.0.1", "localhost"))
    assert "its certificate is not trusted: Hostname mismatch" in said


def test_https_at_a_port_of_http_is_refused(tokenizer):
    said = fault_at(StandIn(tokenizer), lambda url: url.replace("http:", "https:"))
    assert "it does not speak TLS there: is its address http://, and not https://?" in said


def test_http_at_a_port_of_https_is_refused(secure):
    said = fault_at(secure, lambda url: url.replace("https:", "http:"))
    assert "does it want https://?" in said


def test_nobody_and_no_such_host_are_told_apart():
    for url, said in {
        "http://127.0.0.1:9": "no server answers at http://127.0.0.1:9 (Connection refused)",
        "http://no-such-host.invalid": "no host of the name no-such-host.invalid",
    }.items():
        with pytest.raises(ModelError) as caught:
            asyncio.run(start(url))
        assert said in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_server_that_sends_elsewhere_is_not_followed(status: int, monkeypatch):
    monkeypatch.setenv("KEY", "sesame")
    reached: list[str] = []

    async def elsewhere(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.json_response({"version": "1"})

    async def moved(request: web.Request) -> web.Response:
        location = f"http://127.0.0.1:{ports[1]}/?secret=1"
        return web.Response(status=status, headers={"Location": location})

    ports: list[int] = []

    async def go() -> None:
        runners = [web.ServerRunner(web.Server(one)) for one in (moved, elsewhere)]
        for runner in runners:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
        try:
            await start(f"http://127.0.0.1:{ports[0]}")
        finally:
            for runner in runners:
                await runner.cleanup()

    with pytest.raises(ModelError, match="name that address instead") as caught:
        asyncio.run(go())
    assert f"sends requests on ({status}) to http://127.0.0.1:{ports[1]}/" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not reached


@pytest.mark.parametrize(
    "body",
    [
        "<center>The plain HTTP request was sent to HTTPS port</center>",
        "Reason: You're speaking plain HTTP to an SSL-enabled server port.",
        "Client sent an HTTP request to an HTTPS server.",
    ],
)
def test_a_port_of_https_that_answers_http_says_so(body: str):
    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=400, text=body)

    async def go() -> None:
        runner = web.ServerRunner(web.Server(refuse))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            await start(f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    with pytest.raises(ModelError, match="wants https://, and not http://"):
        asyncio.run(go())


@asynccontextmanager
async def proxy(to: str, seen: list[str]) -> AsyncIterator[str]:
    """A proxy that takes every host for one server, and its address."""

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(str(request.url.origin()))
        async with (
            ClientSession() as client,
            client.request(request.method, to + request.path, data=await request.read()) as answer,
        ):
            return web.Response(body=await answer.read(), status=answer.status)

    runner = web.ServerRunner(web.Server(forward))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def test_requests_go_by_the_proxy_that_the_environment_names(tokenizer, monkeypatch):
    seen: list[str] = []
    server = StandIn(tokenizer)

    async def go() -> None:
        async with listening(server) as (url,), proxy(url, seen) as address:
            monkeypatch.setenv("HTTP_PROXY", address)
            await start("http://model.invalid:8000")

    asyncio.run(go())
    assert set(seen) == {"http://model.invalid:8000"}
    assert len(seen) > server.served > 1


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:sesame@127.0.0.1:9")
    with pytest.raises(ModelError) as caught:
        asyncio.run(start("http://model.invalid:8000"))
    assert "by the proxy 127.0.0.1:9; NO_PROXY names hosts without one" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_a_proxy_that_refuses_is_told_from_the_server(monkeypatch):
    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=407)

    async def go() -> None:
        runner = web.ServerRunner(web.Server(refuse))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            await start("https://model.invalid")
        finally:
            await runner.cleanup()

    with pytest.raises(ModelError, match="407: Proxy Authentication Required by the proxy"):
        asyncio.run(go())


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        ("http://a:1", {"HTTP_PROXY": "http://p:3128"}, "http://p:3128"),
        ("http://a:1", {"http_proxy": "http://p:3128"}, "http://p:3128"),
        ("https://a", {"HTTP_PROXY": "http://p:3128"}, None),
        ("https://a", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("http://a:1", {"HTTP_PROXY": "http://p", "NO_PROXY": "b,a"}, None),
        ("http://a.lan:1", {"HTTP_PROXY": "http://p", "NO_PROXY": ".lan"}, None),
        ("http://a:1", {"HTTP_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("http://localhost:1", {"HTTP_PROXY": "http://p"}, None),
        ("http://127.0.0.5:1", {"HTTP_PROXY": "http://p"}, None),
        ("http://[::1]:1", {"HTTP_PROXY": "http://p"}, None),
        ("http://10.0.0.5:1", {"HTTP_PROXY": "http://p"}, "http://p"),
    ],
)
def test_which_address_goes_by_a_proxy(url, variables, expected, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert proxy_of(url) == expected


@pytest.mark.parametrize("proxy", ["socks5://me:sesame@p:1080", "https://p", "p:3128", "http://"])
def test_what_is_no_http_proxy_is_one_line(proxy: str, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(ModelError, match="HTTP_PROXY is no http:// address of a proxy") as caught:
        asyncio.run(start("http://model.invalid"))
    assert "sesame" not in str(caught.value)
