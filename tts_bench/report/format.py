"""Numbers as people read them: percentages, intervals and counts with SI prefixes."""

from __future__ import annotations

from tts_bench.cost.price import in_dollars
from tts_bench.stats.estimators import Estimate

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_NOTHING = "-"
_UNKNOWN = "\N{EN DASH}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1 in percent, without the sign.

    >>> percent(0.6125)
    '61.3'
    """
    return _NOTHING if share is None else f"{100 * share:.{digits}f}"


def interval(estimate: Estimate | None) -> str:
    """A share with its interval, in percent: `61.2 [58.9, 63.4]`."""
    if estimate is None:
        return _NOTHING
    low, high = percent(estimate.low), percent(estimate.high)
    return f"{percent(estimate.value)} [{low}, {high}]"


def signed_interval(estimate: Estimate | None) -> str:
    """A difference of shares with its interval, in points: `+9.2 [+6.1, +12.4]`."""
    if estimate is None:
        return _NOTHING
    value, low, high = (100 * part for part in (estimate.value, estimate.low, estimate.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def si(number: float | None, digits: int = 3) -> str:
    """Significant digits (at least as many as stand before the point) with an SI prefix.

    >>> si(21.26e12), si(612.0), si(0.0), si(2e13, digits=1)
    ('21.3T', '612', '0', '20T')
    """
    if number is None:
        return _NOTHING
    power = 0
    while abs(float(f"{number:.{digits}g}")) >= 1000 and power < len(_PREFIXES) - 1:
        number /= 1000
        power += 1
    whole = len(str(int(abs(float(f"{number:.{digits}g}")))))
    text = f"{number:.{max(0, digits - whole)}f}" if number else "0"
    return text + _PREFIXES[power]


def money(dollars: float | None) -> str:
    """Dollars, or a dash if they are not known."""
    return _NOTHING if dollars is None else in_dollars(dollars)


def count(number: float | None) -> str:
    """A count, rounded, in groups of three digits; an en dash if it is unknown.

    >>> count(612.4), count(159040.0)
    ('612', '159 040')
    """
    return _UNKNOWN if number is None else f"{number:,.0f}".replace(",", " ")


def clip(text: str, width: int) -> str:
    """The text, cut to `width` characters with an ellipsis if it is longer."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
