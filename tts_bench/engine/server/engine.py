"""Engine `server`: a model behind one or more HTTP servers."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.addresses import Addresses
from tts_bench.engine.server.dialects import DIALECTS, Dialect, completion
from tts_bench.engine.server.gate import Gate
from tts_bench.engine.server.pool import ServerPool
from tts_bench.engine.server.probe import Promises, Served, identify, try_out
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.weights import load_error, local_path, model_revision, model_shape
from tts_bench.errors import EngineError, ModelError

if TYPE_CHECKING:
    import aiohttp


@dataclass
class Connected:
    """What is known and open after the start."""

    info: EngineInfo
    tokenizer: HuggingFaceTokenizer
    vocabulary: int
    dialect: Dialect
    served: str
    """The model's name there."""
    promises: Promises
    pool: ServerPool
    salt: str


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
    dialect: Literal["auto", "vllm", "sglang", "llamacpp"] = "auto"
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

    async def start(self) -> EngineInfo:
        """Ask every server what it is, and try one request after the other.

        Raises ModelError in one line: nobody there, another model, another tokenizer, no seeds.
        """
        if "_connected" in self.__dict__:
            raise EngineError("engine 'server' is started already")
        self._check_settings()
        client = self._addresses.client(self.answer_timeout)
        try:
            connected = await self._connect(client)
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
        special = bool(stop) and at.tokenizer.names_special(stop)
        body = at.dialect.payload(request, at.served, special, at.salt)
        server, answer = await at.pool.post(at.dialect.path, body, request.prompt_ids)
        try:
            return completion(request, answer, at.dialect, at.tokenizer, at.vocabulary)
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
            promises=promised,
            pool=ServerPool(client, self.urls, Gate(self.max_in_flight), self.patience),
            salt=uuid.uuid4().hex,
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
            dtype="as served",
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
    return f"{served.dialect} {served.version} with {served.model}, {served.max_model_len} tokens"
