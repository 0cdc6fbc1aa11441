"""Requests and completions in the words of llama.cpp's own server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tts_bench.engine.base import Request
from tts_bench.engine.server.dialects import Drawn, TokenDialect, Tools
from tts_bench.errors import EngineError

SEEDS = (1 << 32) - 1
"""Number of llama.cpp's seeds; the one after them asks for a seed by chance."""
FORCED = 1000.0
"""Added to a logit, it lets no other token be the greatest."""
TOLD = "completion_probabilities"
CHOSEN = "chosen_logprobs"
"""Where log-probabilities of tokens that a request names are put into its answer."""


class LlamaCppDialect(TokenDialect):
    """llama.cpp's `/completion`: token prompts, and the ids of what was drawn.

    It tells no log-probability of the tokens that spell a stop string, of those that leave a
    character open, nor of any that were not drawn. They are asked for one by one.
    """

    name = "llamacpp"
    path = "/completion"
    means_otherwise = MappingProxyType(
        {
            "presence_penalty": "llama.cpp counts the prompt too, and not the output alone",
            "frequency_penalty": "llama.cpp counts the prompt too, and not the output alone",
            "stop_token_ids": "llama.cpp has no such setting",
            "bad_words": "llama.cpp has no such setting",
        }
    )

    def payload(self, request: Request, model: str, special: bool, salt: str) -> dict[str, Any]:
        """Every sampler named and neutral, for the server's defaults are not the model's."""
        sampling = request.sampling
        return _body(request.prompt_ids, sampling.max_tokens) | {
            "model": model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repetition_penalty,
            "repeat_last_n": len(request.prompt_ids) + sampling.max_tokens,
            "seed": request.seed % SEEDS,
            "stop": list(sampling.stop),
            # Special tokens are no text there, but for those that are named here.
            "preserved_tokens": list(sampling.stop) if special else [],
        }

    def read(self, body: Mapping[str, Any]) -> Drawn:
        """`tokens`, and the probabilities of each before sampling."""
        kind = body["stop_type"]
        return Drawn(
            token_ids=tuple(body["tokens"]),
            logprobs=tuple(entry["logprob"] for entry in body.get(TOLD) or ()),
            finish_reason={"eos": "stop", "word": "stop", "limit": "length"}.get(kind, kind),
            stop=body.get("stopping_word") or None if kind == "word" else None,
            cached_tokens=body["timings"]["cache_n"],
            first_logprobs=body.get(CHOSEN),
        )

    async def filled(
        self, request: Request, body: Mapping[str, Any], tools: Tools
    ) -> Mapping[str, Any]:
        """The answer with a log-probability for each token, and those that the request names."""
        try:
            ids = tuple(body["tokens"])
            told = [(entry["id"], entry["logprob"]) for entry in body.get(TOLD) or ()]
            known = aligned(ids, told)
        except (LookupError, TypeError, ValueError):
            return body  # no completion, as whoever reads it will say
        prompt = request.prompt_ids
        for at in [at for at, value in enumerate(known) if value is None]:
            known[at] = await _look_up(prompt + ids[:at], ids[at], tools)
        chosen = {one: await _look_up(prompt, one, tools) for one in request.logprob_ids}
        return {**body, TOLD: [{"logprob": value} for value in known], CHOSEN: chosen}


async def _look_up(prompt: tuple[int, ...], token: int, tools: Tools) -> float:
    """The token's log-probability after the prompt: it is made the one that is drawn.

    One that opens a character is told of only among all others, while another one is drawn.
    """
    greedy = _body(prompt, 1) | {"temperature": 0.0}
    forced: dict[str, Any] = {"logit_bias": [[token, FORCED]]}
    for entry in (await tools.ask(greedy | forced, prompt)).get(TOLD) or ():
        return float(entry["logprob"])
    plain = tools.tokenizer.encode("0")[-1]
    forced = {"logit_bias": [[plain, FORCED]], "n_probs": tools.vocabulary}
    try:
        [entry] = (await tools.ask(greedy | forced, prompt))[TOLD]
        told = {one["id"]: float(one["logprob"]) for one in entry["top_logprobs"]}
        return told[token]
    except (LookupError, TypeError, ValueError) as error:
        raise EngineError(f"it tells no log-probability of token {token}") from error


def _body(prompt: Sequence[int], most: int) -> dict[str, Any]:
    """What all requests have."""
    return {
        "prompt": list(prompt),
        "n_predict": most,
        "min_p": 0.0,
        "typical_p": 1.0,
        "top_n_sigma": -1.0,
        "repeat_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "dry_multiplier": 0.0,
        "dynatemp_range": 0.0,
        "xtc_probability": 0.0,
        "mirostat": 0,
        "ignore_eos": False,
        "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
        "n_probs": 1,
        "post_sampling_probs": False,
        "return_tokens": True,
        "cache_prompt": True,
        "stream": False,
    }


def aligned(ids: Sequence[int], told: Sequence[tuple[int, float]]) -> list[float | None]:
    """The log-probability of each token, in the order of both; None where it is not certain.

    Raises ValueError if one is told of that is not there.
    """
    found: list[float | None] = [None] * len(ids)
    if [token for token, _ in told] == list(ids[: len(told)]):
        found[: len(told)] = [value for _, value in told]
        return found
    first, last = _places(ids, told), _places(ids[::-1], told[::-1])[::-1]
    for at, mirrored, (_, value) in zip(first, last, told, strict=True):
        if at == len(ids) - 1 - mirrored:
            found[at] = value
    return found


def _places(ids: Sequence[int], told: Sequence[tuple[int, float]]) -> list[int]:
    """The earliest place of each. Raises ValueError if they are not all there in this order."""
    places, at = [], 0
    for token, _ in told:
        at = ids.index(token, at)
        places.append(at)
        at += 1
    return places
