"""Which answers are equal, and the form under which an answer votes.

`canonical` gives that form and `equal` compares with a reference. `tts_bench.answers.tree` reads
what text alone can tell, `tts_bench.answers.formulas` evaluates the rest with math-verify and
sympy. The latter may be slow, or hang, on evil input: `tts_bench.answers.grader` runs it where it
can be killed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from tts_bench.answers import formulas
from tts_bench.answers.leaves import Based, Number, Word
from tts_bench.answers.notation import MAX_LENGTH, is_percent, plain, tidy
from tts_bench.answers.tree import Formula, Group, Matrix, Node, is_equation, read

_CHOICE = re.compile(
    r"^(?:\\text\s*\{\s*)?(?:\(([A-F])\)|([A-F])[.):](?=\s))[\s:}]+(?![\s}])([^,]+)$"
)
"""The letter of a choice before its value: `\\textbf{(B) } 12`."""
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+")
_CLEAR_COMMA = re.compile(r"-?(?:0,\d+|\d+,\d{2,})")


def canonical(answer: str) -> str:
    """The form under which an answer votes: equal answers have equal forms. Never raises.

    What cannot be parsed falls back to a string without spaces and case.
    """
    return _render(read(answer)) or plain(answer)


def canonical_quick(answer: str) -> str | None:
    """`canonical` where it needs no algebra (microseconds, no imports), else None."""
    node = read(answer)
    return None if needs_algebra(node) else _render(node) or plain(answer)


def equal(reference: str, answer: str) -> bool:
    """Whether the answer equals the reference. Never raises; it is not symmetric.

    More generous than equal canonical forms in a few ways: a decimal of six or more digits may
    round the reference and may have a comma, brackets around a list may be missing or too many,
    and math-verify decides between notations that this module does not bring to one form.
    """
    answer = _chosen(reference, answer)
    if tidy(reference) == tidy(answer):
        return True
    return (
        _equal(read(reference), read(answer))
        or _spelt_otherwise(reference, answer)
        or _same_equation(tidy(reference), tidy(answer))
    )


def equal_quick(reference: str, answer: str) -> bool | None:
    """`equal` where it needs no algebra, else None."""
    if reference == answer:
        return True
    answer = _chosen(reference, answer)
    first, second = read(reference), read(answer)
    if needs_algebra(first) or needs_algebra(second):
        return True if tidy(reference) == tidy(answer) else None
    return _equal(first, second) or _spelt_otherwise(reference, answer)


def needs_algebra(node: Node) -> bool:
    """Whether there is a formula anywhere in the tree."""
    if isinstance(node, Group):
        return any(map(needs_algebra, node.items))
    if isinstance(node, Matrix):
        return any(needs_algebra(cell) for row in node.rows for cell in row)
    return isinstance(node, Formula)


def _chosen(reference: str, answer: str) -> str:
    """Of an answer that gives a choice and its value, the one that the reference gives."""
    choice = _CHOICE.match(tidy(answer))
    if choice is None or _CHOICE.match(tidy(reference)):
        return answer
    letter, value = choice[1] or choice[2], choice[3]
    return letter if read(reference) == Word(letter.lower()) else value


def _spelt_otherwise(reference: str, answer: str) -> bool:
    """Whether a percentage is given by its value, or a decimal with a comma: 50%, 0.5 and 0,5."""
    first, second = read(reference), read(answer)
    if isinstance(first, Number) and isinstance(second, Number):
        signs = is_percent(reference), is_percent(answer)
        factor = Fraction(100) if signs[0] else Fraction(1, 100)
        return signs[0] != signs[1] and first.value == second.value * factor
    # In the reference `1,2` is rather a list: only what can hardly be one is read as a decimal.
    for text, pattern, other in (
        (tidy(answer), _DECIMAL_COMMA, first),
        (tidy(reference), _CLEAR_COMMA, second),
    ):
        if isinstance(other, Number) and other.places and pattern.fullmatch(text):
            return other.value == Fraction(text.replace(",", "."))
    return False


def _same_equation(reference: str, answer: str) -> bool:
    """Whether both are one equation, though `y = 2x + 3` is read as `2x + 3` elsewhere."""
    equations = all("=" in text and len(text) <= MAX_LENGTH for text in (reference, answer))
    return equations and formulas.form(reference) == formulas.form(answer)


def _render(node: Node) -> str:
    match node:
        case Number():
            return str(node.value)
        case Word():
            return node.text
        case Based():
            return f"{node.digits}_{node.base}"
        case Formula():
            return formulas.form(node.latex)
        case Matrix():
            return "[" + ";".join(",".join(map(_render, row)) for row in node.rows) + "]"
        case Group():
            items = [_render(item) for item in node.items]
            if node.ordered:
                return f"{node.opening}{','.join(items)}{node.closing}"
            items = sorted(set(items))
            braces = f"{{{','.join(items)}}}"
            return " ∪ ".join(items) if node.opening == "∪" else braces


def _equal(reference: Node, answer: Node) -> bool:
    if _render(reference) == _render(answer):
        return True
    if isinstance(reference, Matrix) and isinstance(answer, Matrix):
        return len(reference.rows) == len(answer.rows) and all(
            _in_order(*rows) for rows in zip(reference.rows, answer.rows, strict=True)
        )
    if isinstance(reference, Group) and isinstance(answer, Group):
        return _equal_groups(reference, answer)
    if _is_value(reference) and _is_value(answer):
        return _rounds(reference, answer) or _rounds(answer, reference)
    if not (needs_algebra(reference) or needs_algebra(answer)):
        return False
    pair = (reference, answer)
    if any(isinstance(node, Word | Based) for node in pair):
        return False
    # A value is no tuple, set or matrix; to let math-verify say so takes long.
    if any(map(_is_value, pair)) and any(isinstance(node, Group | Matrix) for node in pair):
        return False
    first, second = _latex(reference), _latex(answer)
    # A relation is no value: math-verify would compare its right side alone.
    if is_equation(first) != is_equation(second) and not _is_region(reference, answer):
        return False
    return formulas.agree(first, second)


def _is_region(reference: Node, answer: Node) -> bool:
    """Whether one of both is an interval or a union, the other an inequality."""
    pairs = (reference, answer), (answer, reference)
    return any(
        isinstance(one, Group)
        and isinstance(other, Formula)
        and re.search("[<>]|\\\\[lg]", other.latex)
        for one, other in pairs
    )


def _is_value(node: Node) -> bool:
    return isinstance(node, Number) or (isinstance(node, Formula) and formulas.is_value(node.latex))


def _rounds(decimal: Node, exact: Node) -> bool:
    """Whether a decimal of at least six significant digits rounds, or cuts off, a constant."""
    if not isinstance(decimal, Number) or decimal.places is None:
        return False
    if isinstance(exact, Number) and exact.places is not None:
        return False
    if not isinstance(exact, Number | Formula):
        return False
    value = exact.value if isinstance(exact, Number) else formulas.constant(exact.latex)
    unit = Fraction(1, 10**decimal.places)
    precise = abs(decimal.value) >= 10**5 * unit
    return precise and value is not None and abs(decimal.value - value) < unit


def _equal_groups(reference: Group, answer: Group) -> bool:
    """Brackets must match, but those around a list may be left out or added.

    Named values may be given without their names, in the order in which they were written.
    """
    if bool(reference.written) != bool(answer.written) and _in_order(
        reference.written or reference.items, answer.written or answer.items
    ):
        return True
    kinds = (reference.opening, reference.closing), (answer.opening, answer.closing)
    if kinds[0] == kinds[1] or kinds == (("(", ")"), ("", "")):
        match = _in_order if reference.ordered else _in_any_order
        return match(reference.items, answer.items)
    lists = (("", ""), ("{", "}"))
    enclosed = kinds[0] == ("", "") and kinds[1] in (("(", ")"), ("[", "]"))
    if enclosed or (kinds[0] in lists and kinds[1] in lists):
        return _in_any_order(reference.items, answer.items)
    return False


def _in_order(reference: Sequence[Node], answer: Sequence[Node]) -> bool:
    return len(reference) == len(answer) and all(map(_equal, reference, answer))


def _in_any_order(reference: Sequence[Node], answer: Sequence[Node]) -> bool:
    """Pairs up equal items; duplicates count once."""
    wanted = list({_render(node): node for node in reference}.values())
    given = list({_render(node): node for node in answer}.values())
    for node in wanted:
        found = next((other for other in given if _equal(node, other)), None)
        if found is None:
            return False
        given.remove(found)
    return not given


def _latex(node: Node) -> str:
    """LaTeX that math-verify reads as this tree."""
    match node:
        case Formula():
            return node.latex
        case Number():
            return rf"\frac{{{node.value.numerator}}}{{{node.value.denominator}}}"
        case Word():
            return node.text.replace("∞", r"\infty")
        case Based():
            return f"{node.digits}_{{{node.base}}}"
        case Matrix():
            rows = (" & ".join(map(_latex, row)) for row in node.rows)
            return r"\begin{pmatrix}" + r" \\ ".join(rows) + r"\end{pmatrix}"
        case Group(opening="∪"):
            return r" \cup ".join(map(_latex, node.items))
        case Group():
            marks = {"{": r"\{", "}": r"\}", "": ""}
            opening = marks.get(node.opening, node.opening)
            closing = marks.get(node.closing, node.closing)
            return opening + ", ".join(map(_latex, node.items)) + closing
