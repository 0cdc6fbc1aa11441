"""Unicode brought to the LaTeX that means the same: √3, x⁴, ¾, ≤, full-width forms."""

from __future__ import annotations

import re
import unicodedata

_MEANINGS = str.maketrans(
    {
        "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ",
        "÷": "/", "∕": "/", "⁄": "/", "∶": ":", "°": r"^\circ ", "π": r"\pi ", "∞": r"\infty ",
        "≤": r"\leq ", "⩽": r"\leq ", "≦": r"\leq ", "≥": r"\geq ", "⩾": r"\geq ", "≧": r"\geq ",
        "≠": r"\neq ", "≈": r"\approx ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ",
        "±": r"\pm ", "∓": r"\mp ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "∖": r"\setminus ",
        "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "θ": r"\theta ",
        "λ": r"\lambda ", "μ": r"\mu ", "ρ": r"\rho ", "σ": r"\sigma ", "φ": r"\phi ",
        "ω": r"\omega ", "∠": r"\angle ", "∑": r"\sum ", "∏": r"\prod ",
        "−": "-", "‐": "-", "‑": "-", "‒": "-", "–": "-", "—": "-", "﹣": "-",
        "。": ".", "、": ", ", "，": ", ", "「": "", "」": "", "【": "", "】": "",
        "€": "", "£": "", "¥": "", "￥": "", "\u200b": "", "\ufeff": "",
        "’": "'", "‘": "'", "“": '"', "”": '"',
    }
)  # fmt: skip
_UP, _DOWN = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣ⁽⁾", "₀₁₂₃₄₅₆₇₈₉₊₋ₙₓ₍₎"
_RUN = re.compile(f"[{_UP}]+|[{_DOWN}]+")
_LEVELS = str.maketrans(_UP + _DOWN, 2 * "0123456789+-nx()")
_VULGAR = re.compile("[¼-¾⅐-⅞]")
_ROOT = re.compile(r"([√∛])\s*(?:\{|(\d+(?:\.\d+)?|[A-Za-z])|(?=\())")


def to_latex(text: str) -> str:
    """The text with LaTeX, or ASCII, for every sign that has some."""
    if text.isascii():
        return text
    text = _RUN.sub(_level, text)
    text = _VULGAR.sub(_fraction, text)
    text = _ROOT.sub(_root, text)
    # After the signs above, of which compatible forms would lose the meaning (x² is not x2).
    return unicodedata.normalize("NFKC", text.translate(_MEANINGS))


def _level(run: re.Match[str]) -> str:
    mark = "^" if run[0][0] in _UP else "_"
    return f"{mark}{{{run[0].translate(_LEVELS)}}}"


def _fraction(sign: re.Match[str]) -> str:
    top, bottom = unicodedata.normalize("NFKC", sign[0]).split("\N{FRACTION SLASH}")
    return rf"\frac{{{top}}}{{{bottom}}}"


def _root(sign: re.Match[str]) -> str:
    root = r"\sqrt" if sign[1] == "√" else r"\sqrt[3]"
    if sign[2]:
        return f"{root}{{{sign[2]}}}"
    return root + ("{" if sign[0].endswith("{") else "")
