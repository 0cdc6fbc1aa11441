"""The engine's port: token ids in, token ids out.

An engine answers one request at a time through `generate`; callers keep thousands of calls in
flight and the adapter batches them as its library does best.
"""

from __future__ import annotations

import abc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, ClassVar

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.concurrency.upkeep import Upkeep
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.price import Price
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError
from tts_bench.secrets.masking import masked
from tts_bench.types import NEUTRAL, FinishReason, Need, Sampling

FURTHER = frozenset(NEUTRAL)
"""The fields of `Sampling` after `stop`, for engines that draw with all of them."""


@dataclass(frozen=True, slots=True)
class Request:
    """One completion to draw: exact token ids, how to draw, and the seed of this draw."""

    prompt_ids: tuple[int, ...] = field(repr=False)
    sampling: Sampling
    seed: int
    logprob_ids: tuple[int, ...] = ()
    """Tokens whose log-probability at the first generated position is wanted (at most 128)."""

    def check(self, max_model_len: int, vocabulary: int) -> None:
        """Raise EngineError if a model with that context and vocabulary cannot serve it."""
        prompt = self.prompt_ids
        if not prompt:
            raise EngineError("the prompt is empty")
        if len(prompt) >= max_model_len:
            raise EngineError(
                f"the prompt has {len(prompt)} tokens, and the engine holds {max_model_len}"
                " for prompt and completion"
            )
        named = {
            "the prompt has": prompt,
            "logprob_ids has": self.logprob_ids,
            "stop_token_ids has": self.sampling.stop_token_ids,
        }
        for what, ids in named.items():
            if ids and not 0 <= min(ids) <= max(ids) < vocabulary:
                raise EngineError(f"{what} ids outside of the vocabulary of {vocabulary}")


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Tokens of one request as an API counted them; None is what it did not tell."""

    prompt: int | None = None
    completion: int | None = None
    reasoning: int | None = None
    """Those of the completion that are thinking, whether their text is shown or not."""


@dataclass(frozen=True, slots=True)
class Completion:
    """Tokens and text that the model wrote for one request.

    `token_ids` holds every generated token, the end-of-sequence or stop tokens included.
    `text` is what these ids add to the text of the prompt (special tokens left out, stop
    strings kept). `logprob` sums the log-probabilities (nats) of `token_ids` under the model's
    unmodified distribution, before temperature and truncation; NaN where the engine gives none.
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
    """Key in the generation store; empty if the completion is not stored."""
    first_logprobs: tuple[float, ...] = ()
    """Log-probabilities (nats) of the request's `logprob_ids`, in order, at the first generated
    position, under the model's unmodified distribution."""
    counts: TokenCounts | None = None
    """What the API counted, where `token_ids` are not the model's own tokens. None: they are, and
    are counted one by one."""

    @property
    def written(self) -> int | None:
        """Tokens that the model wrote; None if nobody counted them."""
        return len(self.token_ids) if self.counts is None else self.counts.completion

    @property
    def mean_logprob(self) -> float:
        """Log-probability per generated token (nats)."""
        return self.logprob / self.written if self.written else 0.0


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """Identity of a started engine; part of the manifest and of every request's key."""

    engine: str
    """Adapter and library version, for example `vllm 0.32.0`."""
    model: str
    revision: str
    """Hub commit, or a fingerprint of a local folder's weights and tokenizer."""
    dtype: str
    max_model_len: int
    """Longest prompt plus completion, in tokens."""
    shape: ModelShape | None
    """None if the architecture is not one whose FLOPs are known."""
    shape_note: str = ""
    """Why the shape is unknown, for the user."""
    exact_tokens: bool = True
    """Whether token ids are the model's own, and not stand-ins for a text that goes to an API."""
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What it was seen not to keep, for the manifest and reports; no part of what it is."""

    @property
    def identity(self) -> str:
        """Everything that decides a request's tokens: part of every stored completion's key."""
        # The longest text is part of it: it decides where a completion is cut off.
        parts = (self.engine, self.model, self.revision, self.dtype, str(self.max_model_len))
        return "|".join(parts)


class Engine(abc.ABC):
    """A policy model behind one door. Subclasses are frozen dataclasses of their settings.

    Constructors only store; `start` loads and `close` frees. Foreign exceptions are translated
    into `ModelError` (at start), `EngineError` (at one request) and `EngineDied` (at one request,
    if no other can be served either). One that has died is closed and started again.
    """

    speed_only: ClassVar[frozenset[str]] = frozenset()
    """Settings that change how fast tokens come, but not which."""
    draws_with: ClassVar[frozenset[str]] = frozenset()
    """The fields of `Sampling` after `stop` that it keeps."""
    upkeep: Upkeep = Upkeep()
    """What is done if it dies or falls silent; no setting of its own, but keys of its block."""
    price: Price | None = None
    """What its model's work costs; likewise a key of its block."""
    say: Callable[[str], None] = staticmethod(lambda _: None)
    """Tells the user a line of what happens meanwhile; set by whoever runs it."""

    def settings_key(self) -> str:
        """The settings that decide which tokens come, known before anything is loaded."""
        fields: dict[str, Any] = asdict(self) if is_dataclass(self) else {}
        kept = {name: value for name, value in fields.items() if name not in self.speed_only}
        kept = masked(kept)  # whose key it is changes nothing, and this is stored
        return f"{type(self).__name__} {json.dumps(kept, sort_keys=True, default=str)}"

    def lacks(self) -> Mapping[Need, str]:
        """What it cannot give, with the reason as a message says it; known before the start."""
        return {}

    @property
    def weights(self) -> tuple[str | None, str | None]:
        """Hub id or folder of the model's files, and its revision; None if they are not known."""
        return getattr(self, "model", None), getattr(self, "revision", None)

    def unable(self, sampling: Sampling) -> str | None:
        """Why it cannot draw so, beginning with the field's name; None if it can, or may.

        Known before the start, unless only the start shows what there is.
        """
        name = next((name for name in sampling.further if name not in self.draws_with), None)
        return None if name is None else f"{name}: {type(self).__name__} does not draw with it"

    @property
    @abc.abstractmethod
    def tokenizer(self) -> Tokenizer:
        """The model's tokenizer, for callers in the event loop's thread.

        Raises EngineError if the engine is not started.
        """

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError before that, and if it is not kept."""
        raise EngineError("the engine is not started, or does not keep what it says of itself")

    @abc.abstractmethod
    async def start(self) -> EngineInfo:
        """Load the model. Raises ModelError, or MissingExtra if the library is absent."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Free the model; requests still in flight fail with EngineError."""

    @abc.abstractmethod
    async def generate(self, request: Request) -> Completion:
        """Draw one completion; cancelling the call frees the request.

        Raises EngineError if the request cannot be served (see `Request.check`).
        """

    async def generate_all(self, requests: Sequence[Request]) -> list[Completion]:
        """Draw all completions at once, in order; the first failure cancels the others."""
        return await in_flight(self.generate(request) for request in requests)


def brief(recipe: str) -> str:
    """Class and model of a settings key, for a message that the whole key would fill."""
    name, _, settings = recipe.partition(" {")
    model = json.loads(f"{{{settings}").get("model") if settings else None
    return f"{name} {model} as it is set here" if model else name
