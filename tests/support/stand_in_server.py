"""A server that answers as vLLM, SGLang or llama.cpp do, without a model, and badly if told to.

Its tokens come from a seeded generator: a function of prompt, sampling and seed, as a real one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tts_bench.engine.huggingface import HuggingFaceTokenizer

MODEL = "tts_bench/tiny/policy"
PATHS = {"vllm": "/v1/completions", "sglang": "/generate", "llamacpp": "/completion"}
Fault = Callable[[int, dict[str, Any]], "web.StreamResponse | dict[str, Any] | None"]
"""Given the number of the request and the right answer: what to say instead, None for nothing."""


@dataclass
class StandIn:
    """One server; `fault` may spoil completions, `delay` is the seconds that each takes."""

    tokenizer: HuggingFaceTokenizer
    dialect: str = "vllm"
    model: str = MODEL
    version: str = "1.0"
    packed: str = "Q4_1"
    """llama.cpp: how its weights are packed."""
    path: str = ""
    """Where it answers, if not where its dialect does."""
    fault: Fault | None = None
    delay: float = 0.0
    held_from: int | None = None
    """Number of the completion from which on none is answered."""
    seeds: bool = True
    tls: ssl.SSLContext | None = None
    hidden: tuple[str, ...] = ()
    """Paths that are not there, as behind a router."""
    offset: int = 0
    """Added to the ids of /tokenize: a server of another tokenizer."""
    served: int = 0
    running: int = 0
    most_running: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the last that was being served is done, or was given up by its client."""
    headers: list[str] = field(default_factory=list)
    """The Authorization of each completion that was asked for."""
    prompts: list[tuple[int, ...]] = field(default_factory=list)
    port: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    """That of the thread in which it runs, for tests that run elsewhere."""
    _marks: dict[int, asyncio.Event] = field(default_factory=dict)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen; after the first time at the same port."""
        app = web.Application(client_max_size=1 << 30)
        routes = {
            "vllm": {"/version": {"version": self.version}, "/v1/models": self._models()},
            "sglang": {
                "/get_server_info": {
                    "model_path": self.model,
                    "version": self.version,
                    "context_length": 512,
                }
            },
            "llamacpp": {
                "/props": {
                    "default_generation_settings": {"n_ctx": 512},
                    "build_info": self.version,
                    "model_path": f"/models/{self.model}-{self.packed}.gguf",
                    "model_ftype": self.packed,
                }
            },
        }[self.dialect]
        for path, answer in routes.items():
            if path not in self.hidden:
                app.router.add_get(path, _always(answer))
        app.router.add_post(self.path or PATHS[self.dialect], self._complete)
        if "/tokenize" not in self.hidden:
            app.router.add_post("/tokenize", self._tokenize)
        # Handlers are cancelled if their client goes away, as those of the real servers are.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, "127.0.0.1", self.port, ssl_context=self.tls, reuse_address=True
        )
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def emptied(self, after: int) -> None:
        """Wait until that many completions were asked for, and none is being made any more."""
        await self.asked(after).wait()
        await self._idle.wait()

    def asked(self, number: int) -> asyncio.Event:
        """Set when that many completions were asked for."""
        return self._marks.setdefault(number, asyncio.Event())

    async def down(self) -> None:
        """Stop at once; connections break off."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _models(self) -> dict[str, Any]:
        return {"data": [{"id": self.model, "max_model_len": 512}]}

    async def _tokenize(self, request: web.Request) -> web.Response:
        asked = await request.json()
        ids = self.tokenizer.encode(asked.get("prompt", asked.get("content", "")))
        return web.json_response({"tokens": [one + self.offset for one in ids]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.headers.append(request.headers.get("Authorization", ""))
        self.served += 1
        number = self.served
        self.asked(number).set()
        self.running += 1
        self._idle.clear()
        self.idle.clear()
        self.most_running = max(self.most_running, self.running)
        try:
            held = self.held_from is not None and number >= self.held_from
            await asyncio.sleep(3600.0 if held else self.delay)
            answer = getattr(self, f"_{self.dialect}")(asked)
        finally:
            self.running -= 1
            if not self.running:
                self._idle.set()
            if not self.running:
                self.idle.set()
        if self.fault is not None and (other := self.fault(number, answer)) is not None:
            if isinstance(other, web.StreamResponse):
                return other
            answer = other
        return web.json_response(answer)

    def _draw(
        self, prompt: list[int], seed: int, temperature: float, most: int, stop: list[str]
    ) -> tuple[list[int], str, str | None]:
        self.prompts.append(tuple(prompt))
        key = (seed if self.seeds else 0) if temperature else "greedy"
        rng = random.Random(f"{key} {temperature} {prompt}")
        words = self.tokenizer.encode(" one plus two. So three\n\n equals 12")
        ids: list[int] = []
        for _ in range(min(most, rng.randrange(3, 40))):
            ids.append(rng.choice(words))
            text = self.tokenizer.added_text(prompt, ids)
            if found := next((one for one in stop if one in text), None):
                return ids, "stop", found
        return ids, "length" if len(ids) == most else "stop", None

    def _vllm(self, asked: dict[str, Any]) -> dict[str, Any]:
        ids, reason, stop = self._draw(
            asked["prompt"], asked["seed"], asked["temperature"], asked["max_tokens"], asked["stop"]
        )
        wanted = asked.get("logprob_token_ids", [])
        top = [{f"token_id:{token}": -3.0 - token for token in wanted}] * len(ids)
        logprobs = {"token_logprobs": [-0.5] * len(ids), "top_logprobs": top}
        choice = {"token_ids": ids, "finish_reason": reason, "stop_reason": stop}
        usage = {"prompt_tokens_details": {"cached_tokens": 3}}
        return {"choices": [choice | {"logprobs": logprobs}], "usage": usage}

    def _sglang(self, asked: dict[str, Any]) -> dict[str, Any]:
        how = asked["sampling_params"]
        assert how["no_stop_trim"] is True
        ids, reason, stop = self._draw(
            asked["input_ids"],
            how["sampling_seed"],
            how["temperature"],
            how["max_new_tokens"],
            how["stop"],
        )
        wanted = [[-3.0 - token, token, None] for token in asked.get("token_ids_logprob", [])]
        meta = {
            "finish_reason": {"type": reason, "matched": stop},
            "output_token_logprobs": [[-0.5, token, None] for token in ids],
            "output_token_ids_logprobs": [wanted] * len(ids),
            "cached_tokens": 3,
        }
        return {"output_ids": ids, "meta_info": meta}

    def _llamacpp(self, asked: dict[str, Any]) -> dict[str, Any]:
        if forced := asked.get("logit_bias"):
            [[token, _]] = forced
            told = [{"id": token, "logprob": -3.0 - token}]
            return {
                "tokens": [token],
                "stop_type": "limit",
                "completion_probabilities": told,
                "timings": {"cache_n": len(asked["prompt"]) - 1},
            }
        ids, reason, stop = self._draw(
            asked["prompt"], asked["seed"], asked["temperature"], asked["n_predict"], asked["stop"]
        )
        kind = "limit" if reason == "length" else "word" if stop else "eos"
        told = [{"id": token, "logprob": -0.5} for token in ids]
        return {
            "tokens": ids,
            "stop_type": kind,
            "stopping_word": stop or "",
            # The tokens that the stop string spells are not told of.
            "completion_probabilities": told[: -len(self.tokenizer.encode(stop))] if stop else told,
            "tokens_cached": len(asked["prompt"]) + len(ids),
            "timings": {"cache_n": 3},
        }


def _always(answer: dict[str, Any]) -> Callable[[web.Request], Any]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return handler


@contextlib.asynccontextmanager
async def listening(*servers: StandIn) -> AsyncIterator[list[str]]:
    """The servers up, and their URLs."""
    for server in servers:
        await server.up()
    try:
        yield [server.url for server in servers]
    finally:
        for server in servers:
            await server.down()


@contextlib.contextmanager
def in_background() -> Iterator[Callable[[StandIn], StandIn]]:
    """Brings servers up in a thread of their own, beside a run in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def bring_up(server: StandIn) -> StandIn:
        asyncio.run_coroutine_threadsafe(server.up(), loop).result(30)
        server.loop = loop
        servers.append(server)
        return server

    try:
        yield bring_up
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.down(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()
