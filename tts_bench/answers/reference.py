"""The right answer that a data set's cell states, be it the answer alone or a worked solution."""

from __future__ import annotations

import re
from typing import NamedTuple

from tts_bench.answers.extract import extract, stated
from tts_bench.answers.prose import is_prose

_LAST_HASHES = re.compile(r"(?:^|\n)[ \t]*####[ \t]*([^\n]*\S)\s*\Z")
_THOUSANDS = re.compile(r"-?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LATEX = re.compile(
    r"\\begin\{(\w+)\*?\}.{0,2000}?\\end\{\1\*?\}|\\text\s?\{[^{}]*\}|\\[A-Za-z]+", re.DOTALL
)
_LETTER = re.compile(r"[^\W\d_]")
_CONCLUDES = re.compile(
    r"\b(?:so|thus|hence|therefore|which (?:is|gives)|we (?:get|have|find))\b", re.IGNORECASE
)
_BEGINS = re.compile(
    r"\s*(?:we|so|first|let|then|since|thus|by|hence|therefore|because|note|there (?:is|are)|now"
    r"|suppose|observe|using|adding|solving|dividing|multiplying|subtracting)\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"[A-Za-z\d$})\]][.!?]\s+[A-Z$\\]|[。！？].")
_FEW_LETTERS = 20


class Reference(NamedTuple):
    """A reference answer, and whether a worked solution stood around it."""

    answer: str
    of_solution: bool


def read_reference(text: str) -> Reference:
    r"""The answer that is marked (by `\boxed{}`, `####` or "the answer is"), or the text itself.

    Raises ValueError for a worked solution in which none is marked: nothing would ever equal it.

    >>> read_reference("He pays 2 * 600 = 1200.\n#### 1,200")
    Reference(answer='1200', of_solution=True)
    >>> read_reference(r"\frac{1}{2}")
    Reference(answer='\\frac{1}{2}', of_solution=False)
    """
    text = text.strip()
    hashes = _LAST_HASHES.search(text)
    if found := (hashes[1] if hashes else stated(text)):
        answer = found.replace(",", "") if _THOUSANDS.fullmatch(found) else found
        return Reference(answer, answer != text)
    plain = _LATEX.sub(" ", text)
    lines = [line for line in plain.splitlines() if line.strip()]
    is_wordy = len(_LETTER.findall(plain)) > _FEW_LETTERS
    if "\\boxed" in text or (is_wordy and (len(lines) > 1 or _SENTENCES.search(plain))):
        raise ValueError(_UNMARKED)
    if len(lines) <= 1 and (is_prose(text) or _CONCLUDES.search(plain)) and (last := extract(text)):
        return Reference(last, last != text)
    if is_wordy and _BEGINS.match(plain):
        raise ValueError(_UNMARKED)
    return Reference(text, of_solution=False)


_UNMARKED = (
    "holds a worked solution in which no final answer is marked "
    "(by \\boxed{}, #### or 'the answer is')"
)
