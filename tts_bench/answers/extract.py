"""The answer that a solution states, as written."""

from __future__ import annotations

import re

_BOX_TOKEN = re.compile(r"(?P<box>\\(?:boxed|fbox)(?![a-zA-Z])\s*\{?)|\\.|[{}]", re.DOTALL)
_BARE_BOX = re.compile(r"[^\s${}\\][^\s$]*|\\[a-z]+[^\s$]*")
_PHRASE = re.compile(
    r"\banswer(?:\s+to\b[^.:\n]{0,80}?)?\s*(?:(?:\*\*)?\s*(?:is\b\s*:?|:|=)|\*\*\s*\n)"
    r"\s*(?:\*\*)?\s*",
    re.IGNORECASE,
)
_SAID = 300
"""Characters after "answer is" that are looked at."""
_HASHES = re.compile(r"^[ \t]*####[ \t]*(-?[$]?[\d.][\d.,/]*)[ \t]*$", re.MULTILINE)
_NUMBER = re.compile(
    r"(?:(?<![\w)\]}])-)?"
    r"(?:\\[dt]?frac\{\d+\}\{\d+\}|(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+|/\d+)?|(?<!\d)\.\d+)"
)


def extract(text: str) -> str | None:
    r"""The answer as written in a solution, or None where there is none (never "").

    In this order: the last complete `\boxed{...}` (also `\fbox`, `\boxed 5`); GSM8K's `#### 42`;
    the last "answer is ..." or "answer: ..."; the last number of the last line. A text whose
    only box was never closed was cut off, and has no answer.
    """
    boxes = _boxes(text)
    complete = [box for box in boxes if box]
    if complete:
        return complete[-1]
    if boxes and boxes[-1] is None:
        return None
    return stated(text) or _last_number(text)


def boxed(text: str) -> str | None:
    """The content of the last complete box: all that a text which was cut off can vouch for."""
    return next((box for box in reversed(_boxes(text)) if box), None)


def stated(text: str) -> str | None:
    """The answer that a phrase or a mark announces, without falling back to a number."""
    if box := boxed(text):
        return box
    if marks := _HASHES.findall(text):
        return str(marks[-1])
    for phrase in reversed(list(_PHRASE.finditer(text))):
        said = _first_sentence(text[phrase.end() : phrase.end() + _SAID].split("\n")[0])
        if said and len(re.findall(r"(?<!\\)\b[A-Za-z]{2,}", said)) <= 6:
            return said
    return None


def _boxes(text: str) -> list[str | None]:
    """Content of each box in order of appearance; None for one that is never closed."""
    found: dict[int, str | None] = {}
    opened: list[int | None] = []
    for token in _BOX_TOKEN.finditer(text):
        if token["box"]:
            braced, start = token["box"].endswith("{"), token.end()
            found[start] = None
            if braced:
                opened.append(start)
            elif bare := _BARE_BOX.match(text, start):
                found[start] = bare[0].rstrip(".,;")
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (start_of_box := opened.pop()) is not None:
            found[start_of_box] = text[start_of_box : token.start()].strip()
    return list(found.values())


def _first_sentence(said: str) -> str:
    said = re.split(r"\.?\s*I hope\b|,?\s(?:because|since|which|where|so)\b", said)[0]
    said = re.split(r"(?<=\S)[.!](?=\s|$|\*)", said)[0].strip().strip("*").strip()
    math = re.match(r"\$([^$]+)\$(?!.*\$)|\\\(((?:(?!\\\)).)+)\\\)", said)
    return (math[1] or math[2]).strip() if math else said


def _last_number(text: str) -> str | None:
    lines = text.rstrip().rsplit("\n", 1)
    numbers = _NUMBER.findall(lines[-1])
    return numbers[-1] if numbers else None
