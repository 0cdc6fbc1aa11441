"""What verifiers that ask a model through an engine share: the engine, the prompt, the seeds."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.types import Candidate, NoneOrMore, NotNegative, Problem, Seed, Share
from tts_bench.verifier.base import Verifier, VerifierInfo


@dataclass(frozen=True)
class AskingVerifier(Verifier):
    """Base of verifiers whose model writes: on an engine of their own, or on the policy's."""

    engine: Engine | None = None
    """The engine that is asked; None asks the policy's own model."""

    async def start(self, policy: Engine) -> VerifierInfo:
        """Start the own engine, if there is one. Raises ModelError if it cannot give enough."""
        self._check_engine(policy)
        info = policy.info if self.engine is None else await self.engine.start()
        self._check_engine(policy)  # a server may only now be seen to lack something
        self.__dict__["_asked"] = (self.engine or policy, info)
        return VerifierInfo(self.settings_key(), info)

    def _check_engine(self, policy: Engine) -> None:
        for need, why in (self.engine or policy).lacks().items():
            if need in self.engine_needs:
                raise ModelError(f"{type(self).__name__} cannot work: {why}")

    async def close(self) -> None:
        """Close the own engine, if there is one; the policy's is not this verifier's."""
        self.__dict__.pop("_asked", None)
        if self.engine is not None:
            await self.engine.close()

    @property
    def asked(self) -> Engine:
        """The started engine. Raises VerifierError before `start` and after `close`."""
        return self._started[0]

    @property
    def longest(self) -> int:
        """Longest prompt plus completion that the engine holds, in tokens."""
        return self._started[1].max_model_len

    @property
    def _started(self) -> tuple[Engine, EngineInfo]:
        started: tuple[Engine, EngineInfo] | None = self.__dict__.get("_asked")
        if started is None:
            raise VerifierError(f"{type(self).__name__} is not started, or closed")
        return started


@dataclass(frozen=True)
class ChatVerifier(AskingVerifier):
    """Base of verifiers that put a text to the model and read what it writes."""

    prompt: str = ""
    """What is put to the model; must hold `{problem}`, and `{solution}` or `{steps}`."""
    chat: bool = True
    """Apply the model's chat template; False sends the text as it is."""
    template_kwargs: dict[str, Any] = field(default_factory=dict)
    """Passed to the chat template, for example `enable_thinking: false`."""
    max_tokens: NoneOrMore = 1024
    """Longest text that the model writes at a time."""
    temperature: NotNegative = 0.0
    top_p: Share = 1.0
    seed: Seed = 0
    """Another one draws other texts."""

    def __post_init__(self) -> None:
        lacking = "{problem}" not in self.prompt
        if lacking or not {"{solution}", "{steps}"} & set(re.findall(r"\{\w+\}", self.prompt)):
            raise ValueError("prompt must hold {problem}, and {solution} or {steps}")

    async def start(self, policy: Engine) -> VerifierInfo:
        """As `AskingVerifier`'s. Raises ModelError if the prompt cannot be put to the model."""
        info = await super().start(policy)
        self.encode(self.prompt)
        return info

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a prompt, up to where the model goes on."""
        if self.chat:
            message = {"role": "user", "content": text}
            return self.asked.tokenizer.encode_chat([message], self.template_kwargs)
        return self.asked.tokenizer.encode(text, add_special_tokens=True)

    def room(self, prompt_ids: tuple[int, ...], reserved: int = 0) -> int:
        """How many tokens the model may write, `reserved` ones for what follows left out.

        Raises VerifierError if the prompt leaves no room.
        """
        left = self.longest - len(prompt_ids) - reserved
        if left < 1:
            raise VerifierError(
                f"a solution to verify takes {len(prompt_ids)} tokens with its prompt, and the"
                f" verifier's engine holds {self.longest} in all"
            )
        return min(left, self.max_tokens)

    async def write(self, request: Request) -> Completion:
        """One completion; what the engine cannot do is a VerifierError."""
        try:
            return await self.asked.generate(request)
        except EngineError as error:
            raise VerifierError(f"the verifier's engine: {error}") from error


def fill(template: str, parts: Mapping[str, str]) -> str:
    """Replace `{name}` by its part; all other braces, and those within parts, are left alone.

    >>> fill("{a} {b} {c}", {"a": "{b}", "b": "2"})
    '{b} 2 {c}'
    """
    return re.sub(r"\{(\w+)\}", lambda found: parts.get(found[1], found[0]), template)


def draw_seed(seed: int, problem: Problem, candidate: Candidate, *place: object) -> int:
    """Seed of one draw of a verifier, in [0, 2**63).

    It depends on what the key of a stored score depends on, so that a score is the same
    whichever attempt asks for it first, and on the `place` of the draw within the scoring.
    """
    digest = hashlib.blake2b(digest_size=8)
    for ids in (candidate.prompt_ids, candidate.token_ids):
        digest.update(array("q", (len(ids), *ids)).tobytes())
    digest.update(json.dumps([seed, problem.text, candidate.text, *place]).encode())
    return int.from_bytes(digest.digest(), "big") >> 1


def charge(request: Request, done: Completion, known: int = 0) -> Call:
    """The call that a completion was; `known` as in `Call.known_prompt_tokens`."""
    prompt = done.counts.prompt if done.counts else None
    cached = done.cached_prompt_tokens
    return Call(request.prompt_ids, done.written, cached, None, known, prompt_tokens=prompt)
