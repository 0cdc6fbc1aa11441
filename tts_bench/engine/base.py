"""The engine's port: token ids in, token ids out.

An engine answers one request at a time through `generate`; callers keep thousands of calls in
flight and the adapter batches them as its library does best.
"""

from __future__ import annotations

import abc
import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, ClassVar

from tts_bench.cost.flops import ModelShape
from tts_bench.engine.reopen import Reopened
from tts_bench.errors import EngineError, ModelError, TtsBenchError
from tts_bench.types import FinishReason, Sampling


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to draw: exact token ids, how to draw, and the seed of this draw."""

    prompt_ids: tuple[int, ...] = field(repr=False)
    sampling: Sampling
    seed: int
    logprob_ids: tuple[int, ...] = ()
    """Tokens whose log-probability at the first generated position is wanted (at most 128)."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote for one request.

    `token_ids` holds every generated token, the end-of-sequence or stop tokens included.
    `text` is what these ids add to the text of the prompt (special tokens left out, stop
    strings kept). `logprob` sums the log-probabilities (nats) of `token_ids` under the model's
    unmodified distribution, before temperature and truncation.
    """

    token_ids: tuple[int, ...] = field(repr=False)
    text: str
    logprob: float
    finish_reason: FinishReason
    stop: str | None = None
    """The stop string that ended it, if one did."""
    cached_prompt_tokens: int = 0
    """Prompt tokens that the engine did not compute, by its own report."""
    key: str = field(default="", repr=False)
    """Key in the generation store; empty where the completion is not stored."""
    first_logprobs: tuple[float, ...] = ()
    """Log-probabilities (nats) of the request's `logprob_ids`, in order, at the first generated
    position, under the model's unmodified distribution."""

    @property
    def mean_logprob(self) -> float:
        """Log-probability per generated token (nats)."""
        return self.logprob / len(self.token_ids) if self.token_ids else 0.0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a started engine says of itself; goes into the manifest and every request's key."""

    engine: str
    """Adapter and library version, for example `vllm 0.32.0`."""
    model: str
    revision: str
    """Hub commit, or a fingerprint of a local folder's weights and tokenizer."""
    dtype: str
    max_model_len: int
    """Longest prompt plus completion, in tokens."""
    shape: ModelShape | None
    """None where the architecture is not one whose FLOPs are known."""
    shape_note: str = ""
    """Why the shape is unknown, for the user."""

    @property
    def identity(self) -> str:
        """What decides which tokens a request gives: part of every stored completion's key."""
        # The longest text is part of it: it decides where a completion is cut off.
        parts = (self.engine, self.model, self.revision, self.dtype, str(self.max_model_len))
        return "|".join(parts)


_SAID = "§"
"""Stands for an assistant's turn where only what the template writes behind one is wanted."""


class Engine(abc.ABC):
    """A policy model behind one door. Subclasses are frozen dataclasses of their settings.

    Constructors only store; `start` loads and `close` frees. Foreign exceptions are translated
    into `ModelError` (at start) and `EngineError` (at one request).
    """

    speed_only: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how fast tokens come, but not which."""

    def settings_key(self) -> str:
        """The settings that decide which tokens come, known before anything is loaded."""
        fields: dict[str, Any] = asdict(self) if is_dataclass(self) else {}
        kept = {name: value for name, value in fields.items() if name not in self.speed_only}
        return f"{type(self).__name__} {json.dumps(kept, sort_keys=True, default=str)}"

    @property
    def info(self) -> EngineInfo:
        """What `start` returned. Raises EngineError before that, and where it is not kept."""
        raise EngineError("the engine is not started, or does not keep what it says of itself")

    @abc.abstractmethod
    async def start(self) -> EngineInfo:
        """Load the model. Raises ModelError, or MissingExtra where the library is absent."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Free the model; requests still in flight fail with EngineError."""

    @abc.abstractmethod
    async def generate(self, request: Request) -> Completion:
        """Draw one completion; cancelling the call frees the request.

        Raises EngineError where the request cannot be served (a prompt that is too long).
        """

    async def generate_all(self, requests: Sequence[Request]) -> list[Completion]:
        """Draw all completions at once, in order; the first failure cancels the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self.generate(request)) for request in requests]
        except* TtsBenchError as failures:
            raise first_error(failures) from None
        return [task.result() for task in tasks]

    @abc.abstractmethod
    def encode(self, text: str, add_special_tokens: bool = False) -> tuple[int, ...]:
        """Token ids of plain text; `add_special_tokens` as the tokenizer does at a beginning."""

    @abc.abstractmethod
    def encode_chat(
        self, messages: Sequence[Mapping[str, str]], template_kwargs: Mapping[str, Any]
    ) -> tuple[int, ...]:
        """Token ids of a chat up to the place where the assistant's turn begins.

        Raises ModelError where the tokenizer has no chat template.
        """

    def encode_turn(self, text: str, template_kwargs: Mapping[str, Any]) -> tuple[int, ...]:
        """Token ids that end the assistant's turn, say `text` as the user, and hand over again.

        What the template writes behind an assistant's turn, and so what goes on from a
        candidate's exact tokens: the turns before are never rendered again. Raises ModelError
        where there is no template, or where it does not show such a turn as it stands.
        """
        roles = ("user", "assistant", "user")
        chat = [
            {"role": role, "content": content}
            for role, content in zip(roles, ("?", _SAID, text), strict=True)
        ]
        ids, said = self.encode_chat(chat, template_kwargs), self.encode(_SAID)
        places = range(len(ids) - len(said) + 1)
        found = [at for at in places if ids[at : at + len(said)] == said]
        if not found:
            raise ModelError("the chat template does not show an assistant's turn as it stands")
        return ids[found[0] + len(said) :]

    def decode(self, token_ids: tuple[int, ...]) -> str:
        """The text of token ids, special tokens left out."""
        raise EngineError(f"{type(self).__name__} does not turn ids into text (decode)")

    def reopen(
        self,
        prompt_ids: tuple[int, ...],
        token_ids: tuple[int, ...],
        markers: tuple[str, ...],
        whole: bool,
    ) -> Reopened:
        """Take back what ended a completion (see `engine.reopen`), to go on from there.

        That is the last of the `markers`, which stop strings are; where not `whole`, what was
        written of one before it was cut off; and without markers the end-of-turn token.
        """
        raise EngineError(f"{type(self).__name__} cannot go on behind a stop (reopen)")


def brief(recipe: str) -> str:
    """What a recipe is of, for a message that it would fill: its class and its model."""
    name, _, settings = recipe.partition(" {")
    model = json.loads(f"{{{settings}").get("model") if settings else None
    return f"{name} {model} as it is set here" if model else name


def first_error(group: BaseExceptionGroup[TtsBenchError]) -> TtsBenchError:
    """The first plain error within a (nested) exception group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, TtsBenchError)
    return error
