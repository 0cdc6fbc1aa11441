"""What asking a server costs the harness, beside a bare client that sends the very same bodies.

    python benchmarks/servers.py [--problems 20] [--n 100] [--max-tokens 64] [--repeats 3]
    python benchmarks/servers.py --vllm [--problems 20] [--n 8] [--repeats 3]

The first needs no model: a server in another process, whose processor time is not counted, holds
all requests back until every one of them is in flight and then answers as vLLM does. In turn and
on the same requests are measured: a whole run (best of n; report left out), the engine `server`
alone, and aiohttp that posts the bodies and reads the answers. Figures are processor milliseconds
a request.

The second measures two `vllm serve` of the tiny policy against one of them, with all requests in
flight: tokens per second, and per processor second of the servers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.server.dialects import VLLMDialect
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.progress import Progress
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.run.runner import execute
from tts_bench.suite.load import Suite, load_suite
from tts_bench.suite.registry import Registry
from tts_bench.types import Sampling

MODEL = "tts_bench/tiny/policy"
ROOT = Path(__file__).resolve().parents[1]
SUITE = """
dataset: {{name: arithmetic, problems: {problems}}}
engine: {{name: server, model: {model}, base_url: {urls}, max_in_flight: 100000}}
sampling: {{max_tokens: {max_tokens}, temperature: 1.0}}
strategies: [{{strategy: best_of_n, n: {n}}}]
verifier: confidence
"""
QUIET_SECONDS = 0.3
"""Requests are held back until none has come for so long."""
VLLM = (
    *("--dtype", "float32", "--enforce-eager", "--block-size", "32", "--max-num-seqs", "64"),
    *("--no-enable-chunked-prefill", "--enable-prefix-caching", "--logprobs-mode", "raw_logprobs"),
    "--disable-log-stats",
)


@dataclass
class Answerer:
    """A server of no model, which answers as vLLM does once no more requests come."""

    encode: Callable[[str], list[int]]
    """Spells a text in the model's tokens."""
    size: int
    """Tokens of an answer, if as many are asked for."""
    waiting: int = 0
    most: int = 0
    """Most requests that waited at once."""
    quiet: asyncio.Event = field(default_factory=asyncio.Event)
    timer: asyncio.TimerHandle | None = None

    async def serve(self, port: int) -> None:
        """Answer until the process ends."""
        from aiohttp import web

        async def always(request: web.Request) -> web.Response:
            models = {"data": [{"id": MODEL, "max_model_len": 512}]}
            return web.json_response({"/version": {"version": "1"}}.get(request.path, models))

        async def most(_: web.Request) -> web.Response:
            return web.json_response({"most": self.most})

        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/version", always)
        app.router.add_get("/v1/models", always)
        app.router.add_get("/most", most)
        app.router.add_post("/v1/completions", self._complete)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()

    async def _complete(self, request: Any) -> Any:
        from aiohttp import web

        asked = await request.json()
        loop = asyncio.get_running_loop()
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        if self.timer is not None:
            self.timer.cancel()
        self.timer = loop.call_later(QUIET_SECONDS, self._let_go)
        await self.quiet.wait()
        self.waiting -= 1
        return web.json_response(self._answer(asked))

    def _let_go(self) -> None:
        self.quiet.set()
        self.quiet = asyncio.Event()

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        seed = asked["seed"] if asked["temperature"] else 0
        words = self.encode(" one plus two. So three equals 12")
        ids = random.Random(seed).choices(words, k=min(asked["max_tokens"], self.size))
        stop = next(iter(asked["stop"]), None)
        if stop:
            ids = self.encode(stop)
        names = [f"token_id:{one}" for one in ids]
        choice = {
            "index": 0,
            "text": "one plus two " * (len(ids) // 3),
            "token_ids": ids,
            "finish_reason": "stop" if stop else "length",
            "stop_reason": stop,
            "logprobs": {
                "tokens": names,
                "token_logprobs": [-0.5] * len(ids),
                "top_logprobs": [{name: -0.5} for name in names],
                "text_offset": list(range(0, 3 * len(ids), 3)),
            },
        }
        return {"id": "cmpl-1", "object": "text_completion", "model": MODEL, "choices": [choice]}


@dataclass(frozen=True)
class Noting(Engine):
    """The engine of a suite, which notes what it is asked."""

    inner: ServerEngine
    requests: list[Request] = field(default_factory=list)

    async def start(self) -> EngineInfo:
        return await self.inner.start()

    async def close(self) -> None:
        await self.inner.close()

    @property
    def info(self) -> EngineInfo:
        """The inner engine's."""
        return self.inner.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The inner engine's."""
        return self.inner.tokenizer

    def settings_key(self) -> str:
        return self.inner.settings_key()

    async def generate(self, request: Request) -> Completion:
        self.requests.append(request)
        return await self.inner.generate(request)


def cpu(who: int) -> float:
    """Processor seconds so far."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


async def whole_run(suite: Suite) -> float:
    """Processor seconds of a run into an empty folder, its grading processes included."""
    with tempfile.TemporaryDirectory() as folder:
        options = RunOptions(output_path=Path(folder), fresh=True)
        plan = make_plan(suite, options)
        began = cpu(resource.RUSAGE_SELF) + cpu(resource.RUSAGE_CHILDREN)
        await execute(plan, options, Progress("none"))
        return cpu(resource.RUSAGE_SELF) + cpu(resource.RUSAGE_CHILDREN) - began


async def engine_alone(engine: ServerEngine, requests: Sequence[Request]) -> float:
    """Processor seconds of the requests through the engine, its start left out."""
    await engine.start()
    try:
        began = cpu(resource.RUSAGE_SELF)
        await engine.generate_all(requests)
        return cpu(resource.RUSAGE_SELF) - began
    finally:
        await engine.close()


async def bare_client(url: str, requests: Sequence[Request]) -> float:
    """Processor seconds of aiohttp, which posts the bodies and reads the answers."""
    import aiohttp

    bodies = [VLLMDialect().payload(request, MODEL, False, "salt") for request in requests]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:

        async def ask(body: dict[str, Any]) -> Any:
            async with client.post(f"{url}/v1/completions", json=body) as answer:
                return json.loads(await answer.read())

        began = cpu(resource.RUSAGE_SELF)
        await asyncio.gather(*map(ask, bodies))
        return cpu(resource.RUSAGE_SELF) - began


async def most_waiting(url: str) -> int:
    """Most requests that have waited there at once."""
    import aiohttp

    async with aiohttp.ClientSession() as client, client.get(f"{url}/most") as answer:
        most: int = (await answer.json())["most"]
        return most


def load(arguments: argparse.Namespace, urls: Sequence[str]) -> Suite:
    """The suite on these servers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "servers.yaml"
        path.write_text(SUITE.format(model=MODEL, urls=json.dumps(urls), **vars(arguments)))
        return load_suite(path, Registry())


async def overhead(arguments: argparse.Namespace, url: str) -> dict[str, Any]:
    """Run, engine and bare client in turn."""
    suite = load(arguments, [url])
    engine = suite.engine
    assert isinstance(engine, ServerEngine)
    noting = Noting(engine)
    await whole_run(replace(suite, engine=noting))
    requests = list(noting.requests)
    ways: dict[str, Callable[[], Awaitable[float]]] = {
        "run": lambda: whole_run(suite),
        "engine": lambda: engine_alone(engine, requests),
        "bare": lambda: bare_client(url, requests),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(arguments.repeats):
        for name, way in ways.items():
            found[name].append(round(1000 * await way() / len(requests), 3))
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "requests": len(requests),
        "most_in_flight": await most_waiting(url),
        "cpu_ms_per_request": found,
        "median": middle,
        "engine_over_bare": round(middle["engine"] - middle["bare"], 3),
        "run_over_bare": round(middle["run"] - middle["bare"], 3),
    }


async def tokens_per_second(
    arguments: argparse.Namespace, servers: Sequence[tuple[str, int]]
) -> dict[str, float]:
    """Tokens of the requests by the clock, and by the processor seconds of the servers."""
    engine = ServerEngine(base_url=tuple(url for url, _ in servers), model=MODEL)
    await engine.start()
    try:
        spelt, sampling = engine.tokenizer, Sampling(arguments.max_tokens, temperature=1.0)
        prompts = [
            spelt.encode_chat([{"role": "user", "content": f"{i} plus 4"}], {})
            for i in range(arguments.problems)
        ]
        requests = [Request(prompt, sampling, i) for prompt in prompts for i in range(arguments.n)]
        used, began = sum(cpu_of(pid) for _, pid in servers), time.perf_counter()
        tokens = sum(len(one.token_ids) for one in await engine.generate_all(requests))
        seconds = time.perf_counter() - began
        used = sum(cpu_of(pid) for _, pid in servers) - used
    finally:
        await engine.close()
    return {
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
        "tokens_per_cpu_second": round(tokens / used, 1),
    }


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and all below it."""
    import psutil  # type: ignore[import-untyped]

    root = psutil.Process(pid)
    times = [one.cpu_times() for one in (root, *root.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


async def one_and_two(arguments: argparse.Namespace) -> dict[str, Any]:
    """One server and two in turn, on caches that know the prompts."""
    ports = [free_port(), free_port()]
    with contextlib.ExitStack() as stack:
        servers = []
        for port in ports:
            where = ("--model", MODEL, "--host", "127.0.0.1", "--port", str(port))
            words = ["-m", "vllm.entrypoints.openai.api_server", *where, *VLLM]
            servers.append((f"http://127.0.0.1:{port}", stack.enter_context(child(words, port))))
        await tokens_per_second(arguments, servers)
        found: dict[str, list[dict[str, float]]] = {"one": [], "two": []}
        for _ in range(arguments.repeats):
            found["one"].append(await tokens_per_second(arguments, servers[:1]))
            found["two"].append(await tokens_per_second(arguments, servers))
    ratios = {
        key: round(
            statistics.median(
                two[key] / one[key] for one, two in zip(found["one"], found["two"], strict=True)
            ),
            2,
        )
        for key in ("tokens_per_second", "tokens_per_cpu_second")
    }
    return {**found, "two_over_one": ratios}


@contextlib.contextmanager
def child(words: Sequence[str], port: int) -> Iterator[int]:
    """A server as a process group of its own, from when it answers; gives its process id."""
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    small = {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=ROOT,
        env=os.environ | quiet | small,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode}: {words}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=5)
                break
            time.sleep(0.25)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--vllm", action="store_true", help="two vLLM servers against one")
    parser.add_argument("--answer", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.answer:
        import transformers

        from tts_bench.engine.weights import local_path

        tokenizer = transformers.AutoTokenizer.from_pretrained(local_path(MODEL))
        asyncio.run(Answerer(tokenizer.encode, arguments.max_tokens).serve(arguments.answer))
        return
    if arguments.vllm:
        print(json.dumps(asyncio.run(one_and_two(arguments)), indent=2))
        return
    port = free_port()
    words = [__file__, "--answer", str(port), "--max-tokens", str(arguments.max_tokens)]
    with child(words, port):
        print(json.dumps(asyncio.run(overhead(arguments, f"http://127.0.0.1:{port}")), indent=2))


if __name__ == "__main__":
    main()
