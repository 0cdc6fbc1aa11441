"""Words of the user's in figures: names, settings and titles, whatever characters they hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.text import Text

MOST = 120
"""Characters of one name; more cannot be read in a figure."""
# Control and bidirectional signs, lone surrogates, and what a text file may not hold.
_UNSHOWN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff]"
    "|[\ud800-\udfff]"
)
_SPACES = re.compile(r"\s+")


def shown(text: str, most: int = MOST) -> str:
    r"""The text on one line of at most so many characters, without what no font draws.

    >>> shown("a\nb\x00 c")
    'a b c'
    >>> shown("abcdefghijklmnop", 9)
    'abcde…nop'
    """
    plain = _SPACES.sub(" ", _UNSHOWN.sub(" ", text)).strip()
    if len(plain) <= most:
        return plain
    # Settings often differ at their end alone.
    tail = (most - 1) * 2 // 5
    return f"{plain[: most - 1 - tail]}…{plain[len(plain) - tail :]}"


def fit(text: Text) -> None:
    """Shorten the longest lines of a text in a figure until it is as wide as the canvas allows."""
    figure = text.get_figure(root=True)
    assert figure is not None
    canvas = figure.bbox
    while (longest := max(map(len, text.get_text().split("\n")))) > 1:
        box = text.get_window_extent()
        if box.x0 >= canvas.x0 and box.x1 <= canvas.x1:
            return
        most = max(1, int(0.9 * longest))
        text.set_text("\n".join(shown(line, most) for line in text.get_text().split("\n")))
