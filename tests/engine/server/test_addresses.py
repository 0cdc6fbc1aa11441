"""What is no address of a server is one line, and holds no key."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tts_bench.engine.server.addresses import Addresses
from tts_bench.errors import ModelError, SuiteError
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import Registry

WRONG = {
    "127.0.0.1:8000": "'127.0.0.1:8000' is no address: it has no http:// or https:// before it",
    "node-7:8000/v1": "it has no http:// or https:// before it",
    "localhost": "it has no http:// or https:// before it",
    "": "is no address: it is empty or has blanks",
    "  ": "is no address: it is empty or has blanks",
    "http://a b:80": "is no address: it is empty or has blanks",
    "http://a\n": "is no address: it is empty or has blanks",
    "http://": "is no address: it names no host",
    "http://:8000": "is no address: it names no host",
    "http://a:0": "is no address: it names no port",
    "http://a:99999": "is no address: Port out of range",
    "http://a:port": "is no address: Port could not be cast",
    "http://[::1": "is no address: Invalid IPv6 URL",
    f"http://{'a' * 70}.org": "is no address: ",
    "ftp://a": "'ftp://a' is no http:// or https:// address",
    "htp://a": "'htp://a' is no http:// or https:// address",
    "http://a:80?api=sesame": "'http://a:80' has a part after ? or #",
    "http://a:80/#sesame": "'http://a:80/' has a part after ? or #",
    "http://me:sesame@a:80": "holds a name or a password: put the key into api_key_env",
    "http://sesame@a:80": "holds a name or a password: put the key into api_key_env",
    "ftp://me:sesame@a": "holds a name or a password",
    "http://me:sesame@[::1": "is no address: Invalid IPv6 URL",
    "http://me:sesame@a:port": "is no address: Port could not be cast",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_address_is_one_line_of_the_suite(url: str, tmp_path: Path):
    path = tmp_path / "s.yaml"
    block = json.dumps({"name": "server", "model": "m", "base_url": [url, "http://b"]})
    path.write_text(
        "dataset: {name: arithmetic, problems: 1}\n"
        "sampling: {max_tokens: 8}\n"
        "strategies: [greedy]\n"
        f"engine: {block}\n"
    )
    with pytest.raises(SuiteError) as caught:
        load_suite(path, Registry())
    (problem,) = caught.value.problems
    assert f"{path}:4: engine: base_url " in problem
    assert WRONG[url] in problem
    assert "\n" not in problem
    assert "sesame" not in problem


def test_a_verifiers_wrong_address_is_one_line_too(tmp_path: Path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "dataset: {name: arithmetic, problems: 1}\n"
        "sampling: {max_tokens: 8}\n"
        "strategies: [greedy]\n"
        "engine: {name: transformers, model: tts_bench/tiny/policy}\n"
        "verifier:\n"
        "  name: judge\n"
        "  engine: {name: server, model: m, base_url: ftp://a}\n"
    )
    with pytest.raises(SuiteError, match=r"s.yaml:7: verifier.engine: base_url 'ftp://a' is no"):
        load_suite(path, Registry())
    text = path.read_text().replace("judge", "prm").split("  engine:")[0]
    path.write_text(f"{text}  model: tts_bench/tiny/prm\n  backend: server\n  base_url: ftp://a\n")
    with pytest.raises(SuiteError, match=r"verifier: base_url 'ftp://a' is no"):
        load_suite(path, Registry())


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://a:8000/", "http://a:8000"),
        ("HTTP://a:8000/v1/", "HTTP://a:8000"),
        ("https://gateway.org/team/llm/v1", "https://gateway.org/team/llm"),
        ("http://a:8000/v1/completions", "http://a:8000"),
        ("http://a:8000/v1/chat/completions", "http://a:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
    ],
)
def test_an_address_may_have_a_path_and_what_requests_add_to_it(url: str, base: str):
    assert Addresses(url).urls() == [base]
    assert Addresses((url, base)).urls() == [base]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "servers.txt: names no server"),
        ("# none yet\n\n  # nor here\n", "servers.txt: names no server"),
        ("http://a\n\nnode-2:8000\n", "servers.txt:3: 'node-2:8000' is no address"),
        ("http://a\nhttp://me:sesame@b\n", "servers.txt:2: holds a name or a password"),
        ("http://a http://b\n", "servers.txt:1: 'http://a http://b' is no address"),
        (None, "servers.txt' is no http:// or https:// address and no file of such (No such file"),
        (b"\xff\xfe\x00h", "no file of such (it is no text)"),
    ],
)
def test_a_file_of_addresses_is_read_line_by_line(text, reason: str, tmp_path: Path):
    path = tmp_path / "servers.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError) as caught:
        Addresses(str(path)).urls()
    assert reason in str(caught.value)
    assert "sesame" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_file_of_addresses(tmp_path: Path):
    with pytest.raises(ModelError, match="no file of such"):
        Addresses(str(tmp_path)).urls()


def test_a_good_file_may_have_comments_and_a_mark_at_its_beginning(tmp_path: Path):
    path = tmp_path / "servers.txt"
    path.write_text("\ufeff# two\n http://a:1/v1 \nhttp://b:2\n\nhttp://a:1\n", "utf-8")
    assert Addresses(str(path)).urls() == ["http://a:1", "http://b:2"]


@pytest.mark.parametrize("key", ["sk-proj-sesame", "Bearer sesame", "", "1KEY", "$KEY"])
def test_a_key_in_place_of_its_variables_name_is_refused_and_not_shown(key: str):
    with pytest.raises(ValueError, match="must be the name of a variable") as caught:
        Addresses("http://a", key)
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("THE_KEY", None, "the environment variable THE_KEY is not set"),
        ("THE_KEY", " \n", "the environment variable THE_KEY is not set"),
        ("hf_sesame0123456789", None, "no variable of that name is set; is it the key itself"),
        ("THE_KEY", "ses\name", "THE_KEY holds a character that no header may have"),
        ("THE_KEY", "sesäme", "THE_KEY holds a character that no header may have"),
    ],
)
def test_a_key_that_cannot_be_sent_is_one_line(name, value, said, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    with pytest.raises(ModelError, match=said) as caught:
        Addresses("http://a", name).client(1.0)
    assert "ses" not in str(caught.value)


def test_a_line_end_after_a_key_is_none_of_it(monkeypatch):
    monkeypatch.setenv("THE_KEY", "sesame\n")

    async def header() -> str:
        async with Addresses("http://a", "THE_KEY").client(1.0) as client:
            return client.headers["Authorization"]

    assert asyncio.run(header()) == "Bearer sesame"


def test_no_server_at_all_is_refused():
    with pytest.raises(ValueError, match="names no server"):
        Addresses(())
