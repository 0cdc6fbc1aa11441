"""Takes back the marker that ended a text, so that the text can go on without it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Show = Callable[[tuple[int, ...]], str]
"""Token ids -> the text in which markers are looked for, special tokens included."""
Encode = Callable[[str], tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Reopened:
    """Remainder of a text whose end was taken back: a beginning of it, and then a rest.

    There is a rest where the marker shares a token with other text, which is spelt anew.
    """

    tokens: int
    """Number of its tokens that stay."""
    characters: int
    """How many characters of its text these tokens are, special tokens left out."""
    rest_ids: tuple[int, ...] = ()
    rest: str = ""


def reopen(
    token_ids: tuple[int, ...],
    markers: Sequence[str],
    whole: bool,
    *,
    show: Show,
    plain: Show,
    encode: Encode,
) -> Reopened:
    """Take back the last marker, or (not `whole`) the beginning of one that was cut off.

    Works for a marker of one token, of several, or with other text in its first or last token.
    All text around the marker stays. `plain` leaves special tokens out, `show` does not.
    """
    text = show(token_ids)
    begin, end = _last(text, markers) if whole else _half(text, markers)
    before = text[:begin]
    kept = len(token_ids)
    while not before.startswith(show(token_ids[:kept])):
        kept -= 1
    rest = before[len(show(token_ids[:kept])) :] + text[end:]
    return Reopened(kept, len(plain(token_ids[:kept])), encode(rest) if rest else (), rest)


def _last(text: str, markers: Sequence[str]) -> tuple[int, int]:
    """Where the marker stands that ends last; after the text if there is none."""
    places = [(place + len(one), place) for one in markers if (place := text.rfind(one)) >= 0]
    end, begin = max(places, default=(len(text), len(text)))
    return begin, end


def _half(text: str, markers: Sequence[str]) -> tuple[int, int]:
    """Where the longest beginning of a marker stands with which the text ends."""
    lengths = [n for one in markers for n in range(1, len(one)) if text.endswith(one[:n])]
    return len(text) - max(lengths, default=0), len(text)
