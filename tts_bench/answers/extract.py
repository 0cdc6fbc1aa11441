"""The answer that a solution states, as written."""

from __future__ import annotations

import re
from typing import NamedTuple

from tts_bench.answers.prose import announced, concluded
from tts_bench.answers.thinking import after_thinking

_BOX_TOKEN = re.compile(
    r"(?P<box>\\\\?(?:boxed|fbox|framebox)(?![a-zA-Z])\s*\{?)|\\.|[{}]", re.DOTALL
)
_BEFORE_BOX, _LONGEST_BEFORE = re.compile(r"\\(f|frame|)$"), 6
"""What stands before `box` in a command that makes one."""
_BARE_BOX = re.compile(r"-?\d[\d.,/]{0,60}|\\[a-z]+[^\s$]{0,60}|[A-Za-z](?![A-Za-z]| [a-z])")
_PLACEHOLDER = re.compile(
    r"(?:\\text(?:bf|it)?\s*\{|\\mathrm\s*\{|[<\[(])?\s*(?:\.{2,3}|…|\\[lc]?dots|\?+|_+|\\square|\\cdot"
    r"|\\(?:ldots|dotsc|quad|phantom\{.*\})"
    r"|(?:your |the |final |numerical |correct )*(?:answer|result|solution|number|value)"
    r"(?: here| goes here)?)\s*[}>\])]?",
    re.IGNORECASE,
)
_LONGEST_PLACEHOLDER = 60
_HASHES = re.compile(r"^[ \t]*####[ \t]*(-?[$]?[\d.][\d.,/]*)[ \t]*$", re.MULTILINE)
_FORCED = re.compile(r"^[ \t]*(?:\*\*|#+ )?Final Answer(?:\*\*)?:", re.MULTILINE | re.IGNORECASE)
"""What asks for the answer after a thinking that has no marks (budget forcing)."""
_BETWEEN = re.compile(
    r"(?:[\s$,;~&]|\\[()\[\],;:! ]|\\q?quad(?![a-z])|\\text\s*\{[^{}\n]{0,40}\}|(?:and|or)\b"
    r"|[a-z]{3,12} (?=and\b)|[A-Za-z](?:_\{?\w{1,3}\}?)?\s*=)*+"
)
_MOST_BETWEEN = 80
_END_MARKS = (
    "</s>", "<eos>", "<end_of_turn>", "<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end|>",
    "<|return|>", "<|end_of_text|>",
)  # fmt: skip
_END = re.compile(r"(?:\s|" + "|".join(re.escape(mark[::-1]) for mark in _END_MARKS) + ")*+")
"""The end of a turn, read backwards from the end of the text: no mark is tried twice."""


class _Box(NamedTuple):
    """A box in a text: where its content begins and ends; `end` None: it is never closed."""

    place: int
    start: int
    end: int | None


def extract(text: str, *, thinking: bool = False) -> str | None:
    r"""The answer as written in a solution, or None if there is none (never "").

    Only what follows the last thinking counts; `thinking` tells that the prompt has opened one.
    In this order: the last complete `\boxed{...}` (also `\fbox`, `\boxed 5`), with those beside
    it that one list holds; GSM8K's `#### 42`; the last "answer is ..." or "answer: ..."; the last
    formula or number of the last line. A text whose only box was never closed was cut off, and
    has no answer.
    """
    said = what_is_said(text, thinking)
    boxes = _boxes(said)
    if not any(box.end for box in boxes) and boxes:
        return None
    return _stated(said, boxes) or concluded(said)


def boxed(text: str, *, thinking: bool = False) -> str | None:
    """The content of the last complete box: all that a text which was cut off can vouch for."""
    said = what_is_said(text, thinking)
    return _content(said, _boxes(said))


def stated(text: str, *, thinking: bool = False) -> str | None:
    """The answer that a phrase or a mark announces, without falling back to a number."""
    said = what_is_said(text, thinking)
    return _stated(said, _boxes(said))


def what_is_said(text: str, thinking: bool = False) -> str:
    """What a text says after its thinking, without the marks that end a turn."""
    said = after_thinking(text, opened=thinking) or ""
    return _END.sub("", said[::-1], count=1)[::-1]


def _stated(said: str, boxes: list[_Box]) -> str | None:
    box = _content(said, boxes)
    last = max((one.place for one in boxes if one.end), default=0)
    if box and not _FORCED.search(said, last + 1):
        return box
    if marks := _HASHES.findall(said):
        return str(marks[-1])
    return announced(said[last:]) or box


def _content(text: str, boxes: list[_Box]) -> str | None:
    r"""What the last box holds; `\boxed{1} and \boxed{2}` is the list of both."""
    filled = [box for box in boxes if box.end is not None]
    if not filled:
        return None
    found = [filled.pop()]
    while filled and filled[-1].end is not None and filled[-1].end < found[-1].place:
        gap = text[filled[-1].end : found[-1].place].removeprefix("}")
        if len(gap) > _MOST_BETWEEN or "\n\n" in gap or not _BETWEEN.fullmatch(gap):
            break
        found.append(filled.pop())
    contents = dict.fromkeys(text[box.start : box.end].strip() for box in reversed(found))
    return ", ".join(contents)


def _boxes(text: str) -> list[_Box]:
    """Boxes in order of appearance, without empty ones, placeholders and mere mentions."""
    found: dict[int, _Box] = {}
    opened: list[_Box | None] = []
    first = _first_box(text)
    for token in _BOX_TOKEN.finditer(text, first) if first is not None else ():
        if token["box"]:
            place, start = token.span()
            if token["box"].endswith("{"):
                found[start] = _Box(place, start, None)
                opened.append(found[start])
            elif bare := _BARE_BOX.match(text, start):
                end = start + len(bare[0].rstrip(".,;"))
                found[start] = _Box(place, start, end)
        elif token[0] == "{":
            opened.append(None)
        elif token[0] == "}" and opened and (box := opened.pop()) is not None:
            found[box.start] = box._replace(end=token.start())
            if _is_empty(text, box.start, token.start()):
                del found[box.start]
    return list(found.values())


def _first_box(text: str) -> int | None:
    """Where the backslashes of the first box stand; no brace before them can close it."""
    at = text.find("box")
    while at >= 0:
        if command := _BEFORE_BOX.search(text[max(0, at - _LONGEST_BEFORE) : at]):
            name = at - len(command[1])
            return len(text[:name].rstrip("\\"))
        at = text.find("box", at + 1)
    return None


def _is_empty(text: str, start: int, end: int) -> bool:
    r"""Whether a box holds nothing, or stands for an answer: `\boxed{...}`, `\boxed{answer}`."""
    if end - start > _LONGEST_PLACEHOLDER:
        return False
    content = text[start:end].strip()
    return not content or _PLACEHOLDER.fullmatch(content) is not None
