"""Engine `server`: a model behind one or more HTTP servers."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tts_bench.cost.flops import ModelShape
from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.addresses import Addresses
from tts_bench.engine.server.chat import OWN_FIELDS, ChatDialect
from tts_bench.engine.server.chat_start import TOKENIZER, ChatStart, Kept
from tts_bench.engine.server.dialects import Dialect, Tools
from tts_bench.engine.server.gate import Gate
from tts_bench.engine.server.messages import VOCABULARY
from tts_bench.engine.server.pool import ServerPool
from tts_bench.engine.server.probe import DIALECTS, Promises, Served, identify, try_out
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.weights import load_error, local_path, model_revision, model_shape
from tts_bench.errors import EngineError, ModelError
from tts_bench.secrets.masking import masked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from tts_bench.types import Need, Sampling


_UNKNOWN_LENGTH = (1 << 31) - 1
"""Stands for the context of a chat endpoint, which alone knows it."""


@dataclass
class Connected:
    """What is known and open after the start."""

    info: EngineInfo
    tokenizer: Tokenizer
    vocabulary: int
    dialect: Dialect
    served: str
    """The model's name there."""
    pool: ServerPool
    salt: str
    gives_chosen: bool = True
    """Whether all were seen to give log-probabilities of tokens that a request names."""

    @property
    def tools(self) -> Tools:
        """For answers that lack something."""
        return Tools(self._ask, self.tokenizer, self.vocabulary)

    async def _ask(self, body: Mapping[str, Any], prompt: Sequence[int]) -> Mapping[str, Any]:
        return (await self.pool.post(self.dialect.path, body, prompt))[1]


@dataclass(frozen=True)
class ServerEngine(Engine):
    """A model served by vLLM, SGLang or llama.cpp; token ids go there and come back.

    With several URLs, all must serve the same model. Draws are seeded one by one, so which of them
    answers a request does not matter.
    """

    speed_only: ClassVar[frozenset[str]] = frozenset(
        {"base_url", "api_key_env", "max_in_flight", "answer_timeout", "patience"}
    )

    base_url: str | tuple[str, ...]
    """`http://host:8000`, a list of such, or a file with one in each line. The file is read again
    if no server of it answers."""
    model: str
    """Name under which the model is served."""
    tokenizer_model: str | None = None
    """Hub id or folder with the model's tokenizer and config.json; by default `model`."""
    dialect: Literal["auto", "vllm", "sglang", "llamacpp", "chat"] = "auto"
    """`chat` is any OpenAI-compatible endpoint that takes messages and gives text; `auto` finds
    the others."""
    api_key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is written nowhere."""
    max_model_len: int | None = None
    """Longest prompt plus completion, in tokens; by default what the server says."""
    max_in_flight: int = 2048
    """Most requests sent at once, over all servers."""
    answer_timeout: float = 1800.0
    """Seconds without an answer after which a server counts as gone for a request."""
    patience: float = 120.0
    """Seconds for which all servers may be gone before the engine counts as dead."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Chat: fields of the provider's own, for example `reasoning_effort: high`."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """Chat: its name for the longest completion; by default what it is seen to take."""
    logprobs: bool = False
    """Chat: ask for log-probabilities, which not every endpoint gives."""
    shape: ModelShape | str | None = None
    """Chat: the model's sizes, or a hub id or folder whose config.json has them, to count FLOPs."""

    def __post_init__(self) -> None:
        _ = self._addresses  # raises for an address that is none
        of_chat = ("extra_body", "max_tokens_field", "logprobs", "shape")
        of_others = ("tokenizer_model", "max_model_len")
        is_chat = self.dialect == "chat"
        for name in of_others if is_chat else of_chat:
            if getattr(self, name):
                raise ValueError(f"{name} is {'not ' if is_chat else ''}for dialect: chat")
        if taken := sorted(OWN_FIELDS & self.extra_body.keys()):
            raise ValueError(f"extra_body must not hold {taken[0]}, which requests set themselves")

    def lacks(self) -> Mapping[Need, str]:
        """What no chat endpoint gives, or none without being asked.

        Once it is started, what its servers were seen not to give counts as well.
        """
        connected: Connected | None = self.__dict__.get("_connected")
        if self.dialect != "chat":
            if connected is None or connected.gives_chosen:
                return {}
            said = "no log-probabilities of chosen tokens"
            return {"chosen_logprobs": f"{', '.join(self.urls())} gave {said} when tried"}
        lacks: dict[Need, str] = {"exact_tokens": "a chat endpoint takes messages and gives text"}
        if not self.logprobs:
            asked = "a chat endpoint gives them, if at all, with engine.logprobs: true"
            lacks |= {"logprobs": asked, "chosen_logprobs": asked}
        return lacks

    @property
    def weights(self) -> tuple[str | None, str | None]:
        """Those of the tokenizer; of a chat's model nothing is here."""
        return (None if self.dialect == "chat" else self.tokenizer_model or self.model), None

    def unable(self, sampling: Sampling) -> str | None:
        """What no server of the kind keeps; of which kind they are, `auto` finds at the start."""
        connected: Connected | None = self.__dict__.get("_connected")
        if connected is not None:
            return connected.dialect.unable(sampling)
        if self.dialect == "auto":
            return None
        kind = ChatDialect() if self.dialect == "chat" else DIALECTS[self.dialect]
        return kind.unable(sampling)

    def settings_key(self) -> str:
        """As every engine's; what only chats have says something only there."""
        key = super().settings_key()
        if self.dialect == "chat":
            return key
        name, settings = key.split(" ", 1)
        later = ("extra_body", "max_tokens_field", "logprobs", "shape")
        kept = {one: value for one, value in json.loads(settings).items() if one not in later}
        return f"{name} {json.dumps(kept, sort_keys=True)}"

    async def start(self) -> EngineInfo:
        """Ask every server what it is, and try one request after the other.

        Raises ModelError in one line: nobody there, another model, another tokenizer, no seeds.
        """
        if "_connected" in self.__dict__:
            raise EngineError("engine 'server' is started already")
        self._check_settings()
        client = self._addresses.client(self.answer_timeout)
        try:
            is_chat = self.dialect == "chat"
            connected = await (self._connect_chat(client) if is_chat else self._connect(client))
        except BaseException:
            await client.close()
            raise
        self.__dict__["_connected"] = connected
        return connected.info

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        return self._started.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer here, which agreed with the server's."""
        return self._started.tokenizer

    async def close(self) -> None:
        """Close every connection, which stops what the servers still work on."""
        connected: Connected | None = self.__dict__.pop("_connected", None)
        if connected is not None:
            await connected.pool.client.close()
            await asyncio.sleep(0)  # sockets are closed a turn of the loop later

    async def generate(self, request: Request) -> Completion:
        """Draw one completion at the server that suits; cancelling the call closes its request."""
        at = self._started
        request.check(at.info.max_model_len, at.vocabulary)
        if why := at.dialect.refusal(request):
            raise EngineError(why)
        request = _within(request, at.info.max_model_len)
        stop = request.sampling.stop
        spelt = at.tokenizer
        names = spelt.names_special if isinstance(spelt, HuggingFaceTokenizer) else None
        special = bool(stop) and names is not None and names(stop)
        body = at.dialect.payload(request, at.served, special, at.salt)
        server, answer = await at.pool.post(at.dialect.path, body, request.prompt_ids)
        try:
            whole = await at.dialect.filled(request, answer, at.tools)
            return at.dialect.complete(request, whole, at.tokenizer, at.vocabulary)
        except EngineError as error:
            raise EngineError(f"{server.url}: {error}") from error

    @property
    def _started(self) -> Connected:
        connected: Connected | None = self.__dict__.get("_connected")
        if connected is None:
            raise EngineError("engine 'server' is not started, or closed")
        return connected

    async def _connect(self, client: aiohttp.ClientSession) -> Connected:
        urls = self.urls()
        served = await self._identify_all(client, urls)
        tokenizer, config = await asyncio.to_thread(self._load_tokenizer)
        vocabulary = max(len(tokenizer), config.get("vocab_size") or 0)
        dialect = DIALECTS[served.dialect]
        promises = [await try_out(client, url, served, tokenizer, vocabulary) for url in urls]
        promised = Promises(
            *(all(getattr(one, name) for one in promises) for name in Promises.__annotations__)
        )
        return Connected(
            info=self._info(served, promised, config),
            tokenizer=tokenizer,
            vocabulary=vocabulary,
            dialect=dialect,
            served=served.model,
            pool=self._pool(client),
            salt=uuid.uuid4().hex,
            gives_chosen=promised.first_logprobs,
        )

    def _pool(self, client: aiohttp.ClientSession) -> ServerPool:
        gate = Gate(self.max_in_flight)
        return ServerPool(client, self.urls, gate, self.patience, self.api_key_env)

    async def _connect_chat(self, client: aiohttp.ClientSession) -> Connected:
        """As `_connect`, for an endpoint that takes messages and gives text."""
        shape, note = await asyncio.to_thread(self._chat_shape)
        start = ChatStart(client, self.model, self.api_key_env, self.max_tokens_field)
        dialect = ChatDialect(logprobs=self.logprobs, extra=self.extra_body)
        kept = await start.meet(self.urls(), dialect)
        return Connected(
            info=self._chat_info(kept, shape, note),
            tokenizer=TOKENIZER,
            vocabulary=VOCABULARY,
            dialect=kept.dialect,
            served=self.model,
            pool=self._pool(client),
            salt="",
        )

    def _chat_shape(self) -> tuple[ModelShape | None, str]:
        """The shape that the suite gives. Raises ModelError for a model that cannot be had."""
        if self.shape is None:
            return None, "a chat endpoint does not show its model: set engine.shape if it is known"
        if isinstance(self.shape, ModelShape):
            return self.shape, ""
        import transformers

        try:
            config = transformers.AutoConfig.from_pretrained(local_path(self.shape)).to_dict()
        except Exception as error:
            raise ModelError(f"shape: {load_error(self.shape, error)}") from error
        return model_shape(config)

    def _chat_info(self, kept: Kept, shape: ModelShape | None, note: str) -> EngineInfo:
        # Whatever else decides a text is part of the name, and so of every stored key.
        asked = [json.dumps(masked(self.extra_body), sort_keys=True)] if self.extra_body else []
        asked += ["with log-probabilities"] if self.logprobs else []
        home = self._addresses.provider
        return EngineInfo(
            engine=" ".join(["server chat", *asked]),
            model=self.model,
            revision="" if kept.revision == self.model else kept.revision,
            dtype=f"as served by {home}" if home else "as served",
            max_model_len=_UNKNOWN_LENGTH,
            shape=shape,
            shape_note=note,
            exact_tokens=False,
            notes=kept.notes,
        )

    async def _identify_all(self, client: aiohttp.ClientSession, urls: list[str]) -> Served:
        """What all servers are. Raises ModelError if they are not all the same."""
        found = [await identify(client, url, self.dialect, self.model) for url in urls]
        for url, one in zip(urls, found, strict=True):
            if one != found[0]:
                raise ModelError(f"{urls[0]} is {_said(found[0])}, and {url} is {_said(one)}")
        return found[0]

    def _load_tokenizer(self) -> tuple[HuggingFaceTokenizer, dict[str, Any]]:
        """Tokenizer and config.json of the model. Raises ModelError if they cannot be had."""
        import transformers

        source = self.tokenizer_model or self.model
        place = local_path(source)
        try:
            tokenizer = HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(place))
            config = transformers.AutoConfig.from_pretrained(place).to_dict()
        except Exception as error:
            said = load_error(source, error)
            raise ModelError(f"the tokenizer: {said} (set tokenizer_model)") from error
        return tokenizer, config

    def _info(self, served: Served, promises: Promises, config: dict[str, Any]) -> EngineInfo:
        source = self.tokenizer_model or self.model
        shape, note = model_shape(config)
        longest = self.max_model_len or served.max_model_len
        if longest is None:
            raise ModelError("the server does not say how long its context is: set max_model_len")
        return EngineInfo(
            engine=f"server {served.dialect} {served.version}{promises.said}",
            model=self.model,
            revision=model_revision(source, None),
            dtype=served.dtype,
            max_model_len=longest,
            shape=shape,
            shape_note=note,
        )

    def urls(self) -> list[str]:
        """The base URLs, without a slash at the end. Raises ModelError for what is none."""
        return self._addresses.urls()

    @property
    def _addresses(self) -> Addresses:
        return Addresses(self.base_url, self.api_key_env)

    def _check_settings(self) -> None:
        self.urls()
        for name in ("max_in_flight", "answer_timeout", "patience", "max_model_len"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ModelError(f"{name} is {value}; it must be above 0")


def _within(request: Request, max_model_len: int) -> Request:
    """The request with no more tokens than the context holds: servers refuse what is beyond."""
    room = max_model_len - len(request.prompt_ids)
    if request.sampling.max_tokens <= room:
        return request
    return replace(request, sampling=replace(request.sampling, max_tokens=room))


def _said(served: Served) -> str:
    weights = f" ({served.weights} {served.dtype})" if served.weights else ""
    return (
        f"{served.dialect} {served.version} with {served.model}{weights},"
        f" {served.max_model_len} tokens"
    )
