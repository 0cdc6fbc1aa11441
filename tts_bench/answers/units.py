"""What stands behind a value and does not change it (units), and what does (words)."""

from __future__ import annotations

import re
from fractions import Fraction

_CHANGING = frozenset(
    re.findall(
        "[a-z]+",
        """
        all and are at base be between but cubed even except exclusive factorial fewer from
        greater half halves if inclusive is it least less mod modulo more most negative no
        nor not odd only or otherwise over plus minus positive prime quarter quarters real
        remainder sqrt squared than that third thirds through times to under unless until up
        was were when where which with without january february march april june july august
        september october november december
        """,
    )
)
"""Words that make another value, a range or a condition of what stands before them."""
_MAGNITUDES = {
    "dozen": 12, "hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9,
    "trillion": 10**12, "万": 10**4, "亿": 10**8,
}  # fmt: skip
_MAGNITUDE = re.compile(
    r"^(-?\d[\d,]*(?:\.\d+)?)\s*(?:\\text\{\s*)?(" + "|".join(_MAGNITUDES) + r")\b\s*\}?", re.I
)
_SHORT = (
    r"(?:[kcm]m|k?g|mg|ft|lbs?|yds?|mi|hrs?|oz|m[lL]|mph|in\.|sec|mins?|k[mg]/hr?|m/s|ft/s|cm/s)"
)
_VALUE = (
    r"-?(?:\d+\s*(?=\\frac))?(?:\\frac\{-?\d+\}\{\d+\}|[\d.,/]+)"
    r"(?:\s*\\(?:sqrt\{\d+\}|pi(?![a-z])))?"
)
_POWER = r"(?:\^\{?[23]\}?)?"
_WORDS = re.compile(
    rf"^({_VALUE})\s*(?:{_SHORT}|(?<=[\s}}])([A-Za-z]{{3,}}(?: [a-z]+)*)(?:/[a-z]+)?){_POWER}\.?$"
)
_METRES = re.compile(r"^(-?(?:\d[\d,]*\.\d+|[1-9]\d{0,2}(?:,\d{3})+))\s*m\^\{?[23]\}?$")
"""A decimal, or a number in groups of three: in `12m^2`, m is rather a variable."""
_COMMAND = re.compile(
    r"(?<=[\w})\]])(?:\s*(?:/|\\cdot|\\times)?\s*\\text\{(?!\s*[apAP]\.?\s?[mM]\b)([^{}]*)\}"
    r"(?:\^\{?-?\d\}?)?)+$"
)
_CHINESE = re.compile(rf"^({_VALUE})\s*([\u4e00-\u9fff]{{1,4}})$")
_CHINESE_CHANGING = re.compile("[以或和与及倍分之万亿千百十半多少上下余成折奇偶]")
_PERCENT = re.compile(r"(?<![A-Za-z])\s*(?:\\?%|(?:\\text\{\s*)?per\s?cent\s*\}?)$")
_DEGREES = re.compile(r"\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree)\s*(?:C|F)?$")
_ANGLE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:\^\s*(?:\\circ|\{\s*\\circ\s*\})|\\degree)")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)")


def is_percentage(text: str) -> bool:
    """Whether a text in LaTeX is a percentage."""
    return bool(_PERCENT.search(text.rstrip(" .")))


def without_units(text: str) -> str:
    """A text in LaTeX without its unit, per cent or degree sign; magnitudes are multiplied out.

    Words that change a value (`5 or more`) and words behind something that holds no number
    (`n is odd`) stay.
    """
    text = _PERCENT.sub("", text)
    text = _multiplied(text)
    text = _without_command(text).strip()
    if _TRIGONOMETRY.search(text):
        return _ANGLE.sub(r"(\1\\cdot\\frac{\\pi}{180})", text)
    text = _DEGREES.sub("", text)
    if (words := _WORDS.match(text)) and not _change(words[2] or ""):
        return words[1].strip()
    if metres := _METRES.match(text):
        return metres[1]
    if (counted := _CHINESE.match(text)) and not _CHINESE_CHANGING.search(counted[2]):
        return counted[1].strip()
    return text


def _without_command(text: str) -> str:
    r"""Without `\text{...}` at the end that is a unit of a value."""
    unit = _COMMAND.search(text)
    if unit is None or not re.search(r"\d|\\pi", text[: unit.start()]):
        return text
    return text if _change(re.sub(r"\\text", "", unit[0])) else text[: unit.start()]


def _change(words: str) -> bool:
    """Whether words change the value before them."""
    return not _CHANGING.isdisjoint(re.findall(r"[a-z]+", words.lower()))


def _multiplied(text: str) -> str:
    """`2.5 million` as 2500000."""
    if not (found := _MAGNITUDE.match(text)):
        return text
    value = Fraction(found[1].replace(",", "")) * _MAGNITUDES[found[2].lower()]
    return f"{value}{text[found.end() :]}" if value.denominator == 1 else text
