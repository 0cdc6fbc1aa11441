"""A chat endpoint as OpenAI, Ollama, OpenRouter and DeepSeek document theirs, without a model."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Fault = Callable[[int, dict[str, Any]], "web.StreamResponse | dict[str, Any] | None"]
"""Given the number of the request and the right answer: what to say instead, None for nothing."""
Reply = Callable[[list[dict[str, str]], int], str]
"""(messages, seed) -> what the model writes."""


WORDS = ("one", "two", "three", "plus", "equals", "so", "then")


def wander(messages: list[dict[str, str]], seed: int) -> str:
    """Some words and a number in a box, by the last message and the seed."""
    rng = random.Random(f"{seed} {messages}")
    words = [rng.choice(WORDS) for _ in range(6)]
    return f"{' '.join(words)}. The answer is \\boxed{{{rng.randrange(4)}}}."


@dataclass
class ChatStandIn:
    """One endpoint; a token is a word here, and each message of a prompt has four more."""

    kind: str = "openai"
    """`openai` (reasoning models: another name for the longest completion), `ollama`,
    `openrouter` or `deepseek`."""
    model: str = "small-1"
    reply: Reply = wander
    fault: Fault | None = None
    thought: str = ""
    """What the model thinks first."""
    key: str | None = None
    refuses: tuple[str, ...] = ()
    """Fields that are answered with a 400 that names them."""
    thinks_at_least: int = 0
    """Tokens that a completion must have room for."""
    usage: bool = True
    seeds: bool = True
    logprobs: bool = True
    likeliest: dict[str, float] = field(default_factory=dict)
    """Probabilities of the likeliest first tokens."""
    root: str = "/v1"
    listed: tuple[str, ...] | None = None
    served: int = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Every completion that was asked for."""
    port: int = 0
    loop: asyncio.AbstractEventLoop | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def up(self) -> None:
        """Listen; after the first time at the same port."""
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get(f"{self.root}/models", self._models)
        app.router.add_post(f"{self.root}/chat/completions", self._complete)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop at once; connections break off."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _wrong_key(self, request: web.Request) -> web.Response | None:
        if self.key is None or request.headers.get("Authorization") == f"Bearer {self.key}":
            return None
        return refusal(401, "Incorrect API key provided: sk-***.", code="invalid_api_key")

    async def _models(self, request: web.Request) -> web.Response:
        if wrong := self._wrong_key(request):
            return wrong
        if self.listed == ():
            return web.Response(status=404, text="404 page not found")
        tag = ":latest" if self.kind == "ollama" else ""
        names = self.listed or (f"{self.model}{tag}", "text-embedding-1")
        rows = [{"id": name, "object": "model", "owned_by": "library"} for name in names]
        return web.json_response({"object": "list", "data": rows})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if not asked:
            return refusal(400, "you must provide a model parameter")
        self.served += 1
        number = self.served
        self.bodies.append(asked)
        if response := self._wrong_key(request) or self._refused(asked):
            return response
        answer = self._answer(asked)
        if self.fault is not None and (other := self.fault(number, answer)) is not None:
            if isinstance(other, web.StreamResponse):
                return other
            answer = other
        return web.json_response(answer)

    def _refused(self, asked: dict[str, Any]) -> web.Response | None:
        if "max_completion_tokens" in asked and self.kind == "deepseek":
            return refusal(422, "Failed to deserialize: unknown field `max_completion_tokens`")
        if "max_tokens" in asked and self.kind == "openai":
            said = (
                "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead."
            )
            return refusal(400, said, code="unsupported_parameter", param="max_tokens")
        most = asked.get("max_tokens") or asked.get("max_completion_tokens")
        if most <= self.thinks_at_least:
            said = "`max_tokens` must be greater than `thinking.budget_tokens`"
            return refusal(400, said)
        for name in self.refuses:
            if name in asked:
                said = f"Unrecognized request argument supplied: {name}"
                return refusal(400, said, param=name)
        return None

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        seed = asked.get("seed", self.served) if self.seeds else self.served
        if asked.get("temperature") == 0:
            seed = 0
        most = asked.get("max_tokens") or asked["max_completion_tokens"]
        thought, words = self.thought.split(), self.reply(asked["messages"], seed).split(" ")
        room = max(0, most - len(thought))
        text, thinking = " ".join(words[:room]), " ".join(thought[:most])
        for stop in asked.get("stop", ()):
            text = text.partition(stop)[0]  # taken away with all after it, as OpenAI does
        written = len(thought[:most]) + len(text.split())
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if thinking:
            shown = {"deepseek": "reasoning_content", "openrouter": "reasoning"}
            if self.kind in shown:
                message[shown[self.kind]] = thinking
        cut = len(thought) + len(words) > most
        choice: dict[str, Any] = {
            "index": 0,
            "message": message,
            "finish_reason": "length" if cut else "stop",
            "logprobs": None,
        }
        if asked.get("logprobs") and self.logprobs:
            entries: list[dict[str, Any]] = [
                {"token": word, "logprob": -0.25} for word in text.split()
            ]
            if asked.get("top_logprobs") and entries:
                entries[0]["top_logprobs"] = [
                    {"token": token, "logprob": math.log(p)} for token, p in self.likeliest.items()
                ]
            choice["logprobs"] = {"content": entries}
        answer = {"id": "c", "object": "chat.completion", "model": self.model, "choices": [choice]}
        if self.usage:
            answer["usage"] = self._usage(asked, written, len(thought[:most]))
        return answer

    def _usage(self, asked: dict[str, Any], written: int, thought: int) -> dict[str, Any]:
        read = sum(4 + len(one["content"].split()) for one in asked["messages"])
        usage = {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
        }
        if self.kind == "deepseek":
            return usage | {"prompt_cache_hit_tokens": 2, "prompt_cache_miss_tokens": read - 2}
        if self.kind == "ollama":
            return usage
        return usage | {
            "prompt_tokens_details": {"cached_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": thought},
        }


def refusal(status: int, message: str, **about: str) -> web.Response:
    """An error as OpenAI spells it."""
    error = {"message": message, "type": "invalid_request_error", **about}
    return web.json_response({"error": error}, status=status)
