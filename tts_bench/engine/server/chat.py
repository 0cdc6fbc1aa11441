"""Requests and completions in the words of OpenAI's chat completions, as many have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

from tts_bench.engine.base import Completion, Request, TokenCounts
from tts_bench.engine.server.dialects import Dialect
from tts_bench.engine.server.messages import messages, written
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import EngineError
from tts_bench.types import FinishReason

SEEDS = 1 << 31
"""Seeds are sent below this: some endpoints take no larger ones."""
LIKELIEST = 20
"""First tokens whose log-probabilities are asked for where letters are chosen: OpenAI's limit."""
OWN_FIELDS = frozenset(
    {
        *("model", "messages", "max_tokens", "max_completion_tokens", "stop", "seed"),
        *("temperature", "top_p", "n", "logprobs", "top_logprobs"),
        *("stream", "stream_options", "tools", "functions"),
    }
)
"""Fields that belong to the request, and to no `extra_body`."""
_FINISHED: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "end_turn": "stop",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
}
_GIVEN_UP = {
    "content_filter": "the endpoint's content filter stopped the answer",
    "tool_calls": "the model called a tool instead of answering",
    "function_call": "the model called a function instead of answering",
}
_THINKING = ("reasoning_content", "reasoning", "thinking")
"""Where endpoints put what was thought: DeepSeek and SGLang, OpenRouter and vLLM, others."""


@dataclass(frozen=True)
class ChatDialect(Dialect):
    """`/chat/completions`, in the variant that an endpoint understands."""

    means_otherwise: ClassVar[Mapping[str, str]] = MappingProxyType(
        {
            "stop_token_ids": "a chat endpoint takes text, and no tokens",
            "bad_words": "a chat endpoint has no such setting",
        }
    )

    path: str = "/v1/chat/completions"
    length_field: str = "max_tokens"
    """Its name for the longest completion; OpenAI's reasoning models want another one."""
    sends_seed: bool = True
    leaves_out: frozenset[str] = frozenset()
    """Of temperature and top_p, what is not sent where it is 1, for it takes no other value."""
    logprobs: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the provider's own."""

    def payload(self, request: Request, model: str, special: bool, salt: str) -> dict[str, Any]:
        """Every field of the schema that the request has; others only if they ask for something."""
        sampling = request.sampling
        body: dict[str, Any] = {
            "model": model,
            "messages": messages(request.prompt_ids),
            self.length_field: sampling.max_tokens,
            "stream": False,
        }
        for name in ("temperature", "top_p"):
            value = getattr(sampling, name)
            if value != 1 or name not in self.leaves_out:
                body[name] = value
        if self.sends_seed:
            body["seed"] = request.seed % SEEDS
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        body |= sampling.further
        if self.logprobs:
            body["logprobs"] = True
        if request.logprob_ids:
            body["top_logprobs"] = LIKELIEST
        return dict(self.extra) | body  # what the request has goes before a provider's

    def complete(
        self, request: Request, body: Mapping[str, Any], tokenizer: Tokenizer, vocabulary: int
    ) -> Completion:
        """The text as ids of `messages`, with what the endpoint counted."""
        try:
            [choice] = body["choices"]
            thinking, text = _texts(choice["message"])
            counts, cached = _counted(body.get("usage"), bool(thinking or text))
            logprob = self._logprob(choice, bool(text))
            first = _first_letters(choice, request.logprob_ids)
            reason = _reason(choice)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            raise EngineError(f"its answer holds no completion ({error!r})"[:200]) from error
        ids = written(thinking, text)
        return Completion(
            token_ids=ids,
            text=tokenizer.added_text(request.prompt_ids, ids),
            logprob=logprob,
            finish_reason=reason,
            cached_prompt_tokens=cached,
            first_logprobs=first,
            counts=counts,
        )

    def refusal(self, request: Request) -> str | None:
        """Log-probabilities of chosen letters are only there if any are asked for."""
        if request.logprob_ids and not self.logprobs:
            return "a chat endpoint gives log-probabilities, if at all, with engine.logprobs: true"
        return super().refusal(request)

    def _logprob(self, choice: Mapping[str, Any], has_text: bool) -> float:
        if not self.logprobs:
            return math.nan
        entries = (choice.get("logprobs") or {}).get("content") or []
        if has_text and not entries:
            raise EngineError("it returned no log-probabilities, which `logprobs: true` asks for")
        total = math.fsum(entry["logprob"] for entry in entries)
        if not math.isfinite(total):
            raise EngineError("it returned a log-probability that is not a finite number")
        return total


def _first_letters(choice: Mapping[str, Any], letters: Sequence[int]) -> tuple[float, ...]:
    """Log-probability that the text begins with each letter, in upper or lower case.

    By the likeliest first tokens, which is all that an endpoint tells; a letter that none of them
    begins with is taken to be as likely as the least of them. Raises EngineError if that is so of
    all letters.
    """
    if not letters:
        return ()
    entries = (choice.get("logprobs") or {}).get("content") or [{}]
    told = [(one["token"].strip(), one["logprob"]) for one in entries[0].get("top_logprobs") or ()]
    found = [
        [value for token, value in told if token.casefold().startswith(chr(letter).casefold())]
        for letter in letters
    ]
    if not any(found):
        wanted = " or ".join(repr(chr(letter)) for letter in letters)
        raise EngineError(f"none of the {len(told)} likeliest first tokens begins with {wanted}")
    least = min(value for _, value in told)
    return tuple(
        math.log(math.fsum(map(math.exp, values))) if values else least for values in found
    )


def _reason(choice: Mapping[str, Any]) -> FinishReason:
    said = str(choice["finish_reason"])
    reason = _FINISHED.get(said.lower())
    if reason is None:
        raise EngineError(_GIVEN_UP.get(said.lower(), f"it gave the request up: {said}"[:200]))
    return reason


def _texts(message: Mapping[str, Any]) -> tuple[str, str]:
    """What was thought, and what was written: one text each, or a list of parts."""
    content = message.get("content")
    thought = next((message[key] for key in _THINKING if message.get(key)), "")
    if isinstance(content, list):
        said = [_part(part) for part in content]
        thought = "".join(thought for thought, _ in said) or thought
        content = "".join(text for _, text in said)
    # A refusal is what the model has to say, and has no answer in it.
    content = content or message.get("refusal") or ""
    if not isinstance(thought, str) or not isinstance(content, str):
        raise TypeError("its content is no text")
    return thought, content


def _part(part: Mapping[str, Any]) -> tuple[str, str]:
    """Thought and text of one part of a message's content (Mistral)."""
    inner = part.get("thinking")
    if inner is None:
        return "", str(part.get("text") or "")
    if isinstance(inner, Sequence) and not isinstance(inner, str):
        inner = "".join(str(one.get("text") or "") for one in inner)
    return str(inner), ""


def _counted(usage: Any, wrote: bool) -> tuple[TokenCounts, int]:
    """What the endpoint says that it counted, and how much of the prompt was cached.

    Zeros where something was read or written are no counts.
    """
    usage = usage if isinstance(usage, Mapping) else {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _is_count(prompt) or not prompt or not _is_count(completion):
        return TokenCounts(), 0
    if wrote and not completion:
        return TokenCounts(), 0
    reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens")
    cached = cached if _is_count(cached) else usage.get("prompt_cache_hit_tokens")
    return (
        TokenCounts(prompt, completion, reasoning if _is_count(reasoning) else None),
        min(cached, prompt) if _is_count(cached) else 0,
    )


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
