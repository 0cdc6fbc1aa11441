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

from tts_bench.answers.leaves import EMPTY, Based, Number, Word, is_reals, leaf, word
from tts_bench.answers.notation import FUNCTIONS, MAX_LENGTH, plain, tidy

_DEPTH = 20
"""Nesting that is still read as structure."""


@dataclass(frozen=True, slots=True)
class Group:
    """Items between brackets: `(`, `[` in order, `{` as a set; `""` is a list without brackets.

    `∪` as `opening` is a union of the items. `written` holds the values of named items, such as
    `y = 2, x = 1`, in the order in which they were written; `items` have that of the names.
    """

    opening: str
    closing: str
    items: tuple[Node, ...]
    written: tuple[Node, ...] = ()

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

_INDEX = r"(?:_(?:\{\w+\}|\w))?"
_LETTER = (
    rf"(?:\\(?!(?:{FUNCTIONS}|frac|pi|infty|sum|prod|int|lim|left|right|min|max)(?![a-z]))[a-z]+"
    rf"|[A-Za-z]|[A-Z]{{2,3}}|(?!(?:{FUNCTIONS})(?![A-Za-z]))[A-Za-z]{{3,}}|\\text\{{[^{{}}]*\}})"
)
_VARIABLE = rf"(?:m?\\angle\s?[A-Z]{{1,3}}|{_LETTER}){_INDEX}(?:'|\^\{{-1\}})?"
_SEGMENT = "[A-Z]{2}"
_ARGUMENTS = r"(?:\s?\(-?(?:[A-Za-z]|\d+)(?:, ?(?:[a-z]|\d+))*\))?"
_NAME = re.compile(
    rf"^(?:{_VARIABLE}{_ARGUMENTS}|\([a-z]{_INDEX}(?:, ?[a-z]{_INDEX})+\)"
    rf"|{_VARIABLE}\s?[:/]\s?{_VARIABLE}|\\frac\{{{_SEGMENT}\}}\{{{_SEGMENT}\}}"
    rf"|\|{_SEGMENT}\||\\overline\{{{_SEGMENT}\}})$"
)
_MEMBER = re.compile(rf"^{_VARIABLE}\s*\\in(?![a-z])\s*(.+)$")
_MATRIX = re.compile(
    r"^[(\[]?\s*\\begin\{([pbB]?matrix|array)\}(?:\s*\{[lcr| ]*\})?"
    r"((?:(?!\\begin|\\end).)*)\\end\{\1\}\s*[)\]]?$",
    re.DOTALL,
)
_TEXT = re.compile(r"^\\text\s*\{([^{}\\]*)\}$")
_LETTERS = re.compile(r"^[( ]*\w[ )]*(?:,?(?: *and)?[( ]+[A-Z][ )]*)*$")
_WORDY = re.compile(r"\\text\s*\{|(?<![\\A-Za-z])[A-Za-z]{2,} [A-Za-z]{2,}|[\u4e00-\u9fff]")
_BELOW, _ABOVE = r"(<|\\leq(?![a-z])|\\lt(?![a-z]))", r"(>|\\geq(?![a-z])|\\gt(?![a-z]))"
_LONE = r"[A-Za-z](?:\([a-z]\))?"
_SIDE = r"([^<>=A-Za-z]*(?:\\[a-z]+[^<>=A-Za-z]*)*)"
_BETWEEN = re.compile(rf"^([^<>=]+?)\s*{_BELOW}\s*{_LONE}\s*{_BELOW}\s*([^<>=]+)$")
_AROUND = re.compile(rf"^([^<>=]+?)\s*{_ABOVE}\s*{_LONE}\s*{_ABOVE}\s*([^<>=]+)$")
_LESS = re.compile(rf"^{_LONE}\s*{_BELOW}\s*{_SIDE}$"), re.compile(rf"^{_SIDE}{_ABOVE}\s*{_LONE}$")
_MORE = re.compile(rf"^{_LONE}\s*{_ABOVE}\s*{_SIDE}$"), re.compile(rf"^{_SIDE}{_BELOW}\s*{_LONE}$")
_OTHER = re.compile(
    rf"^(?:{_LONE}\s*\\neq\s*|\\mathbb\{{R\}}\s*(?:\\setminus|\\backslash|-)\s*\\\{{){_SIDE}?$"
)
_JOINER = (
    r"(?:\\text\{\s*(?:and|or)\s*\}|(?<=[\s\d})\]])(?:and|or)(?=[\s\\(\[\dA-Z])|\\(?:lor|vee)(?![a-z])"
    r"|(?<=[\d})\]])\s*[和或与及])"
)
_MORE_WORDS = r"(?!\s*(?:\\text\{\s*)?(?:more|less|fewer|greater|above|below))"
_AND = re.compile(rf",?\s*{_JOINER}{_MORE_WORDS}\s*")
_OR = re.compile(r"\\text\{\s*or\s*\}|(?<=[\s\d})])or(?=[\s\\])|\\(?:lor|vee|cup)(?![a-z])|或")
_LEADING = re.compile(r"^(?:\\text\{\s*(?:and|or)\s*\}|(?:and|or)(?![A-Za-z]))\s*")
_PLAIN_INTEGER = re.compile(r"-?\d{1,18}")
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
    node = _read(tidy(answer), depth=0)
    # A set of one value, as a whole answer, is that value; a set within a set is not.
    if isinstance(node, Group) and node.opening == "{" and len(node.items) == 1:
        [item] = node.items
        is_set = isinstance(item, Group) and item.opening == "{"
        return node if is_set or item == EMPTY else item
    return node


def is_equation(text: str) -> bool:
    """Whether a tidy text states a relation that has no value of its own."""
    return bool(re.search(r"[<>=]|\\(?:leq|geq|lt|gt|neq|equiv)(?![a-z])", _outside(text)))


def _read(text: str, depth: int) -> Node:
    text = text.strip()
    if depth > _DEPTH:
        return Formula(text)
    if (node := leaf(text)) is not None:
        return node
    if words := _TEXT.match(text):
        is_value = any(c.isdigit() for c in words[1]) or _LETTERS.match(words[1])
        return _read(words[1], depth + 1) if is_value else word(words[1])
    if is_reals(text):
        return Group("(", ")", (Word("-∞"), Word("∞")))
    if member := _MEMBER.match(text):
        return _read(member[1], depth + 1)
    if (ranged := _range(text, depth)) is not None:
        return ranged
    if matrix := _MATRIX.match(text):
        rows = [row for row in re.split(r"\\\\", matrix[2]) if row.strip()]
        cells = (tuple(_read(c, depth + 1) for c in row.split("&")) for row in rows)
        return Matrix(tuple(cells))
    if (union := _union(text, depth)) is not None:
        return union
    return _composed(text, depth)


def _composed(text: str, depth: int) -> Node:
    """A group, a list, an assignment, or else a formula or words."""
    if (group := _bracketed(text, depth)) is not None:
        return group
    items = _listed(text)
    if len(items) > 1:
        return _unordered("", "", items, depth)
    if r"\pm" in text or r"\mp" in text:
        return _unordered("", "", _signs(text), depth)
    exact, *rounded = split(text, r"\approx")
    if rounded:
        return _read(rounded[-1] if _NAME.match(exact) else exact, depth + 1)
    value = _assigned(text)
    if value is not None:
        return _read(value, depth + 1)
    return word(text) if _WORDY.search(text) else Formula(text)


def _union(text: str, depth: int) -> Node | None:
    """Intervals or inequalities of which one holds."""
    parts = split(text, r"\cup")
    if len(parts) == 1:
        parts = [part.strip(" ,") for part in _OR.split(text)]
        if len(parts) == 1 or not (_are_inequalities(parts) or _are_intervals(parts)):
            return None
    return Group("∪", "", tuple(_read(part, depth + 1) for part in parts))


def _are_inequalities(parts: Sequence[str]) -> bool:
    return all(is_equation(part) and "=" not in part for part in parts)


def _are_intervals(parts: Sequence[str]) -> bool:
    """Whether these are intervals and not points: without end on one side at least."""
    enclosed = all(part[:1] in ("(", "[") and part[-1:] in (")", "]") for part in parts)
    return enclosed and any(r"\infty" in part for part in parts)


def _range(text: str, depth: int) -> Node | None:
    """Inequalities of one variable as intervals."""
    if match := _BETWEEN.match(text):
        low, left, right, high = match.groups()
    elif match := _AROUND.match(text):
        high, right, left, low = match.groups()
    elif match := _LESS[0].match(text):
        low, left, right, high = r"-\infty", "<", match[1], match[2]
    elif match := _LESS[1].match(text):
        low, left, right, high = r"-\infty", "<", match[2], match[1]
    elif match := _MORE[0].match(text):
        low, left, right, high = match[2], match[1], "<", r"\infty"
    elif match := _MORE[1].match(text):
        low, left, right, high = match[1], match[2], "<", r"\infty"
    elif match := _OTHER.match(text):
        value = _read(match[1].removesuffix(r"\}"), depth + 1)
        below = Group("(", ")", (Word("-∞"), value))
        return Group("∪", "", (below, Group("(", ")", (value, Word("∞")))))
    else:
        return None
    if not (low.strip() and high.strip()):
        return None
    opening = "(" if left in ("<", r"\lt", ">", r"\gt") else "["
    closing = ")" if right in ("<", r"\lt", ">", r"\gt") else "]"
    return Group(opening, closing, (_read(low, depth + 1), _read(high, depth + 1)))


def _bracketed(text: str, depth: int) -> Node | None:
    """A tuple, interval or set that is the whole text; single items lose ( )."""
    opening = next((b for b in ("(", "[", r"\{", "{") if text.startswith(b)), None)
    closing = next((b for b in (")", "]", r"\}", "}") if text.endswith(b)), None)
    if opening is None or closing is None or not _closes_at_end(text):
        return None
    if (opening in "([") != (closing in ")]"):
        return None
    inner = text[len(opening) : -len(closing)]
    items = split(inner, ",") if "," in inner else split(inner, ";")
    items = [_LEADING.sub("", item) for item in items]
    if opening in (r"\{", "{"):
        return _unordered("{", "}", items if len(items) > 1 else _and(inner), depth)
    if len(items) == 1:
        return _read(inner, depth + 1) if (opening, closing) == ("(", ")") else None
    return Group(opening, closing, tuple(_read(item, depth + 1) for item in items))


def _unordered(opening: str, closing: str, texts: Sequence[str], depth: int) -> Node:
    """A set or a list without brackets; lists within it are made part of it, copies left out.

    `y = 2, x = 1` is the tuple (1, 2): values in the order of their names.
    """
    values = [_assigned(text) for text in texts]
    names = [text.split("=")[0].strip() for text in texts if "=" in text]
    if len(set(names)) == len(texts) > 1 and None not in values:
        written = tuple(_read(value or "", depth + 1) for value in values)
        order = sorted(range(len(names)), key=names.__getitem__)
        return Group("(", ")", tuple(written[i] for i in order), written)
    if len(set(names)) > 1:
        nodes: list[Node] = [Formula(text.strip()) for text in texts]
    else:
        given = zip(texts, values, strict=True)
        nodes = [_read(text if value is None else value, depth + 1) for text, value in given]
    items: list[Node] = []
    for node in nodes:
        nested = isinstance(node, Group) and node.opening == ""
        items.extend(node.items if nested and isinstance(node, Group) else (node,))
    items = list({one.value if isinstance(one, Number) else one: one for one in items}.values())
    alone = len(items) == 1 and opening != "{"
    return items[0] if alone else Group(opening, closing, tuple(items))


def _listed(text: str) -> list[str]:
    """Items of a list without brackets; a comma and a space part more than a bare comma."""
    for separator in (";", ", ", ","):
        parts = [_LEADING.sub("", part) for part in split(text, separator) if part]
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
    """The value in `x = value`, `value = x` or `2 + 3 = value`; None for any other text."""
    sides = split(text, "=")
    if len(sides) < 2 or not all(sides) or any(len(split(side, ",")) > 1 for side in sides[1:-1]):
        return None
    if re.search(r"[<>]|\\(?:leq|geq|neq|approx)", text):
        return None
    if not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", text)) and not is_equation(sides[-1]):
        return sides[-1]
    for name, value in ((sides[0], sides[-1]), (sides[-1], sides[0])):
        letters = re.sub(r"\\[A-Za-z]+", " ", value)
        if _NAME.match(name) and not (len(name) == 1 and name in letters):
            return value
    return None


def _outside(text: str) -> str:
    """The text outside all brackets."""
    kept, depth = [], 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth == 0:
            kept.append(token[0])
    return "".join(kept)


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
