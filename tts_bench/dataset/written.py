"""Lists as Python and numpy write them into the cell of a table: parsed, never evaluated."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[uUrRbB]{0,2}(?:'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"))
    | (?P<number>[-+]?(?:\d[\d_]*+\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?(?![\w.]))
    | (?P<word>[-+]?[A-Za-z_][\w.]*+)
    | (?P<sign>\.\.\.|[\[\](),=<>])
    )""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: dict[str, Any] = {
    "None": None,
    "null": None,
    "True": True,
    "true": True,
    "np.True_": True,
    "False": False,
    "false": False,
    "np.False_": False,
}
_NUMBERS = {"nan", "NaN", "inf", "Infinity", "np.nan", "np.inf"}
_DEEPEST = 20


class Shortened(ValueError):
    """A list was written with `...` for its middle, which is lost."""


def listed(text: str) -> list[Any] | None:
    """The list that a text writes, as JSON, Python or numpy do; None if it writes none.

    Raises Shortened where the middle was left out.

    >>> listed("['a' 'b']"), listed("array([0.5, nan])"), listed("[np.float64(1.0), None]")
    (['a', 'b'], [0.5, nan], [1.0, None])
    >>> listed("x + [1]") is None
    True
    """
    stripped = text.strip()
    if not stripped.startswith(("[", "(", "array(", "np.array(", "tensor(")):
        return None
    if stripped.startswith("["):
        try:
            return list(json.loads(stripped))
        except (ValueError, RecursionError):
            pass  # it may still be Python's
    reader = _Reader(stripped)
    try:
        value = reader.value(0)
    except _NoValue:
        return None
    return value if isinstance(value, list) and reader.ended else None


class _NoValue(ValueError):
    """What stands here is no value."""


class _Reader:
    """Reads values from the beginning of a text on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._kind = self._token = ""
        self._next()

    @property
    def ended(self) -> bool:
        """Whether nothing is left."""
        return self._kind == "end"

    def value(self, depth: int) -> Any:
        """The value that stands here. Raises _NoValue and Shortened."""
        kind, token = self._kind, self._token
        if depth > _DEEPEST:
            raise _NoValue
        if kind == "text":
            self._next()
            return _text(token)
        if kind == "number":
            self._next()
            return float(token) if any(sign in token for sign in ".eE") else int(token)
        if kind == "word":
            return self._word(depth)
        if token in ("[", "("):
            return self._items({"[": "]", "(": ")"}[token], depth)
        raise _NoValue

    def _word(self, depth: int) -> Any:
        word = self._token
        self._next()
        if self._token == "(":
            return self._call(depth)
        if word in _WORDS:
            return _WORDS[word]
        if word.lstrip("+-") in _NUMBERS:
            return float(word.replace("np.", ""))
        raise _NoValue

    def _call(self, depth: int) -> Any:
        """What `array([...], dtype=object)` or `np.float64(0.5)` holds."""
        self._next()
        held = self.value(depth + 1)
        open_ones = 1
        while open_ones:
            if self.ended:
                raise _NoValue
            open_ones += {"(": 1, ")": -1}.get(self._token, 0)
            self._next()
        return held

    def _items(self, closing: str, depth: int) -> list[Any]:
        """Values with commas or, as numpy writes them, spaces between."""
        self._next()
        found = []
        while self._token != closing or self._kind != "sign":
            if self._token == "..." and self._kind == "sign":
                raise Shortened
            found.append(self.value(depth + 1))
            if self._token == "," and self._kind == "sign":
                self._next()
        self._next()
        return found

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            rest = self._text[self._at :].strip()
            self._kind, self._token = ("strange", rest[:1]) if rest else ("end", "")
            return
        self._at = match.end()
        self._kind = match.lastgroup or ""
        self._token = match[self._kind]


def _text(token: str) -> str:
    try:
        value = ast.literal_eval(token)
    except (ValueError, SyntaxError):
        raise _NoValue from None
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
