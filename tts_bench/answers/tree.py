"""An answer as a small tree: what its text alone can tell, without algebra.

Numbers, words, lists, intervals, matrices and numbers in a base are read here; whatever needs
algebra is left as `Formula` for `tts_bench.answers.formulas`. Nothing here imports sympy, so it is
safe on any text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tts_bench.answers.notation import plain, tidy

MAX_LENGTH = 1000
"""Longer answers (characters) are compared as text only."""


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


@dataclass(frozen=True, slots=True)
class Group:
    """Items between brackets: `(`, `[` in order, `{` as a set; `""` is a list without brackets.

    `∪` as `opening` is a union of the items.
    """

    opening: str
    closing: str
    items: tuple[Node, ...]

    @property
    def ordered(self) -> bool:
        """Whether the order of the items matters."""
        return self.opening in ("(", "[")


@dataclass(frozen=True, slots=True)
class Matrix:
    """Rows of equal or unequal length, as written."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """LaTeX that only algebra can read."""

    latex: str


Node = Number | Word | Based | Group | Matrix | Formula

_VARIABLE = (
    r"(?:m?\\angle [A-Z]{1,3}|[A-Za-z]|[A-Z]{2,3}|[A-Za-z]{3,}|\\[a-z]+|\\text\{[^{}]*\})"
    r"(?:_\{?\w+\}?)?"
)
_NAME = re.compile(rf"^({_VARIABLE}(?:\([a-z](?:, ?[a-z])*\))?|\([a-z](?:, ?[a-z])+\))$")
_MEMBER = re.compile(rf"^{_VARIABLE}\s*\\in(?![a-z])\s*(.+)$")
_MATRIX = re.compile(
    r"^\\begin\{([pbB]?matrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\{\1\}$", re.DOTALL
)
_BELOW, _ABOVE = r"(<|\\leq?(?![a-z])|\\lt(?![a-z]))", r"(>|\\geq?(?![a-z])|\\gt(?![a-z]))"
_BETWEEN = re.compile(rf"^([^<>=]+?)\s*{_BELOW}\s*[A-Za-z]\s*{_BELOW}\s*([^<>=]+)$")
_LESS = re.compile(rf"^[A-Za-z]\s*{_BELOW}\s*([^<>=A-Za-z]*(?:\\[a-z]+[^<>=A-Za-z]*)*)$")
_GREATER = re.compile(rf"^[A-Za-z]\s*{_ABOVE}\s*([^<>=A-Za-z]*(?:\\[a-z]+[^<>=A-Za-z]*)*)$")
_AND = re.compile(r",?\s*(?:\\text\{\s*(?:and|or)\s*\}|(?<=[\s\d})])(?:and|or)(?=[\s\\]))\s*")
_PLAIN_INTEGER = re.compile(r"-?\d{1,18}")
_INTEGER = r"(?:\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)"
_DECIMAL = re.compile(rf"^([+-]?)\s*({_INTEGER}|)(?:\.(\d*))?$")
_RATIO = re.compile(
    rf"^([+-]?)\s*(?:(\d+)\s*(?=\\frac)|(\d+) (?=\d+\s*/))?"
    rf"(?:\\frac\s*(?:\{{\s*([+-]?{_INTEGER})\s*\}}|(\d))\s*(?:\{{\s*([+-]?{_INTEGER})\s*\}}|(\d))"
    rf"|({_INTEGER})\s*/\s*({_INTEGER}))$"
)
_BASED = re.compile(
    r"^(-?[0-9A-Za-z]+(?:\.[0-9A-Za-z]+)?)_(?:\{\s*(?:\\text\{)?(\w+)\}?\s*\}|(\d))$"
)
_BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
          "eight": "8", "nine": "9", "ten": "10", "twelve": "12", "sixteen": "16"}  # fmt: skip
_SCIENCE = re.compile(r"^[+-]?\d+(?:\.(\d+))?[eE]([+-]?\d{1,2})$")
_TIME = re.compile(r"^\d{1,2}:\d{2}(?:\s*(?:\\text\{[^{}]*\}|[APap]\.?[Mm]\.?))?$")
_REALS = frozenset((r"\mathbb{R}", r"\mathbb R", r"\R", r"\text{all real numbers}"))
_TEXT = re.compile(r"^\\text\{([^{}\\]*)\}$")
_LETTERS = re.compile(r"^[A-Za-z][A-Za-z' .\-]*$")
_INFINITY = re.compile(r"^([+-]?)\s*(?:\\infty|infinity|inf|oo)$")
_TOKEN = re.compile(r"\\begin\{|\\end\{|\\[A-Za-z]+|\\.|.", re.DOTALL)
_STEP = {"(": 1, "[": 1, "{": 1, r"\{": 1, ")": -1, "]": -1, "}": -1, r"\}": -1}
_STEP[r"\begin{"] = 2
_STEP[r"\end{"] = 0
"""By how much a token deepens the nesting; an environment counts like a pair of brackets."""


def read(answer: str) -> Node:
    """The tree of an answer; never raises."""
    if _PLAIN_INTEGER.fullmatch(answer):
        return Number(Fraction(int(answer)))
    if len(answer) > MAX_LENGTH:
        return Word(plain(answer))
    return _read(tidy(answer), depth=0)


def _read(text: str, depth: int) -> Node:
    text = text.strip()
    if depth > 20:
        return Formula(text)
    leaf = _leaf(text)
    if leaf is not None:
        return leaf
    if member := _MEMBER.match(text):
        return _read(member[1], depth + 1)
    if (ranged := _range(text, depth)) is not None:
        return ranged
    if matrix := _MATRIX.match(text):
        rows = [row for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        cells = (tuple(_read(c, depth + 1) for c in row.split("&")) for row in rows)
        return Matrix(tuple(cells))
    parts = split(text, r"\cup")
    if len(parts) > 1:
        return Group("∪", "", tuple(_read(part, depth + 1) for part in parts))
    if (group := _bracketed(text, depth)) is not None:
        return group
    items = _listed(text)
    if len(items) > 1:
        return _unordered("", "", items, depth)
    if r"\pm" in text or r"\mp" in text:
        return _unordered("", "", _signs(text), depth)
    value = _assigned(text)
    return _read(value, depth + 1) if value is not None else Formula(text)


def _leaf(text: str) -> Node | None:
    """What can be read without looking for structure."""
    if decimal := _DECIMAL.match(text):
        return _decimal(decimal)
    if ratio := _RATIO.match(text):
        return _ratio(ratio)
    if science := _SCIENCE.match(text):
        return Number(Fraction(text), max(0, len(science[1] or "") - int(science[2])))
    if (based := _BASED.match(text)) and any(c.isdigit() for c in based[1]):
        base = _BASES.get((based[2] or based[3]).lower(), based[2] or based[3])
        if base.isdigit() and int(base) > 1:
            return Based(based[1].upper(), base)
    if _TIME.match(text):
        return _word(re.sub(r"\\text|[{}]", "", text))
    if text in _REALS:
        return Group("(", ")", (Word("-∞"), Word("∞")))
    if infinite := _INFINITY.match(text):
        return Word("-∞" if infinite[1] == "-" else "∞")
    if text in (r"\emptyset", r"\varnothing", r"\{\}", r"\{ \}"):
        return Word("∅")
    if words := _TEXT.match(text):
        return _word(words[1])
    letters = sum(c.isalpha() for c in text)
    known = letters > 2 or text.lower() == "no" or (letters == 1 and text not in "ei")
    if _LETTERS.match(text) and known and not _AND.search(text):
        return _word(text)
    return None


def _decimal(match: re.Match[str]) -> Number | None:
    sign, whole, places = match[1], re.sub(r"[ ,]", "", match[2]), match[3]
    if not whole and not places:
        return None
    value = Fraction(int(f"{sign}{whole or '0'}{places or ''}"), 10 ** len(places or ""))
    return Number(value, None if places is None else len(places))


def _ratio(match: re.Match[str]) -> Number | None:
    groups = [re.sub(r"[ ,]", "", group or "") for group in match.groups()]
    sign, mixed = groups[0], groups[1] or groups[2] or "0"
    top = int(groups[3] or groups[4] or groups[7])
    bottom = int(groups[5] or groups[6] or groups[8])
    if bottom == 0:
        return None
    value = int(mixed) + Fraction(top, bottom)
    return Number(-value if sign == "-" else value)


def _word(text: str) -> Node:
    text = re.sub(r"\s+", " ", text).strip(" .'\"").lower()
    return Word(re.sub(r"^\((\w)\)$", r"\1", text))


def _range(text: str, depth: int) -> Node | None:
    """Inequalities of one variable as intervals."""
    if match := _BETWEEN.match(text):
        low, left, right, high = match.groups()
    elif match := _LESS.match(text):
        low, left, right, high = r"-\infty", "<", match[1], match[2]
    elif match := _GREATER.match(text):
        low, left, right, high = match[2], match[1], "<", r"\infty"
    else:
        return None
    opening = "(" if left in ("<", r"\lt", ">", r"\gt") else "["
    closing = ")" if right in ("<", r"\lt") else "]"
    return Group(opening, closing, (_read(low, depth + 1), _read(high, depth + 1)))


def _bracketed(text: str, depth: int) -> Node | None:
    """A tuple, interval or set that is the whole text; single items lose ( ) and { }."""
    opening = next((b for b in ("(", "[", r"\{") if text.startswith(b)), None)
    closing = next((b for b in (")", "]", r"\}") if text.endswith(b)), None)
    if opening is None or closing is None or (opening == r"\{") != (closing == r"\}"):
        return None
    if not _closes_at_end(text):
        return None
    inner = text[len(opening) : -len(closing)]
    items = split(inner, ",") if "," in inner else split(inner, ";")
    if opening == r"\{":
        return _unordered("{", "}", items, depth)
    if len(items) == 1:
        return _read(inner, depth + 1) if (opening, closing) == ("(", ")") else None
    return Group(opening, closing, tuple(_read(item, depth + 1) for item in items))


def _unordered(opening: str, closing: str, texts: Sequence[str], depth: int) -> Node:
    """A set or a list without brackets; lists within it are made part of it.

    `y = 2, x = 1` is the tuple (1, 2): values in the order of their names.
    """
    values = [_assigned(text) for text in texts]
    names = [text.split("=")[0].strip() for text in texts if "=" in text]
    if len(set(names)) == len(texts) > 1 and None not in values:
        pairs = sorted(zip(names, values, strict=True))
        return Group("(", ")", tuple(_read(value or "", depth + 1) for _, value in pairs))
    if len(set(names)) > 1:
        nodes: list[Node] = [Formula(text.strip()) for text in texts]
    else:
        given = zip(texts, values, strict=True)
        nodes = [_read(text if value is None else value, depth + 1) for text, value in given]
    items: list[Node] = []
    for node in nodes:
        nested = isinstance(node, Group) and node.opening == ""
        items.extend(node.items if nested and isinstance(node, Group) else (node,))
    return items[0] if len(items) == 1 else Group(opening, closing, tuple(items))


def _listed(text: str) -> list[str]:
    """Items of a list without brackets; a comma and a space part more than a bare comma."""
    for separator in (";", ", ", ","):
        parts = [part for part in split(text, separator) if part]
        if len(parts) > 1:
            return [item for part in parts for item in (_and(part))]
    return _and(text)


def _and(text: str) -> list[str]:
    return [part for part in _AND.split(text) if part.strip()]


def _signs(text: str) -> list[str]:
    upper = re.sub(r"\\pm", "+", re.sub(r"\\mp", "-", text))
    lower = re.sub(r"\\pm", "-", re.sub(r"\\mp", "+", text))
    return [upper.lstrip("+ "), lower.lstrip("+ ")]


def _assigned(text: str) -> str | None:
    """The value in `x = value` or `2 + 3 = value`; None for an equation, or where there is none."""
    sides = [side.strip() for side in re.split(r"(?<![<>!\\])=", text)]
    if len(sides) < 2 or not sides[-1]:
        return None
    if not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", text)):
        return sides[-1]
    letters = re.sub(r"\\[A-Za-z]+", " ", sides[-1])
    named = _NAME.match(sides[0]) and not (len(sides[0]) == 1 and sides[0] in letters)
    return sides[-1] if named else None


def _closes_at_end(text: str) -> bool:
    """Whether the bracket that begins the text is closed by its last one."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth == 0:
            return token.end() == len(text)
    return False


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that stand outside all brackets."""
    parts, start, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth == 0 and text.startswith(separator, token.start()):
            parts.append(text[start : token.start()].strip())
            start = token.start() + len(separator)
    return [*parts, text[start:].strip()]
