"""Why a recorded text ended, in whichever words a server, a library or a data set says it."""

from __future__ import annotations

from tts_bench.errors import quoted
from tts_bench.types import FinishReason

_STOP = (
    "stop", "eos", "eos_token", "end_turn", "end_of_turn", "stop_sequence", "stop_token",
    "stop_str", "stop_string", "finish", "finished", "complete", "completed", "true",
)  # fmt: skip
_LENGTH = (
    "length", "max_tokens", "max_length", "max_new_tokens", "max_output_tokens", "model_length",
    "max_model_len", "max_context_length", "token_limit", "model_context_window_exceeded",
    "truncated", "incomplete", "false",
)  # fmt: skip
_REASONS: dict[str, FinishReason] = {
    **dict.fromkeys(_STOP, "stop"),
    **dict.fromkeys(_LENGTH, "length"),
}


def finish_reason(value: object) -> FinishReason | None:
    """Whether a text was finished or cut off; None where nothing is said.

    True and false say whether it is complete. Raises ValueError for a word that is not known.

    >>> [finish_reason(word) for word in ("MAX_TOKENS", "FinishReason.STOP", "end-turn", False)]
    ['length', 'stop', 'stop', 'length']
    """
    if value is None or value != value:  # a table's empty cell may be NaN
        return None
    word = str(value).strip().lower() if isinstance(value, str | bool) else ""
    word = word.rpartition(".")[2].replace("-", "_").replace(" ", "_")
    if isinstance(value, str) and not word:
        return None
    if word not in _REASONS:
        known = "stop, eos, end_turn, length, max_tokens, ..."
        raise ValueError(f"a finish reason is not known: {quoted(value)} (known: {known})")
    return _REASONS[word]
