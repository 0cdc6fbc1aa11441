"""Requests and completions in vLLM's words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.errors import EngineError
from tts_bench.types import FinishReason

if TYPE_CHECKING:
    from vllm import RequestOutput, SamplingParams

FINISH_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


def sampling_params(request: Request, tokenizer: HuggingFaceTokenizer) -> SamplingParams:
    """vLLM's form of a request's sampling: seeded, and answered once, at its end."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    sampling, wanted = request.sampling, list(request.logprob_ids)
    return SamplingParams(
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        repetition_penalty=sampling.repetition_penalty,
        stop=list(sampling.stop),
        stop_token_ids=list(sampling.stop_token_ids),
        bad_words=list(sampling.bad_words),
        # Without stop strings nobody reads the text before the end: it is decoded there, once.
        detokenize=bool(sampling.stop),
        skip_special_tokens=not (sampling.stop and tokenizer.names_special(sampling.stop)),
        include_stop_str_in_output=True,
        seed=request.seed,
        # Not 1 or more for anyone: beside a request with `logprob_token_ids` vLLM 0.32 turns
        # what others get beyond their own token into -inf.
        logprobs=None if wanted else 0,
        logprob_token_ids=wanted or None,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def completion(
    request: Request, output: RequestOutput, tokenizer: HuggingFaceTokenizer
) -> Completion | EngineError:
    """Completion of a finished request; an error if vLLM gave it up.

    An integer `stop_reason` is a further end-of-turn token of the model's generation config.
    """
    choice = output.outputs[0]
    reason = FINISH_REASONS.get(str(choice.finish_reason))
    logprob = choice.cumulative_logprob
    if reason is None or logprob is None:
        return EngineError(f"vLLM gave the request up: {choice.finish_reason}")
    first = _first_logprobs(request, choice.logprobs)
    if not all(map(math.isfinite, (logprob, *first))):
        return EngineError("the model's output is not a number: are its weights damaged?")
    return Completion(
        token_ids=tuple(choice.token_ids),
        text=tokenizer.added_text(request.prompt_ids, choice.token_ids),
        logprob=logprob,
        finish_reason=reason,
        stop=choice.stop_reason if isinstance(choice.stop_reason, str) else None,
        cached_prompt_tokens=output.num_cached_tokens or 0,
        first_logprobs=first,
    )


def _first_logprobs(request: Request, flat: Any) -> tuple[float, ...]:
    """Those of the wanted tokens, which stand after that of the token that was drawn."""
    if not request.logprob_ids:
        return ()
    begin = flat.start_indices[0] + 1
    end = begin + len(request.logprob_ids)
    found = dict(zip(flat.token_ids[begin:end], flat.logprobs[begin:end], strict=True))
    return tuple(found.get(token, math.nan) for token in request.logprob_ids)
