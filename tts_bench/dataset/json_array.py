"""The elements of a JSON array that is too large to be parsed at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TextIO

_CHUNK = 2**20
_IN_TEXT = re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
"""The rest of a string, up to the quote that ends it or a backslash that ends the chunk."""
_BETWEEN = re.compile(r'[^"\[\]{},]*+')
_OPEN, _CLOSE = "[{", "]}"


class NoArray(ValueError):
    """A file does not hold one JSON array."""


def elements(file: TextIO, chunk: int = _CHUNK) -> Iterator[str]:
    """The text of each element of the array that a file holds, none of it parsed.

    Raises NoArray if the file holds anything else, or ends within the array.
    """
    splitter = _Splitter()
    while text := file.read(chunk):
        yield from splitter.feed(text)
    splitter.end()


class _Splitter:
    """Cuts a text that comes in pieces at the commas of its outermost array."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_text = False
        self._over = False
        self._parts: list[str] = []
        self._rest = ""

    def feed(self, text: str) -> Iterator[str]:
        """The elements that end in this piece."""
        text = self._rest + text
        self._rest = ""
        at = begun = 0
        while at < len(text):
            if self._in_text:
                match = _IN_TEXT.match(text, at)
                at = match.end() if match else at
                if at < len(text) and text[at] == "\\":  # what it escapes is still to come
                    self._rest = text[at:]
                    text = text[:at]
                elif at < len(text):
                    self._in_text = False
                    at += 1
                continue
            between = _BETWEEN.match(text, at)
            end = between.end() if between else at
            if self._depth == 0 and text[at:end].strip():
                raise NoArray("a list of objects is expected")
            if end == len(text):
                break
            sign, at = text[end], end + 1
            cut = self._see(sign)
            if cut == "begin":
                begun = at
            elif cut:
                element = "".join([*self._parts, text[begun:end]])
                self._parts, begun = [], at
                if element.strip() or cut == "next":
                    yield element
        if self._depth:
            self._parts.append(text[begun:])

    def _see(self, sign: str) -> str:
        """What a sign outside of strings does: the array begins, an element ends, or nothing."""
        if self._over or (self._depth == 0 and sign != "["):
            raise NoArray("a list of objects is expected")
        if sign == '"':
            self._in_text = True
        elif sign in _OPEN:
            self._depth += 1
            return "begin" if self._depth == 1 else ""
        elif sign in _CLOSE:
            self._depth -= 1
            self._over = self._depth == 0
            return "last" if self._over else ""
        elif self._depth == 1:
            return "next"
        return ""

    def end(self) -> None:
        """Raise NoArray unless the array has ended."""
        if not self._over or self._rest:
            raise NoArray("the file ends within its list")
