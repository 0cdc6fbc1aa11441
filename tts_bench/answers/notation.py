"""Spellings of LaTeX and plain notation that mean the same, brought to one, by text alone.

All of it runs on untrusted text in the main process: longer texts than `MAX_LENGTH` are only
stripped of spaces, so that the cost of an answer is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from tts_bench.answers.symbols import to_latex
from tts_bench.answers.units import is_percentage, without_units

MAX_LENGTH = 1000
"""Longer answers (characters) are compared as text only."""

FUNCTIONS = (
    "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|lg|exp|gcd|lcm|det|sqrt"
)
"""Names that are functions with a backslash or without, in any upright type."""
_GREEK = "pi|theta|alpha|beta|gamma|delta|lambda|sigma|omega|phi"
_ARGUMENT = r"(?=\s*(?:[(\[{\\^_]|[A-Za-z](?![A-Za-z])|\d))"
_TYPES = (
    r"(?:text(?:bf|it|rm|sf|tt|sl|normal|up)?|mbox|hbox|mathrm|mathbf|mathit|mathsf|mathnormal"
    r"|boldsymbol|bm|pmb|operatorname\*?|emph|underline|mathop)"
)
_LENGTH = r"\[\s*-?[\d.]+\s*(?:pt|em|ex|mm|cm|in)\s*\]"
_NESTED = r"(?:[^{}]|\{[^{}]*\})*"

_REWRITES: Sequence[tuple[str, str]] = (
    # A JSON text that was escaped twice: two backslashes before a command are one.
    (r"(?<!\\)\\\\(?=(?:[dtc]?frac|sqrt|left|right|pi|leq?|geq?|text|cdot|infty)(?![a-z]))", r"\\"),
    # The unit of a rate, \frac{\text{m}}{\text{s}}.
    (
        r"(?<=[\d} ])\\frac\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]*)\}\s*\}"
        r"\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]*)\}\s*\}",
        r"\\text{ \1/\2}",
    ),
    # What only sets type: sizes, colours, bold, the distance of rows.
    (r"\\(?:left|right|[bB]igg?[lrm]?|(?:display|text|script)style|limits)(?![a-zA-Z])\s*", ""),
    (r"\\(?:textcolor|colorbox)\s*\{[^{}]*\}\s*(?=\{)|\\color\s*\{[^{}]*\}\s*", ""),
    (r"\{\s*\\(?:bf|rm|it|sf|tt|bfseries|boldmath)(?![a-zA-Z])\s*", "{"),
    (r"\\\\\s*" + _LENGTH, r"\\\\"),
    (r"\\(?:tiny|small|normalsize|[lL]arge|LARGE|[hH]uge)(?![a-zA-Z])\s*", ""),
    (r"\\(?:bf|rm|it|sf|tt)\s*(?=\{)", r"\\text"),
    (r"\\(?:hline|nonumber|noindent|phantom\{[^{}]*\})(?![a-zA-Z])\s*", ""),
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
    (rf"\{{({_NESTED})\\over(?![a-z])({_NESTED})\}}", r"\\frac{\1}{\2}"),
    (rf"\{{({_NESTED})\\choose(?![a-z])({_NESTED})\}}", r"\\binom{\1}{\2}"),
    (rf"^({_NESTED})\\over(?![a-z])({_NESTED})$", r"\\frac{\1}{\2}"),
    (rf"^({_NESTED})\\choose(?![a-z])({_NESTED})$", r"\\binom{\1}{\2}"),
    # Upright type: a function's name, a letter that is mathematics, or else words.
    (rf"\\{_TYPES}\s*\{{\s*({FUNCTIONS})\s*\}}", r"\\\1 "),
    (
        r"(?<=\d)(?:\s|~|\\[,;: ])*\\(?:mathrm|text|mbox)\s*\{\s*([mgshLNJWVK])\s*\}(?!\w)",
        r"\\text{ \1}",
    ),
    (rf"\\{_TYPES}\s*\{{([A-Za-z])\}}", r" \1"),
    (r"\\(?:mathbf|boldsymbol|bm|pmb|mathit)\s*(?=\{[^{}]*\\)", ""),
    (rf"\\{_TYPES}\s*(?=\{{)", r"\\text"),
    # Brackets and spaces.
    (r"\\lbrace(?![a-zA-Z])", r"\\{"),
    (r"\\rbrace(?![a-zA-Z])", r"\\}"),
    (r"\\lbrack(?![a-zA-Z])", "["),
    (r"\\rbrack(?![a-zA-Z])", "]"),
    (r"\\langle(?![a-zA-Z])", "("),
    (r"\\rangle(?![a-zA-Z])", ")"),
    (r"\\(?:lvert|rvert|vert|mid)(?![a-zA-Z])", "|"),
    (r"(?<!\\)\\[()\[\]]|\\\$|\$", " "),
    (r"\{,\}", ","),
    (r"(?<=\d),?\s*(?<!\\)\\[,! ]\s*(?=\d{3}(?!\d))", ""),
    (r"(?<!\\)\\!\s*", ""),
    (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![a-zA-Z])|\\(?:thin|med|thick)?space(?![a-zA-Z])", " "),
    # Notation of programs.
    (r":=", "="),
    (r"\*\*", "^"),
    (r"\s*\*\s*", r"\\cdot "),
    (r"<=|=<", r"\\leq "),
    (r">=|=>", r"\\geq "),
    (r"(?<=[A-Za-z)\s])!=", r"\\neq "),
    (r"\\(?:le|leqslant)(?![a-zA-Z])", r"\\leq"),
    (r"\\(?:ge|geqslant)(?![a-zA-Z])", r"\\geq"),
    (r"\\ne(?![a-zA-Z])", r"\\neq"),
    (rf"(?<![\\A-Za-z{{])({FUNCTIONS})(?![A-Za-z]){_ARGUMENT}", r"\\\1"),
    (rf"(?<![\\A-Za-z{{])({_GREEK})(?![A-Za-z])", r"\\\1 "),
    (r"(?<=\d)\s*[xX]\s*(?=10\s*\^)", r"\\times "),
    (r"\^\s*\(([^()]*)\)", r"^{\1}"),
    (r"\^\s*(-?\d{2,}|-\d)(?![\d.])", r"^{\1}"),
    (r"\s+", " "),
    # What is left at the end of a line that was set: spaces, row ends, punctuation.
    (r"(?:(?<!\\)\\(?=\s|$)|\\\\|[\s.,;:])+$", ""),
)
_COMPILED = tuple((re.compile(pattern), new) for pattern, new in _REWRITES)

_WRAPPERS = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\$\$([^$]+)\$\$",
        r"\$((?:[^$\\]|\\.)+)\$",
        r"\\\(((?:(?!\\\)).)+)\\\)",
        r"\\\[((?:(?!\\\]).)+)\\\]",
        r"\\(?:boxed|fbox)\s*\{((?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})+)\}",
        r"\*\*([^*]+)\*\*",
        r"`([^`]+)`",
        r"\{([^{}\\]+)\}",
        r"\{\s*\\(?:bf|rm|it|sf|tt|bfseries|boldmath)(?![a-zA-Z])([^{}]*)\}",
        r"\\(?:textbf|mathbf|boldsymbol|bm|emph|underline)\s*\{((?:[^{}]|\{[^{}]*\})+)\}",
        r"\\(?:text|mbox|mathrm)\s*\{([^{}]*\d[^{}]*)\}",
        r"\\textcolor\s*\{[^{}]*\}\s*\{((?:[^{}]|\{[^{}]*\})+)\}",
    )
)
_ELLIPSIS = re.compile(r"(?<=\d)(?:\.{3,}|…)")
_PREFIX = re.compile(
    r"^(?:=\s*|(?:option|choice)\s+(?=\(?[A-J]\)?$)|(?:USD|EUR|GBP|US|Rs\.?)\s*(?=\\?\$?\s*\d))"
)
_ARGUMENTS = {"frac": 2, "binom": 2, "sqrt": 1}
_TAKES = re.compile(r"\\(frac|binom|sqrt)(?![A-Za-z])\s*(?:\[[^\[\]]*\])?")
_CLOSED_BY = {"{": "}", "(": ")"}


def tidy(answer: str) -> str:
    """The answer without delimiters, spacing, money and percent signs, degrees and units."""
    return _tidy(answer)[0]


def is_percent(answer: str) -> bool:
    """Whether the answer is written as a percentage, whose sign `tidy` takes away."""
    return _tidy(answer)[1]


def plain(answer: str) -> str:
    """A normalised string for what cannot be parsed: no spaces, no case."""
    text = answer if len(answer) > MAX_LENGTH else tidy(answer).replace(r"\text", "")
    return "".join(text.split()).lower() or answer.strip()


@lru_cache(maxsize=4096)
def _tidy(answer: str) -> tuple[str, bool]:
    if len(answer) > MAX_LENGTH:
        return answer.strip(), False
    # Three dots would be taken for the end of a sentence.
    text = to_latex(_ELLIPSIS.sub(r"\\ldots ", answer))
    if len(text) > 2 * MAX_LENGTH:
        return answer.strip(), False
    text = _unwrapped(text)
    text = _PREFIX.sub("", text)
    for pattern, new in _COMPILED:
        text = pattern.sub(new, text)
    text = _with_braces(text.strip())
    return without_units(text), is_percentage(text)


def _unwrapped(text: str) -> str:
    """Without the delimiters, or the type, in which all of it stands."""
    text = text.strip()
    for _ in range(6):
        before = text
        for wrapper in _WRAPPERS:
            if whole := wrapper.fullmatch(text):
                text = whole[1].strip()
        text = text.removesuffix("\\,").rstrip(" \t\n.,;:")
        if text == before:
            break
    return text


def _with_braces(text: str) -> str:
    r"""Braces around every argument: `\frac\pi2`, `\sqrt[3]2`, `\sqrt(2)`."""
    marks: dict[int, str] = {}
    for command in _TAKES.finditer(text):
        place = command.end()
        for _ in range(_ARGUMENTS[command[1]]):
            while text[place : place + 1] == " ":
                place += 1
            end = _end_of_argument(text, place, command[1])
            if text[place : place + 1] == "(" and end > place + 1:
                marks[place], marks[end - 1] = "{", "}"
            elif text[place : place + 1] not in ("{", "") and end > place:
                marks[place] = "{" + text[place]
                marks[end - 1] = marks.get(end - 1, text[end - 1]) + "}"
            place = end
    return "".join(marks.get(i, character) for i, character in enumerate(text)) if marks else text


def _end_of_argument(text: str, place: int, command: str) -> int:
    """Where the argument that begins at `place` ends."""
    opening = text[place : place + 1]
    if opening == "{" or (opening == "(" and command == "sqrt"):
        depth = 0
        for i in range(place, len(text)):
            depth += (text[i] == opening) - (text[i] == _CLOSED_BY[opening])
            if depth == 0:
                return i + 1
        return place
    token = re.compile(r"\\[A-Za-z]+\s?|[A-Za-z0-9]").match(text, place)
    return token.end() if token else place
