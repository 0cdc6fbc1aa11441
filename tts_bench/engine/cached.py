"""An engine that remembers: each completion is made once, stored, and never made again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from tts_bench.concurrency.memo import Memo
from tts_bench.concurrency.upkeep import KeptModel
from tts_bench.cost.flops import ModelShape
from tts_bench.engine import failures
from tts_bench.engine.base import Completion, Engine, EngineInfo, Request, brief
from tts_bench.engine.remembered_tokenizer import RememberedTokenizer, ids_bytes
from tts_bench.engine.soundness import sound
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError, ReplayMiss
from tts_bench.types import Need, Sampling

_INFO = "engine|"


class CompletionStore(Protocol):
    """The part of a generation store that is needed here."""

    async def get_many(self, keys: Sequence[str]) -> dict[str, Completion]: ...
    async def put(self, key: str, completion: Completion) -> Completion: ...
    async def get_facts(self, prefix: str) -> dict[str, Any]: ...
    async def put_facts(self, prefix: str, facts: Mapping[str, Any]) -> None: ...


class CachedEngine(Engine):
    """Answers from the store if it can, and stores before it answers if it cannot.

    Requests that are in flight already are joined, not repeated: strategies that run at once
    share their draws. With `replay` the inner engine is never started and a miss is an error.
    A `salt` keeps this engine's completions apart from all others in the store. An inner engine
    that dies is started anew, as its `upkeep` has it, and `say` is told.
    """

    def __init__(
        self,
        engine: Engine,
        store: CompletionStore,
        *,
        replay: bool = False,
        salt: str = "",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        object.__setattr__(engine, "say", say)  # the engine is frozen
        self._engine = engine
        self._store = store
        self._replay = replay
        self._salt = salt
        self._identity = ""
        self._info: EngineInfo | None = None
        self._kept = KeptModel("the engine", engine.upkeep, engine.start, engine.close, say)
        self._memo: Memo[str, Request, Completion] = Memo(store.get_many, self._make)
        self._tokenizer: RememberedTokenizer | None = None
        self.generated_tokens = 0
        """Tokens that the engine has generated, not counting those from the store."""

    def settings_key(self) -> str:
        """The inner engine's."""
        return self._engine.settings_key()

    def lacks(self) -> Mapping[Need, str]:
        """The inner engine's."""
        return self._engine.lacks()

    def unable(self, sampling: Sampling) -> str | None:
        """The inner engine's."""
        return self._engine.unable(sampling)

    async def start(self) -> EngineInfo:
        """Start the inner engine; under `replay`, only recall what it once said of itself."""
        if self._replay:
            info = await self._recall_info()
        else:
            info = await self._kept.start()
            await self._store.put_facts(_INFO, {self._engine.settings_key(): asdict(info)})
        self._info = info
        self._identity = f"{info.identity}|{self._salt}" if self._salt else info.identity
        known = await self._store.get_facts(self._encodings)
        self._tokenizer = RememberedTokenizer(
            None if self._replay else self._engine.tokenizer, known
        )
        return info

    @property
    def hits(self) -> int:
        """Requests answered without asking the engine."""
        return self._memo.hits

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        if self._info is None:
            raise EngineError("the engine is not started")
        return self._info

    @property
    def tokenizer(self) -> Tokenizer:
        """The inner engine's, remembered for a replay. Raises EngineError before the start."""
        if self._tokenizer is None:
            raise EngineError("the engine is not started")
        return self._tokenizer

    async def close(self) -> None:
        """Drop what is in flight and close the inner engine."""
        await self._memo.close()
        if not self._replay:
            await self._kept.close()
            await self._save_texts()

    async def generate(self, request: Request) -> Completion:
        """One completion, from the store if it is there."""
        return (await self.generate_all([request]))[0]

    async def generate_all(self, requests: Sequence[Request]) -> list[Completion]:
        """Look all up at once, join what is in flight, and ask the engine for the rest."""
        await self._save_texts()
        keys = request_keys(self._identity, requests)
        found = await self._memo.get(dict(zip(keys, requests, strict=True)))
        return [found[key] for key in keys]

    async def _save_texts(self) -> None:
        if self._tokenizer is not None and (new := self._tokenizer.take_new()):
            await self._store.put_facts(self._encodings, new)

    async def _make(self, requests: Mapping[str, Request]) -> dict[str, Completion]:
        [(key, request)] = requests.items()
        if self._replay:
            if said := await failures.recall(self._store, [key]):
                raise EngineError(said)
            raise ReplayMiss("a completion was never recorded")
        try:
            made = await self._kept.call(lambda: self._engine.generate(request))
            completion = sound(made, request, key)
        except Exception as error:
            told = failures.told(error, EngineError)
            await failures.keep(self._store, [key], told)
            if told is error:
                raise
            raise told from error
        self.generated_tokens += completion.written or 0
        return {key: await self._store.put(key, completion)}

    async def _recall_info(self) -> EngineInfo:
        recipe = self._engine.settings_key()
        info = (await self._store.get_facts(_INFO)).get(recipe)
        if info is None:
            raise ReplayMiss(f"nothing was ever recorded with {brief(recipe)}")
        shape = info.pop("shape")
        info["notes"] = tuple(info.get("notes", ()))
        return EngineInfo(**info, shape=ModelShape(**shape) if shape else None)

    @property
    def _encodings(self) -> str:
        return f"encoding|{self._identity}|"


def request_keys(identity: str, requests: Sequence[Request]) -> list[str]:
    """Keys of completions: hashes of the engine's identity and each whole request.

    Requests side by side that share one prompt and sampling have these hashed once.
    """
    keys: list[str] = []
    prompt, sampling, before = None, None, hashlib.blake2b()
    for request in requests:
        if request.prompt_ids is not prompt or request.sampling is not sampling:
            prompt, sampling = request.prompt_ids, request.sampling
            before = _begun(identity, request)
        # Only with them in the rest: completions without them keep the keys they have.
        ids = f", {json.dumps(request.logprob_ids)}" if request.logprob_ids else ""
        digest = before.copy()
        digest.update(f"{request.seed}{ids}]".encode())
        keys.append(digest.hexdigest())
    return keys


def _begun(identity: str, request: Request) -> hashlib.blake2b:
    """The hash of all but a request's seed and what comes after it."""
    digest = hashlib.blake2b(ids_bytes(request.prompt_ids), digest_size=16)
    law = request.sampling
    settings = [identity, law.max_tokens, law.temperature, law.top_p, law.top_k, law.stop]
    # Between the stop strings and the seed, and only if there is something: draws without keep
    # the keys that they have.
    if law.further:
        settings.append(law.further)
    digest.update(f"{json.dumps(settings)[:-1]}, ".encode())
    return digest
