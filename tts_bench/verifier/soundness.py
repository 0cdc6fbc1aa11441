"""Checks what a verifier returns before anything is stored or charged: one place for all."""

from __future__ import annotations

from tts_bench.cost.ledger import Call
from tts_bench.errors import VerifierError, quoted
from tts_bench.types import Score
from tts_bench.verifier.base import Scoring


def sound(made: object, wanted: int) -> list[Scoring]:
    """The scorings. Raises VerifierError where there are too few or many, or one is unusable.

    That the numbers within are finite is seen to by `Score` itself.
    """
    if not isinstance(made, list | tuple):
        raise VerifierError(f"the verifier returned {type(made).__name__}, not a list")
    if len(made) != wanted:
        raise VerifierError(f"{len(made)} scores for {wanted} candidates")
    for one in made:
        if not isinstance(one, Scoring) or not isinstance(one.score, Score):
            raise VerifierError(f"the verifier returned {quoted(one)}, which is no Scoring")
        if not isinstance(one.calls, tuple | list):
            raise VerifierError(f"the verifier returned calls that are no tuple: {quoted(one)}")
        for call in one.calls:
            if not _is_sound(call):
                raise VerifierError(
                    "the verifier returned a call whose prompt_ids are no tuple of integers, or"
                    f" whose counts do not fit them: {quoted(call)}"
                )
    return list(made)


def _is_sound(call: object) -> bool:
    """Whether a call can be charged and stored: token ids, and counts that fit them."""
    if not isinstance(call, Call) or not isinstance(call.prompt_ids, tuple):
        return False
    told = [one for one in (call.completion_tokens, call.prompt_tokens) if one is not None]
    counts = (*told, call.cached_prompt_tokens, call.known_prompt_tokens)
    if not all(isinstance(count, int) and count >= 0 for count in counts):
        return False
    read = len(call.prompt_ids) if call.prompt_tokens is None else call.prompt_tokens
    if call.completion_tokens is not None and call.cached_prompt_tokens > read:
        return False
    if call.logits is not None and not (isinstance(call.logits, int) and call.logits >= 0):
        return False
    return set(map(type, call.prompt_ids)) <= {int}
