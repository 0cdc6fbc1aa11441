"""Answers that prose states: "the answer is 12", 答案是6, or the last formula of a text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_PHRASES = (
    r"\b(?:answers?(?:\s+to\b[^.:\n]{0,80}?)?|(?:correct|right|best)\s+(?:option|choice|letter))\s*"
    r"(?:(?:\*\*)?\s*(?:\b(?:is|are|was|will be|would be|must be|should be)\b\s*:?|:|=)|\*\*\s*\n"
    r"|(?=\s(?:\$|\\\(|\\\[)))",
    r"\br[ée]ponse(?:\s+(?:finale|correcte|exacte))?\s*(?:\*\*)?\s*(?:est\b\s*:?|:|=)",
    r"\b(?:Antwort|Lösung|Ergebnis)\s*(?:\*\*)?\s*(?:ist\b|lautet\b|beträgt\b|:|=)",
    r"\b(?:respuesta|risposta|resposta)(?:\s+(?:final|finale|correcta|corretta|correta))?\s*(?:\*\*)?"
    r"\s*(?:es\b|è|é|:|=)",
    r"\bответ\s*(?:\*\*)?\s*(?::|=|-|—)",
    r"(?:最[终後后])?答案(?:\*\*)?\s*(?:应该|應該|就)?(?:是|为|為|：|:|等于)\s*[:：]?|(?<!\w)答\s*[:：]",
    r"答えは",
)
"""Announcements of an answer, one entry a language."""
_ASCII_WORDS = (
    "answer", "option", "choice", "letter", "reponse", "antwort", "ergebnis", "respuesta",
    "risposta", "resposta",
)  # fmt: skip
"""One of these stands in each announcement that is all ASCII, and few texts have any."""
# Two runs of spaces side by side would be parted in every way, in quadratic time.
_SHORT = "|".join(_PHRASES).replace(r"\s*", r"\s{0,4}").replace(r"\s+", r"\s{1,4}")
_PHRASE = re.compile(rf"(?:{_SHORT})[ \t]*(?:\*\*)?[ \t]*", re.IGNORECASE)
_HEADING = re.compile(r"^[ \t]*#+[ \t]*(?:Final[ \t]+)?Answer[ \t]*+:?[ \t]*$", re.I | re.M)
_SAID = 600
"""Characters after an announcement that are looked at."""
_ANNOUNCEMENTS = 50
"""Announcements, counted from the end, that are looked at."""
_FILLER = re.compile(
    r",?\s*(?:(?:therefore|thus|hence|simply|approximately|about|roughly|exactly|precisely|then|indeed"
    r"|just|clearly|obviously|actually|now|also|in fact|equal to|given by|found to be|only"
    r"|donc|bien|alors|égale? à|also|somit)\b|(?:总共|一共|共|大约|约)有?(?=\d)"
    r"|(?:the )?(?:correct )?(?:options?|choices?|letter)\b(?!\s+is)|the number\b)[,:]?\s*",
    re.IGNORECASE,
)
_BLOCK = re.compile(
    r"\s*(?:\$\$(?P<dollars>[^$]{1,400})\$\$|\\\[(?P<brackets>(?:(?!\\\]).){1,400})\\\]"
    r"|```[a-z]*[ \t]*\n(?P<fence>[^`]{1,400})```"
    r"|\\begin\{(?P<kind>align\*?|aligned|equation\*?|gather\*?|math|displaymath)\}"
    r"(?P<rows>.{1,400}?)\\end\{(?P=kind)\})",
    re.DOTALL,
)
_INLINE = r"\$(?:[^$\\\n]|\\.){1,400}+\$|\\\((?:[^\\\n]|\\[^()\n]){1,400}\\\)"
_FORMULA = re.compile(rf"\$\$[^$]{{1,400}}\$\$|\\\[(?:(?!\\\]).){{1,400}}\\\]|{_INLINE}", re.DOTALL)
_FORMULAS = re.compile(
    rf"(?:{_INLINE})(?:\s{{0,4}}(?:,|;|,?\s{{1,4}}(?:and|or|et|ou|und|oder)\b|和|或|与|、)\s{{0,4}}(?:{_INLINE}))*"
)
_SENTENCE_END = re.compile(
    r"\.?\s*I hope\b|,?\s(?:because|since|which|where|so)\b|，因为|。|；|です|である"
)
_FULL_STOP = re.compile(r"(?<=\S)[.!](?=\s|$|\*)")
_COPULA = re.compile(r"\b(?:is|are|equals|est|sont|ist|es)\b(?:\s+equal\s+to\b)?|(?<!\w)[是为]")
_WORD = re.compile(r"(?<!\\)(?<![A-Za-z])[A-Za-zÀ-ÿ]{2,}")
_LABEL = re.compile(r"^[^\W\d_]{3,}(?: [^\W\d_]+){0,3}\s*:\s*(?=-?[\d$])")
_STATEMENT = re.compile(
    r"(?:so|thus|therefore|hence|then|we (?:get|have|find)|this gives)\b.*\d|[^\d]*[A-Za-z]\s"
    r"(?:is|are|equals|est|ist|sont|y a)\s-?[\d$]|[^\dA-Za-z]*[\u4e00-\u9fff][^\dA-Za-z]*\d",
    re.IGNORECASE,
)
"""Sentences about a value: "so we get 5", "x is 5", 共有5个."""
_MOST_WORDS = 6
_DENIED = re.compile(r"\b(?:not|cannot|never|\w+n[o'’]t)(?: be| equal(?: to)?)?[ $(\\]*$")
"""What is said before a value that is not the answer."""
_MOST_DENIED = 40
_CALCULATOR = re.compile(r"<<[^<>\n]{0,200}>>")
_NUMBER = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+(?:,\d+(?!\d))*)(?:\.\d+)?|\.\d+)"
_ATOM = (
    rf"(?:\\[A-Za-z]+(?:\[\d+\])?(?:\{{[^{{}}\n]{{0,80}}\}})*|{_NUMBER}[A-Za-z]?(?![A-Za-z])"
    r"|[A-Za-z](?![A-Za-z])|[(\[][^()\[\]\n]{1,80}[)\]]|\\\{[^{}\n]{1,80}\\\})"
    r"[²³]?(?:[\^_](?:\{[^{}\n]{0,80}\}|-?\w))*"
)
_OPERATOR = r"(?:\s*(?:[-+*/=<>≤≥≠×·]|\\(?:cdot|times|leq?|geq?|neq?|pm|in|cup)(?![a-z])){1,3}\s*)"
_RUN = re.compile(
    rf"(?<![A-Za-z0-9_\\])-?{_ATOM}(?:(?:{_OPERATOR}|(?=\\(?!\(|\)|\[|\]))){_ATOM}){{0,60}}"
)


def announced(text: str) -> str | None:
    """The answer that the last announcement with an answer in it announces."""
    if text.isascii() and not _has_one_of(_ASCII_WORDS, text.lower()):
        return None
    places = sorted({found.end() for found in (*_PHRASE.finditer(text), *_HEADING.finditer(text))})
    for place in reversed(places[-_ANNOUNCEMENTS:]):
        if said := _announced_at(text, place):
            return said
    return None


def _has_one_of(words: Sequence[str], text: str) -> bool:
    return any(word in text for word in words)


def concluded(text: str) -> str | None:
    """The last formula, or run of numbers and operators, of the last line."""
    text = text.rstrip()
    last = text[text.rfind("\n") + 1 :]
    if block := _last_block(text):
        return block
    formula = None
    for found in _FORMULAS.finditer(last):
        formula = found
    if formula and not _last_run(last[formula.end() :]):
        return None if _is_denied(last, formula.start()) else formula[0].strip()
    return _last_run(_CALCULATOR.sub("", last))


def is_prose(line: str) -> bool:
    """Whether a line talks about a formula or value in it, rather than being one with its unit."""
    if _LABEL.match(line) or _STATEMENT.match(line):
        return True
    formula = _FORMULA.search(line)
    return formula is not None and bool(_WORD.search(line[: formula.start()]))


def _announced_at(text: str, place: int) -> str | None:
    rest = text[place : place + _SAID]
    if (block := _BLOCK.match(rest)) and (said := _of_block(block)):
        return said
    lines = rest.split("\n")
    if not lines[0].strip(" *:"):
        lines = [line for line in lines[1:] if line.strip(" *:")][:1] or [""]
    return _of_sentence(lines[0].strip().removeprefix("**").lstrip(": "))


def _of_block(block: re.Match[str]) -> str | None:
    """What a display, or a fence, holds; of an alignment, the last row."""
    if block["rows"] is not None:
        rows = [row for row in block["rows"].split(r"\\") if row.strip()]
        return rows[-1].replace("&", "").strip().removeprefix("=").strip() if rows else None
    content = block["dollars"] or block["brackets"] or block["fence"] or ""
    return content.strip().rstrip(".,;").strip() or None


def _of_sentence(said: str) -> str | None:
    said = _SENTENCE_END.split(said)[0]
    said = _FULL_STOP.split(said)[0].strip().strip("*").strip()
    while filler := _FILLER.match(said):
        said = said[filler.end() :]
    if not said:
        return None
    if len(_WORD.findall(_FORMULA.sub(" ", said))) < 3:
        whole = _FORMULA.match(said)
        only = whole is not None and "$" not in said[whole.end() :] and "\\(" not in said[1:]
        return _bare(whole[0]) if whole and only else said
    return _of_whole_sentence(said)


def _of_whole_sentence(said: str) -> str | None:
    """Of "the largest n is 34" what is said of it; of other sentences, the only value in it."""
    copulas = list(_COPULA.finditer(_FORMULA.sub(lambda f: "#" * len(f[0]), said)))
    if copulas:
        rest = said[copulas[-1].end() :].strip()
        if rest and rest != said:
            return _of_sentence(rest)
    formulas = _FORMULA.findall(said)
    runs = [run for run in _RUN.findall(_FORMULA.sub(" ", said)) if _has_value(run)]
    if len(formulas) + len(runs) == 1:
        starts = said.startswith(tuple(formulas + runs))
        return said if starts else _bare((formulas or runs)[0])
    return said if len(_WORD.findall(said)) <= _MOST_WORDS else None


def _bare(formula: str) -> str:
    """A formula without its delimiters."""
    for opening in ("$$", "$", "\\(", "\\["):
        if formula.startswith(opening):
            return formula[len(opening) : -len(opening)].strip()
    return formula


def _last_block(text: str) -> str | None:
    """A display in which the text ends."""
    start = max(text.rfind("$$", 0, -2), text.rfind("\\["), text.rfind("\\begin{align"))
    if start < 0:
        return None
    block = _BLOCK.match(text, start)
    ends = block is not None and not text[block.end() :].strip(" .\n")
    return _of_block(block) if block and ends else None


def _last_run(line: str) -> str | None:
    last = None
    for run in _RUN.finditer(line):
        last = run if _has_value(run[0]) else last
    if last is None or _is_denied(line, last.start()):
        return None
    calculation = not re.search(r"[A-Za-z<>≤≥≠]", last[0])
    return (last[0].rpartition("=")[2] if calculation else last[0]).strip()


def _is_denied(line: str, place: int) -> bool:
    """Whether the value at this place is said not to be the answer."""
    return bool(_DENIED.search(line[max(0, place - _MOST_DENIED) : place]))


def _has_value(run: str) -> bool:
    return any(character.isdigit() for character in run)
