"""The leaves of an answer's tree, read from text: numbers, words, times, numbers in a base."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

_INTEGER = r"(?:[1-9]\d{0,2}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
_REALS = frozenset((r"\mathbb{R}", r"\mathbb R", r"\R", r"\text{all real numbers}"))
_EMPTY_SETS = frozenset((r"\emptyset", r"\varnothing", r"\{\}", r"\{ \}"))
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
          "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_AND = re.compile(r"(?<=\s)(?:and|or)(?=\s)")


@dataclass(frozen=True, slots=True)
class Number:
    """An exact rational; `places` counts the decimals written, None where it is no decimal."""

    value: Fraction
    places: int | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """Text, lower case; also infinity and the empty set."""

    text: str


@dataclass(frozen=True, slots=True)
class Based:
    """Digits with their base written beside them, such as 4210_5."""

    digits: str
    base: str


EMPTY = Word("∅")
Leaf = Number | Word | Based
Reader = Callable[[re.Match[str]], Leaf | None]


def leaf(text: str) -> Leaf | None:
    """The number, word, time or number in a base that a tidy text is; None for others."""
    if text in _EMPTY_SETS:
        return EMPTY
    for pattern, reader in _READERS:
        if (found := pattern.match(text)) and (node := reader(found)) is not None:
            return node
    return None


def is_reals(text: str) -> bool:
    """Whether a tidy text names the set of all real numbers."""
    return text in _REALS


def word(text: str) -> Word:
    """Text as a word: one space between parts, no case, no brackets around a single letter."""
    text = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"\s+", " ", text).strip(" .'\"").lower()
    return Word(re.sub(r"^\((\w)\)$", r"\1", text))


def _decimal(match: re.Match[str]) -> Number | None:
    sign, whole, places = match[1], re.sub(r"[ ,]", "", match[2]), match[3]
    if not whole and not places:
        return None
    value = Fraction(int(f"{sign}{whole or '0'}{places or ''}"), 10 ** len(places or ""))
    return Number(value, None if places is None else len(places))


def _ratio(match: re.Match[str]) -> Number | None:
    groups = [re.sub(r"[ ,]", "", group or "") for group in match.groups()]
    sign, mixed = groups[0], groups[1] or groups[2] or "0"
    top, bottom = int(groups[3] or groups[5]), int(groups[4] or groups[6])
    if bottom == 0:
        return None
    value = int(mixed) + Fraction(top, bottom)
    return Number(-value if sign == "-" else value)


def _repeating(match: re.Match[str]) -> Number:
    """0.1666... : what repeats is divided by as many nines."""
    sign, whole, once = match[1], match[2] or "0", match[3]
    again = next(group for group in match.groups()[3:] if group)
    value = int(f"{whole}{once}") + Fraction(int(again), 10 ** len(again) - 1)
    value /= 10 ** len(once)
    return Number(-value if sign == "-" else value)


def _science(match: re.Match[str]) -> Number:
    return Number(Fraction(match[0]), max(0, len(match[1] or "") - int(match[2])))


def _based(match: re.Match[str]) -> Based | None:
    digits, base = match[1] or match[2], (match[3] or match[4] or match[5]).lower()
    base = _BASES.get(base, base)
    if not (base.isdigit() and int(base) > 1 and any(c.isdigit() for c in digits)):
        return None
    return Based(digits.upper(), base)


def _time(match: re.Match[str]) -> Word:
    half = f"{match[3].lower()}m" if match[3] else ""
    return Word(f"{match[1]}:{match[2] or '00'}{half}")


def _date(match: re.Match[str]) -> Word:
    month, day = (match[1] or match[4]).lower(), match[2] or match[3]
    return Word(" ".join(filter(None, (month, day, match[5]))))


def _letters(match: re.Match[str]) -> Word | None:
    text = match[0]
    letters = sum(c.isalpha() for c in text)
    known = letters > 2 or text.lower() == "no" or (letters == 1 and text not in "ei")
    return word(text) if known and not _AND.search(text) else None


_TEXT_OPENS = r"(?:\\text\s*\{\s*)?"
_HALF_OF_DAY = rf"\s*{_TEXT_OPENS}([AaPp])\.?\s?[Mm]\.?\s*\}}?"
_READERS: Sequence[tuple[re.Pattern[str], Reader]] = (
    (re.compile(rf"^([+-]?)\s*({_INTEGER}|)(?:\.(\d*))?$"), _decimal),
    (
        re.compile(
            rf"^([+-]?)\s*(?:(\d+)\s*(?=\\frac)|(\d+) (?=\d+\s*/))?"
            rf"(?:\\frac\s*\{{\s*([+-]?{_INTEGER})\s*\}}\s*\{{\s*([+-]?{_INTEGER})\s*\}}"
            rf"|({_INTEGER})\s*/\s*({_INTEGER}))$"
        ),
        _ratio,
    ),
    (
        re.compile(
            r"^([+-]?)(\d*)\.(\d{0,40}?)(?:\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))|\((\d+)\)"
            r"|(\d{1,6}?)\7{2,60}\s*(?:\.\.\.|\\[lc]?dots))$"
        ),
        _repeating,
    ),
    (re.compile(r"^[+-]?\d+(?:\.(\d+))?[eE]([+-]?\d{1,2})$"), _science),
    (
        re.compile(
            r"^(?:(-?[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?)|\((-?[0-9A-Za-z]+)\))\s*"
            rf"(?:_\s*(?:\{{\s*{_TEXT_OPENS}\(?\s*(?:base\s*\}}?\s*)?(\w+)\s*\)?\s*\}}?\s*\}}|(\d))"
            rf"|{_TEXT_OPENS}\(?\s*(?:in )?base(?:\s*\}}\s*|[ -])(\w+)\s*\)?\s*\}}?)$"
        ),
        _based,
    ),
    (re.compile(rf"^(\d{{1,2}}):(\d{{2}})(?:{_HALF_OF_DAY})?$"), _time),
    (re.compile(rf"^(\d{{1,2}})(){_HALF_OF_DAY}$"), _time),
    (
        re.compile(
            rf"^{_TEXT_OPENS}(?:({_MONTHS})\s+(\d{{1,2}})(?:st|nd|rd|th)?"
            rf"|(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTHS}))(?:,?\s+(\d{{4}}))?\s*\}}?$",
            re.IGNORECASE,
        ),
        _date,
    ),
    (re.compile(r"^\d+(?:\s*:\s*\d+)+$"), lambda match: Word("".join(match[0].split()))),
    (
        re.compile(r"^([+-]?)\s*(?:\\infty|infinity|inf|oo)$"),
        lambda match: Word("-∞" if match[1] == "-" else "∞"),
    ),
    (re.compile(r"^[A-Za-z][A-Za-z' .\-]*$"), _letters),
)
"""How leaves look, the most frequent first, and what reads them."""
