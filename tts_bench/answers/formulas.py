r"""The value of a LaTeX formula as a string: equal formulas have equal forms.

math-verify parses and sympy evaluates. A constant is an exact rational where it is one, else
its first 20 digits. An expression in variables is its values at three fixed points (two
rational functions that agree there, at points with a prime denominator near 10^6, agree
everywhere but by an accident of that order). An equation stands for all its multiples.

Calls may be slow, or hang, on evil input such as a tower of powers.
"""

from __future__ import annotations

import logging
import re
import zlib
from fractions import Fraction
from functools import lru_cache
from typing import Any

from tts_bench.answers.notation import plain

_DIGITS = 20
_PRIME = 999_983
_FLIPPED = {">": "<", ">=": "<="}


@lru_cache(maxsize=4096)
def form(latex: str) -> str:
    """The canonical form of a formula; a string without spaces where it cannot be parsed."""
    try:
        found = _form(_parse(latex))
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, RecursionError,
            TypeError, ValueError):  # fmt: skip
        found = None
    return found or plain(latex)


def is_value(latex: str) -> bool:
    """Whether the formula was understood as a number or an expression."""
    return bool(re.match(r"≈|-?\d+(/\d+)?$", form(latex)))


def constant(latex: str) -> Fraction | None:
    """The value of a real constant to 20 digits; None for everything else."""
    text = form(latex).removeprefix("≈")
    return Fraction(text) if re.fullmatch(r"-?[\d./]+(e[+-]?\d+)?", text) else None


def agree(reference: str, answer: str) -> bool:
    """Whether math-verify takes the answer for the reference."""
    import math_verify

    first, second = _parse_all(reference), _parse_all(answer)
    if not (first and second):
        return False
    return bool(
        math_verify.verify(first, second, timeout_seconds=None, allow_set_relation_comp=True)
    )


def warm_up() -> None:
    """Import and build what the first formula would wait for."""
    form(r"\frac{\sqrt{3}}{2}")


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
        return _constant_form(values[0])
    return "≈" + ";".join(map(_text, values))


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


def _constant_form(value: Any) -> str:
    """An exact rational where the digits leave no doubt that it is one."""
    if value.is_Rational:
        return str(value)
    text = _text(value)
    if "i" in text:
        return "≈" + text
    near = Fraction(text).limit_denominator(1000)
    if abs(Fraction(text) - near) <= abs(near) * Fraction(1, 10 ** (_DIGITS - 2)):
        return str(near)
    return "≈" + text


def _text(value: Any) -> str:
    """Twenty digits of a real or complex number; what is nothing but rounding counts as 0."""

    def digits(part: Any) -> str:
        if abs(part) < Fraction(1, 10**30):
            return "0"
        mantissa, _, exponent = str(part.evalf(_DIGITS)).partition("e")
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
