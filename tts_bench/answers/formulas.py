r"""The value of a LaTeX formula as a string: equal formulas have equal forms.

math-verify parses and sympy evaluates. A constant is an exact rational where it is one, else
its first 20 digits. An expression in variables is its values at three fixed points (two
rational functions that agree there, at points with a prime denominator near 10^6, agree
everywhere but by an accident of that order). An equation stands for all its multiples.

Calls may be slow, or hang, on evil input such as a tower of powers.
"""

from __future__ import annotations

import hashlib
import logging
import re
import zlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tts_bench.answers.notation import plain

_DIGITS = 20
_PRIME = 999_983
_LONGEST = 2000
"""Digits that are looked at to tell a constant from a rational, and bits written in full."""
_CERTAIN_BITS = 20
"""sympy marks a number of which it found no digit by a precision of one bit."""
_WORDS = r"\text"
_IDLE_SPACE = re.compile(r"(?<![\w,;\\]) +| (?<![,;\\] )(?![\w ])")
"""Spaces that part no words and no numbers: the same formula is parsed once."""
_FLIPPED = {">": "<", ">=": "<="}


def form(latex: str) -> str:
    """The canonical form of a formula; a string without spaces where it cannot be parsed."""
    return _form_of(_IDLE_SPACE.sub("", latex))


@lru_cache(maxsize=4096)
def _form_of(latex: str) -> str:
    try:
        # Words within a formula would be dropped, or read as products of letters.
        found = None if _WORDS in latex else _form(_parse(latex))
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, RecursionError,
            TypeError, ValueError):  # fmt: skip
        found = None
    return found or plain(latex)


def is_value(latex: str) -> bool:
    """Whether the formula was understood as a number or an expression."""
    return bool(re.match(r"[≈#]|-?\d+(/\d+)?$", form(latex)))


def is_relation(latex: str) -> bool:
    """Whether the formula was understood as an equation or an inequality."""
    return form(latex).startswith(("==", "!=", "<"))


def constant(latex: str) -> Fraction | None:
    """The value of a real constant to 20 digits; None for everything else."""
    text = form(latex).removeprefix("≈")
    return Fraction(text) if re.fullmatch(r"-?[\d./]+(e[+-]?\d+)?", text) else None


def agree(reference: str, answer: str) -> bool:
    """Whether math-verify takes the answer for the reference.

    It is asked only about what has no form here that would decide.
    """
    import math_verify

    decided = [is_value(latex) or is_relation(latex) for latex in (reference, answer)]
    if all(decided) or _WORDS in reference or _WORDS in answer:
        return False
    first, second = _parse_all(reference), _parse_all(answer)
    if not (first and second):
        return False
    return bool(
        math_verify.verify(first, second, timeout_seconds=None, allow_set_relation_comp=True)
    )


def warm_up() -> None:
    """Import and build what the first formula would wait for."""
    form(r"\frac{\sqrt{3}}{2}")


@lru_cache(maxsize=1024)
def _parse_all(latex: str) -> list[Any]:
    """What math-verify reads, the whole formula enclosed so that nothing is picked from it.

    Its timeouts are off: they need SIGALRM, which works in a main thread only. Its removal of
    units is off as well: it takes the variable of `5t` for tonnes.
    """
    import math_verify
    from latex2sympy2_extended.math_normalization import NormalizationConfig

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    rules = NormalizationConfig(units=False, malformed_operators=True, nits=True, boxed="none")
    config = math_verify.LatexExtractionConfig(normalization_config=rules)
    parsed: list[Any] = math_verify.parse(
        f"${latex}$", [config], fallback_mode="no_fallback", parsing_timeout=None
    )
    return parsed


def _parse(latex: str) -> Any:
    parsed = _parse_all(latex)
    return parsed[0] if parsed else None


def _form(parsed: Any) -> str | None:
    import sympy
    from sympy.core.relational import Relational

    if isinstance(parsed, Relational):
        return _relation(parsed)
    if not isinstance(parsed, sympy.Expr):
        return None if parsed is None else re.sub(r"\s+", "", str(parsed))
    values = _values(parsed)
    if values is None:
        return None
    if len({_text(value) for value in values}) == 1:
        return _constant_form(parsed, values[0])
    return _lone_symbol(parsed, values) or "≈" + ";".join(map(_text, values))


def _lone_symbol(expression: Any, values: list[Any]) -> str | None:
    """The letter that an expression amounts to, as `x^2/x` does; it votes as that letter."""
    symbols = list(expression.free_symbols)
    if len(symbols) != 1 or not re.fullmatch("[A-Za-z]", symbols[0].name):
        return None
    points = [_point(symbols, k)[symbols[0]] for k in range(3)]
    same = all(_text(a) == _text(b) for a, b in zip(values, points, strict=True))
    return str(symbols[0].name).lower() if same else None


def _values(expression: Any) -> list[Any] | None:
    """Values at the three points, or one value for a constant; None where there is none."""
    import sympy

    exact = expression.replace(lambda e: e.is_Float, lambda e: sympy.Rational(str(e))).doit()
    imaginary = {s: sympy.I for s in exact.free_symbols if s.name == "i"}
    exact = exact.subs(imaginary)
    if exact.is_Rational:
        return [exact]
    symbols = sorted(exact.free_symbols, key=lambda symbol: str(symbol.name))
    points = range(3) if symbols else range(1)
    values = [exact.evalf(2 * _DIGITS, subs=_point(symbols, k), maxn=400) for k in points]
    usable = all(value.is_number and value.is_finite for value in values)
    return values if usable else None


def _point(symbols: list[Any], k: int) -> dict[Any, Any]:
    """The k-th point: inside (0, 1), (1, 2) or (-1, -1/2), fixed by the symbols' names."""
    import sympy

    places = {s: sympy.Rational(zlib.crc32(s.name.encode()) % _PRIME + 1, _PRIME) for s in symbols}
    return {s: (p, p * p + 1, -(p + 1) / 2)[k] for s, p in places.items()}


def _constant_form(expression: Any, value: Any) -> str:
    """An exact rational where the expression is one beyond doubt, else its digits."""
    if value.is_Rational:
        return _rational(int(value.p), int(value.q))
    text = _text(value)
    exponent = re.search(r"e([+-]?\d+)$", text)
    if "i" in text or (exponent and abs(int(exponent[1])) > _LONGEST):
        return "≈" + text
    near = Fraction(text).limit_denominator(1000)
    if abs(Fraction(text) - near) <= abs(near) * Fraction(1, 10 ** (_DIGITS - 2)):
        rest = _rest(expression, near)
        return f"≈{near}+{rest}" if rest else str(near)
    return "≈" + text


def _rest(expression: Any, near: Fraction) -> str | None:
    """What an expression is more than a rational, such as -e^{-100} of 1 - e^{-100} and 1."""
    import sympy

    rest = expression.doit() - sympy.Rational(near.numerator, near.denominator)
    text = _text(rest.evalf(_DIGITS, maxn=_LONGEST))
    exponent = re.search(r"e-(\d+)$", text)
    beyond = exponent and int(exponent[1]) > _LONGEST // 2
    return None if beyond or text == "0" else text


def _rational(top: int, bottom: int) -> str:
    """A fraction as text; of one with very many digits a digest, which takes linear time."""
    if max(top.bit_length(), bottom.bit_length()) <= _LONGEST:
        return str(Fraction(top, bottom))
    return "#" + hashlib.sha256(f"{top:x}/{bottom:x}".encode()).hexdigest()


def _text(value: Any) -> str:
    """Twenty digits of a real or complex number; what has no certain digit counts as 0."""

    def digits(part: Any) -> str:
        part = part.evalf(_DIGITS)
        if not part or part._prec < _CERTAIN_BITS:
            return "0"
        mantissa, _, exponent = str(part).partition("e")
        short = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{short}e{exponent}" if exponent else short

    real, imaginary = map(digits, value.as_real_imag())
    return real if imaginary == "0" else f"{real}+{imaginary}i"


def _relation(relation: Any) -> str | None:
    """Equations up to any factor, inequalities up to a positive one."""
    values = _values(relation.lhs - relation.rhs)
    if values is None or len(values) < 3 or _text(values[0]) == "0":
        return None
    operator = str(relation.rel_op)
    scale = values[0] if operator in ("==", "!=") else abs(values[0])
    if operator in _FLIPPED:
        operator, scale = _FLIPPED[operator], -scale
    return operator + ";".join(_text((value / scale).evalf(2 * _DIGITS)) for value in values)
