"""Runs on models behind servers: the same attempts as here, whatever becomes of a server."""

from __future__ import annotations

import asyncio
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from attempt_rows import rows
from server_process import ROOT
from stand_in_server import MODEL, StandIn, in_background
from vllm_servers import VLLMServer

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.pool import Server, ServerPool
from tts_bench.engine.weights import local_path
from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

PRM = "tts_bench/tiny/prm"
FLAT = [{"strategy": "best_of_n", "n": [1, 4]}, {"strategy": "self_consistency", "n": [1, 4]}]
SEARCHES = [
    {"strategy": name, "n": 4}
    for name in ("beam_search", "dvts", "rebase", "particle_filter", "mcts", "logprob_beam_search")
]


def suite(engine: dict, strategies: list, **more) -> dict:
    return {
        "name": "s",
        "dataset": {"name": "arithmetic", "problems": 3},
        "engine": engine,
        "sampling": {"max_tokens": 160, "temperature": 1.0},
        "verifier": "confidence",
        "strategies": strategies,
        **more,
    }


@pytest.mark.vllm
@pytest.mark.slow
def test_a_vllm_engine_and_two_vllm_servers_give_the_same_attempts(
    vllm_servers: tuple[VLLMServer, VLLMServer], tmp_path: Path, cli
):
    """By every strategy, with a PRM in this process."""
    engines = {
        "here": {"name": "vllm", "model": MODEL, "kv_cache_gb": 0.125},
        "there": {"name": "server", "model": MODEL, "base_url": [s.url for s in vllm_servers]},
    }
    script = runpy.run_path(str(ROOT / "benchmarks" / "same_everywhere.py"))
    dataset = {"name": "arithmetic", "problems": 2}
    more = {"verifier": script["VERIFIER"], "dataset": dataset}
    for name, engine in engines.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(suite(engine, script["STRATEGIES"], **more)))
        done = cli("run", path, "-o", tmp_path / name, "--display", "none")
        assert done.returncode == 0, done.stderr
    here, there = rows(tmp_path / "here"), rows(tmp_path / "there")
    assert len({row["cell"].partition("?")[0] for row in here}) == 19
    assert here == there


@pytest.mark.vllm
@pytest.mark.slow
def test_a_vllm_server_that_is_killed_in_mid_run_costs_nothing(
    vllm_servers: tuple[VLLMServer, VLLMServer], tmp_path: Path, cli, monkeypatch
):
    engine = {"name": "server", "model": MODEL, "base_url": [one.url for one in vllm_servers]}
    path, victim = tmp_path / "s.yaml", vllm_servers[0]
    path.write_text(yaml.safe_dump(suite(engine, [*FLAT, *SEARCHES])))
    undisturbed = cli("run", path, "-o", tmp_path / "whole", "--display", "none")
    assert undisturbed.returncode == 0, undisturbed.stderr
    is_well, answered = ServerPool._is_well, []

    def killing(pool: ServerPool, server: Server) -> None:
        is_well(pool, server)
        answered.append(server.url)
        if len(answered) == 50:
            victim.kill()

    monkeypatch.setattr(ServerPool, "_is_well", killing)
    try:
        done = cli("run", path, "-o", tmp_path / "killed", "--display", "none")
    finally:
        victim.launch()
        victim.wait()
    assert done.returncode == 0, done.stderr
    assert victim.url in answered[:50]
    assert set(answered[-10:]) == {vllm_servers[1].url}
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")


@pytest.fixture
def background() -> Iterator[Callable[[StandIn], StandIn]]:
    with in_background() as bring_up:
        yield bring_up


@pytest.fixture(scope="module")
def tokenizer() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(local_path(MODEL)))


def test_servers_that_are_all_gone_stop_the_run_and_the_same_command_goes_on(
    background, tokenizer, tmp_path: Path, cli
):
    def dying(number, answer):
        if number == 30:
            server.loop.create_task(server.down())
        return None

    server = background(StandIn(tokenizer, fault=dying))
    engine = {
        "name": "server",
        "model": MODEL,
        "base_url": server.url,
        "patience": 0.5,
        "restarts": 0,
    }
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, [*FLAT, SEARCHES[0]])))
    command = ("run", path, "-o", tmp_path, "--display", "none", "--concurrency", "1")
    stopped = cli(*command)
    assert stopped.returncode == 1
    assert "no server answers any more" in stopped.stderr
    assert not (resolve_run(tmp_path / "s").folder / "table.md").exists()
    server.fault = None
    asyncio.run_coroutine_threadsafe(server.up(), server.loop).result(30)
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path)) == 3 * 3
    assert all(row["error"] is None for row in rows(tmp_path))


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_run_that_is_told_to_stop_closes_its_requests_and_goes_on_later(
    name: str, background, tokenizer, tmp_path: Path, cli
):
    def wait(what: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(what, server.loop).result(120)

    async def asked(number: int) -> None:
        await server.asked(number).wait()

    server = background(StandIn(tokenizer, held_from=12))
    engine = {"name": "server", "model": MODEL, "base_url": server.url}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT)))
    command = ("run", str(path), "-o", str(tmp_path), "--display", "none")
    child = subprocess.Popen(
        [sys.executable, "-m", "tts_bench", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_heed,
    )
    try:
        wait(asked(14))
        assert server.running >= 3
        child.send_signal(signal.Signals[name])
        _, said = child.communicate(timeout=120)
    finally:
        child.kill()  # nothing, if it has ended
        child.communicate()
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert f"continue with: {shlex.join(['tts-bench', *command])}" in said
    wait(server.emptied(14))
    assert resolve_run(tmp_path / "s").read_manifest().status == "cancelled"
    server.held_from = None
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path)) == 3 * 2
    assert all(row["error"] is None for row in rows(tmp_path))


def _heed() -> None:
    """Tests that run in the background ignore it, and so would a child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_key_is_in_no_file_of_the_run(background, tokenizer, tmp_path: Path, cli, monkeypatch):
    monkeypatch.setenv("THE_KEY", "open-sesame-17")
    server = background(StandIn(tokenizer))
    engine = {
        "name": "server",
        "model": MODEL,
        "base_url": server.url,
        "api_key_env": "THE_KEY",
    }
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT)))
    done = cli("run", path, "-o", tmp_path / "out", "--display", "none")
    assert done.returncode == 0, done.stderr
    assert set(server.headers) == {"Bearer open-sesame-17"}
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if b"open-sesame" in file.read_bytes()]


def test_the_dry_run_says_whom_it_would_ask(tmp_path: Path, cli):
    engine = {"name": "server", "model": MODEL, "base_url": ["http://a:1/v1", "http://b:2"]}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT)))
    done = cli("run", path, "-o", tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "contacts  policy: http://a:1, http://b:2" in done.stdout


@pytest.mark.parametrize(
    "verifier",
    [
        {"name": "prm", "model": PRM, "backend": "server", "base_url": "http://c:3/"},
        {"name": "judge", "engine": {"name": "server", "model": MODEL, "base_url": "http://c:3"}},
    ],
)
def test_the_dry_run_says_whom_it_would_ask_for_scores(verifier: dict, tmp_path: Path, cli):
    engine = {"name": "server", "model": MODEL, "base_url": "http://a:1"}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT, verifier=verifier)))
    done = cli("run", path, "-o", tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "contacts  policy: http://a:1\n" in done.stdout
    assert f"contacts  verifier {verifier['name']}: http://c:3\n" in done.stdout
    assert "memory" not in done.stdout


def test_the_dry_run_refuses_a_verifiers_address_that_is_none(tmp_path: Path, cli):
    verifier = {"name": "prm", "model": PRM, "backend": "server", "base_url": "ftp://c"}
    engine = {"name": "server", "model": MODEL, "base_url": "http://a:1"}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT, verifier=verifier)))
    done = cli("run", path, "-o", tmp_path, "--dry-run")
    assert done.returncode == 2
    said = "verifier: base_url 'ftp://c' is no http:// or https:// address"
    assert done.stderr.splitlines() == [f"error: {path}:{_line(path, 'verifier:')}: {said}"]


def _line(path: Path, text: str) -> int:
    """Number of the line that begins so, from 1."""
    lines = path.read_text().splitlines()
    return next(i for i, line in enumerate(lines, start=1) if line.startswith(text))


WRONG = {
    "nobody there": ({"base_url": "http://127.0.0.1:9"}, {}, "127.0.0.1:9 (Connection refused)"),
    "no such file": ({"base_url": "servers.txt"}, {}, "'servers.txt' is no http:// or https://"),
    "another model": ({}, {"model": "other"}, f"does not serve {MODEL!r}; it has other"),
    "another tokenizer": ({}, {"offset": 1}, "set tokenizer_model to that of the served model"),
    "no key": ({"api_key_env": "NO_SUCH_KEY"}, {}, "variable NO_SUCH_KEY is not set"),
    "another kind": ({"dialect": "sglang"}, {}, "answers, but not as sglang server does"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_server_is_one_line_and_nothing_is_run(
    name: str, background, tokenizer, tmp_path: Path, cli
):
    settings, server, said = WRONG[name]
    standing = background(StandIn(tokenizer, **server))
    engine = {"name": "server", "model": MODEL, "base_url": standing.url, **settings}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT)))
    done = cli("run", path, "-o", tmp_path / "out", "--display", "none")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert said in done.stderr
    assert not list((tmp_path / "out").rglob("manifest.json"))
    assert standing.served == 0


def test_two_servers_of_different_models_are_one_line(background, tokenizer, tmp_path: Path, cli):
    pair = [background(StandIn(tokenizer, version=version)) for version in ("1.0", "2.0")]
    engine = {"name": "server", "model": MODEL, "base_url": [one.url for one in pair]}
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(suite(engine, FLAT)))
    done = cli("run", path, "-o", tmp_path / "out", "--display", "none")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert f"{pair[0].url} is vllm 1.0 with" in done.stderr
    assert f"and {pair[1].url} is vllm 2.0 with" in done.stderr
