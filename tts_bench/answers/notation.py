"""Spellings of LaTeX and plain notation that mean the same, brought to one, by text alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SYMBOLS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "°": r"^\circ ",
        "π": r"\pi ", "∞": r"\infty ", "≤": r"\leq ", "≥": r"\geq ", "∪": r"\cup ",
        "∈": r"\in ", "±": r"\pm ", "∅": r"\emptyset ", "²": "^2", "³": "^3",
        "½": r"\frac{1}{2}", "€": "", "£": "", "\u00a0": " ", "’": "'",
    }
)  # fmt: skip

_REWRITES: Sequence[tuple[str, str]] = (
    (r"\\(?:left|right|[bB]igg?[lr]?|displaystyle|textstyle|limits)(?![a-zA-Z])\s*", ""),
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)|mbox|mathrm|mathbf|mathit)(?=\s*\{)", r"\\text"),
    (r"\\text\s+\{", r"\\text{"),
    (r"\\lbrace(?![a-zA-Z])", r"\\{"),
    (r"\\rbrace(?![a-zA-Z])", r"\\}"),
    (r"\\lbrack(?![a-zA-Z])", "["),
    (r"\\rbrack(?![a-zA-Z])", "]"),
    (r"\{,\}", ","),
    (r"(?<=\d),?\s*(?<!\\)\\[,! ]\s*(?=\d{3}(?!\d))", ""),
    (r"(?<!\\)\\!\s*", ""),
    (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])", " "),
    (r"\\\$|\$", ""),
    (r"\s+", " "),
)
_COMPILED = tuple((re.compile(pattern), new) for pattern, new in _REWRITES)

_WRAPPERS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\$\$([^$]+)\$\$",
        r"\$([^$]+)(?<!\\)\$",
        r"\\\(((?:(?!\\\)).)+)\\\)",
        r"\\\[((?:(?!\\\]).)+)\\\]",
        r"\*\*([^*]+)\*\*",
        r"`([^`]+)`",
    )
)
_UNIT_COMMAND = re.compile(
    r"(?<=[\w})\]])(?:\s*(?:/|\\cdot|\\times)?\s*\\text\{(?!\s*[ap]\.?m\b)[^{}]*\}"
    r"(?:\^\{?-?\d\}?)?)+$"
)
_UNIT_WORDS = re.compile(
    r"^(-?(?:\\frac\s*\{?\d+\}?\s*\{?\d+\}?|[\d.,/]+))\s*"
    r"(?:(?:cm|mm|km|kg|ft|lbs?|yd|mi|hrs?|oz|m[gl]|mph)|(?<=[\s}])[A-Za-z]{3,}(?: [a-z]+)*)"
    r"(?:\^\{?[23]\}?)?$"
)
_NOT_UNITS = frozenset(("and", "or", "sqrt", "over", "times", "plus", "minus", "mod", "to"))
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree)\s*$")


def tidy(answer: str) -> str:
    """The answer without delimiters, spacing, money and percent signs, degrees and units."""
    text = answer.strip()
    for _ in range(4):
        before = text
        for wrapper in _WRAPPERS:
            if whole := wrapper.fullmatch(text):
                text = whole[1].strip()
        text = text.removesuffix("\\,").rstrip(" \t\n.,;:")
        if text == before:
            break
    text = text.translate(_SYMBOLS)
    for pattern, new in _COMPILED:
        text = pattern.sub(new, text)
    return _without_units(text.strip())


def _without_units(text: str) -> str:
    text = re.sub(r"\s*\\?%$|\s+percent$", "", text)
    text = _UNIT_COMMAND.sub("", text).strip()
    if not re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text):
        text = _DEGREES.sub("", text)
    words = _UNIT_WORDS.match(text)
    if words and not _NOT_UNITS.intersection(text[words.end(1) :].split()):
        return words[1]
    return text


def plain(answer: str) -> str:
    """A normalised string for what cannot be parsed: no spaces, no case."""
    return re.sub(r"\s+", "", tidy(answer)).lower() or answer.strip()
