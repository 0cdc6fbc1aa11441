"""Requests and completions in the words of each server: exact token ids in, exact token ids out."""

from __future__ import annotations

import abc
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError
from tts_bench.types import FinishReason, Sampling

FINISHED: Mapping[str, FinishReason] = {"stop": "stop", "length": "length", "eos": "stop"}


@dataclass(frozen=True)
class Drawn:
    """What a server says that it drew, before text and stop string are worked out here."""

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Log-probability (nats) of each token; empty if the server gave none."""
    finish_reason: str
    stop: str | None = None
    cached_tokens: int = 0
    first_logprobs: Mapping[int, float] | None = None


Ask = Callable[[Mapping[str, Any], Sequence[int]], Awaitable[Mapping[str, Any]]]
"""Sends a body with that prompt, and returns the answer."""


@dataclass(frozen=True)
class Tools:
    """What a dialect needs to ask again."""

    ask: Ask
    tokenizer: Tokenizer
    vocabulary: int


class Dialect(abc.ABC):
    """One kind of server: where it listens, what it understands, how it answers."""

    means_otherwise: ClassVar[Mapping[str, str]] = {}
    """Fields of a sampling that such servers do not have, or not with this meaning, and why."""
    path: str
    """Where completions are asked for."""

    @abc.abstractmethod
    def payload(self, request: Request, model: str, special: bool, salt: str) -> dict[str, Any]:
        """The request's body. Every field is sent: what is missing, servers fill as they like.

        `special` keeps special tokens in the text that stop strings are looked for in; requests
        of different `salt` share no cached prefix.
        """

    @abc.abstractmethod
    def complete(
        self, request: Request, body: Mapping[str, Any], tokenizer: Tokenizer, vocabulary: int
    ) -> Completion:
        """The completion that an answer holds. Raises EngineError if it holds none."""

    async def filled(
        self, request: Request, body: Mapping[str, Any], tools: Tools
    ) -> Mapping[str, Any]:
        """The answer with what the server only tells when it is asked again.

        Raises EngineError if it does not tell it.
        """
        return body

    def refusal(self, request: Request) -> str | None:
        """Why such servers cannot serve the request; None if they can."""
        return self.unable(request.sampling)

    def unable(self, sampling: Sampling) -> str | None:
        """Why such servers cannot draw so, beginning with the field; None if they can."""
        for name in sampling.further:
            if name in self.means_otherwise:
                return f"{name}: {self.means_otherwise[name]}"
        return None


class TokenDialect(Dialect):
    """A kind of server that takes token ids and gives token ids."""

    name: ClassVar[str]

    @abc.abstractmethod
    def read(self, body: Mapping[str, Any]) -> Drawn:
        """What was drawn. Raises LookupError, TypeError or ValueError if it is not there."""

    def complete(
        self, request: Request, body: Mapping[str, Any], tokenizer: Tokenizer, vocabulary: int
    ) -> Completion:
        """As `completion`."""
        return completion(request, body, self, tokenizer, vocabulary)


class VLLMDialect(TokenDialect):
    """`vllm serve`, 0.10.2 and later: `/v1/completions` with `return_token_ids`."""

    name = "vllm"
    path = "/v1/completions"

    def payload(self, request: Request, model: str, special: bool, salt: str) -> dict[str, Any]:
        """Every sampling field by name, neutral where a request has none."""
        sampling, wanted = request.sampling, list(request.logprob_ids)
        body: dict[str, Any] = {
            "model": model,
            "prompt": list(request.prompt_ids),
            "n": 1,
            "max_tokens": sampling.max_tokens,
            "min_tokens": 0,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            **penalties(sampling),
            "seed": request.seed,
            "stop": list(sampling.stop),
            "stop_token_ids": list(sampling.stop_token_ids),
            "bad_words": list(sampling.bad_words),
            "ignore_eos": False,
            "include_stop_str_in_output": True,
            "skip_special_tokens": not special,
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            "cache_salt": salt,
        }
        if wanted:
            body["logprob_token_ids"] = wanted
        return body

    def read(self, body: Mapping[str, Any]) -> Drawn:
        """The one choice, with its tokens' ids and log-probabilities."""
        [choice] = body["choices"]
        logprobs = choice.get("logprobs") or {}
        details = (body.get("usage") or {}).get("prompt_tokens_details") or {}
        stop = choice.get("stop_reason")
        tops: Sequence[Mapping[str, float]] = logprobs.get("top_logprobs") or [{}]
        first = {
            int(token.removeprefix("token_id:")): value for token, value in (tops[0] or {}).items()
        }
        return Drawn(
            token_ids=tuple(choice["token_ids"]),
            logprobs=tuple(logprobs.get("token_logprobs") or ()),
            finish_reason=choice["finish_reason"],
            stop=stop if isinstance(stop, str) else None,
            cached_tokens=details.get("cached_tokens") or 0,
            first_logprobs=first,
        )


class SGLangDialect(TokenDialect):
    """SGLang's own `/generate`, for its OpenAI endpoints return no token ids."""

    name = "sglang"
    path = "/generate"
    means_otherwise = MappingProxyType(
        {
            "repetition_penalty": "SGLang counts the output alone, and not the prompt",
            "bad_words": "SGLang has no such setting",
        }
    )

    def payload(self, request: Request, model: str, special: bool, salt: str) -> dict[str, Any]:
        """`max_new_tokens` always (128 otherwise), and stop strings left in the text."""
        sampling, wanted = request.sampling, list(request.logprob_ids)
        body: dict[str, Any] = {
            "input_ids": list(request.prompt_ids),
            "sampling_params": {
                "max_new_tokens": sampling.max_tokens,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k or -1,
                **penalties(sampling),
                "sampling_seed": request.seed,
                "stop": list(sampling.stop),
                "stop_token_ids": list(sampling.stop_token_ids),
                "no_stop_trim": True,
                "skip_special_tokens": not special,
            },
            "return_logprob": True,
            "logprob_start_len": -1,
            "cache_salt": salt,
            "stream": False,
        }
        if wanted:
            body["token_ids_logprob"] = wanted
        return body

    def unable(self, sampling: Sampling) -> str | None:
        """As every dialect's; `min_p` comes after `top_p` there, and before it elsewhere."""
        if sampling.min_p and sampling.top_p < 1:
            return "min_p: SGLang applies it after top_p, so it is the same only without top_p"
        return super().unable(sampling)

    def read(self, body: Mapping[str, Any]) -> Drawn:
        """`output_ids`, and what `meta_info` says of them."""
        meta = body["meta_info"]
        reason = meta["finish_reason"]
        matched = reason.get("matched")
        wanted = meta.get("output_token_ids_logprobs") or [[]]
        return Drawn(
            token_ids=tuple(body["output_ids"]),
            logprobs=tuple(entry[0] for entry in meta.get("output_token_logprobs") or ()),
            finish_reason=reason["type"],
            stop=matched if isinstance(matched, str) else None,
            cached_tokens=meta.get("cached_tokens") or 0,
            first_logprobs={entry[1]: entry[0] for entry in wanted[0] or ()},
        )


def penalties(sampling: Sampling) -> dict[str, float]:
    """Further samplers under the names of vLLM and SGLang."""
    return {
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
    }


def completion(
    request: Request,
    body: Mapping[str, Any],
    dialect: TokenDialect,
    tokenizer: Tokenizer,
    vocabulary: int,
) -> Completion:
    """The completion that an answer holds.

    Raises EngineError if it holds none, or one that cannot be: ids that are no token's, more of
    them than were asked for, or a log-probability for only some.
    """
    try:
        drawn = dialect.read(body)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EngineError(f"its answer holds no completion ({error!r})"[:200]) from error
    ids = drawn.token_ids
    reason = FINISHED.get(drawn.finish_reason)
    if reason is None:
        raise EngineError(f"it gave the request up: {drawn.finish_reason}"[:200])
    if not all(type(one) is int and 0 <= one < vocabulary for one in ids):
        raise EngineError(f"it returned ids outside of the vocabulary of {vocabulary}")
    if not 0 < len(ids) <= request.sampling.max_tokens:
        raise EngineError(
            f"it returned {len(ids)} token ids where 1 to {request.sampling.max_tokens} were asked"
        )
    if len(drawn.logprobs) != len(ids):
        raise EngineError(f"it returned {len(drawn.logprobs)} log-probabilities for {len(ids)} ids")
    found = drawn.first_logprobs or {}
    if missing := [token for token in request.logprob_ids if token not in found]:
        raise EngineError(f"it returned no log-probability of token {missing[0]}")
    first = tuple(found[token] for token in request.logprob_ids)
    if not all(map(math.isfinite, (*drawn.logprobs, *first))):
        raise EngineError("the model's output is not a number: are its weights damaged?")
    return Completion(
        token_ids=ids,
        text=tokenizer.added_text(request.prompt_ids, ids),
        logprob=sum(drawn.logprobs),
        finish_reason=reason,
        stop=drawn.stop,
        cached_prompt_tokens=drawn.cached_tokens,
        first_logprobs=first,
    )
