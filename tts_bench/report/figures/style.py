"""Looks of figures by name: ours, matplotlib's, or a style sheet of the user's."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from tts_bench.errors import UnknownName, UsageError

TEXT = "#333333"
_BASE: dict[str, Any] = {
    "figure.figsize": (8.6, 5.0),
    "figure.dpi": 150,
    "savefig.dpi": "figure",
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}
_OWN: dict[str, dict[str, Any]] = {
    "default": {},
    # One column of a two-column page.
    "paper": {
        "figure.figsize": (3.3, 2.4),
        "figure.dpi": 300,
        "font.size": 7,
        "axes.linewidth": 0.6,
        "grid.linewidth": 0.5,
        "lines.linewidth": 1.0,
        "lines.markersize": 2.8,
        "xtick.labelsize": 6,
        "ytick.labelsize": 6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
    },
    # A page of 16 : 9, read from afar.
    "slides": {
        "figure.figsize": (12.0, 6.75),
        "figure.dpi": 120,
        "font.size": 16,
        "lines.linewidth": 2.8,
        "lines.markersize": 9,
        "xtick.labelsize": 14,
        "ytick.labelsize": 14,
    },
}
# Names hold underscores and dollar signs, which are no mathematics, and machines may lack LaTeX;
# equal figures must be equal files.
_FIXED: dict[str, Any] = {
    "text.usetex": False,
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "svg.hashsalt": "tts-bench",
}
_MORE_LETTERS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Zen Hei",
    "WenQuanYi Micro Hei",
    "Droid Sans Fallback",
    "PingFang SC",
    "Hiragino Sans",
    "Apple SD Gothic Neo",
    "Microsoft YaHei",
    "Malgun Gothic",
    "SimHei",
    "Noto Emoji",
    "Segoe UI Emoji",
    "Symbola",
)
"""Fonts that are asked, where a machine has them, for letters that the look's own font lacks."""
_CHOSEN: ContextVar[bool] = ContextVar("tts_bench_look", default=False)


@contextmanager
def look(name: str = "default") -> Iterator[None]:
    """Draw and save figures within it in a look, whatever matplotlibrc says.

    `name` is one of ours (`default`, `paper`, `slides`), one of matplotlib's, or the path of a
    style sheet (`.mplstyle`); what the latter two leave open is as in `default`. Colours and
    markers of strategies stay what they are in any look. Raises UnknownName, with a suggestion,
    and UsageError where a style sheet cannot be read.
    """
    import matplotlib
    import matplotlib.style as styles

    chosen = _settings(name)
    token = _CHOSEN.set(True)
    try:
        with styles.context(["default", _BASE, *chosen, _FIXED]):
            if is_dark():
                matplotlib.rcParams["grid.alpha"] = 0.25
            family = matplotlib.rcParams["font.family"]
            matplotlib.rcParams["font.family"] = [*family, *_more_letters()]
            # What no font has is drawn as a box; a line for each letter would help nobody.
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Glyph .* missing from")
                yield
    finally:
        _CHOSEN.reset(token)


@contextmanager
def some_look() -> Iterator[None]:
    """The look that is chosen already, else the default one."""
    if _CHOSEN.get():
        yield
    else:
        with look():
            yield


@cache
def _more_letters() -> list[str]:
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    return [name for name in _MORE_LETTERS if name in installed]


def is_dark() -> bool:
    """Whether the chosen look has light text on a dark page."""
    import matplotlib
    from matplotlib.colors import to_rgb

    return sum(to_rgb(matplotlib.rcParams["axes.facecolor"])) < 1.2


def check_look(name: str) -> None:
    """Raise what `look` would raise for this name."""
    _settings(name)


def _settings(name: str) -> list[Any]:
    if name in _OWN:
        return [_OWN[name]]
    import matplotlib.style as styles

    if name in styles.available:
        return [name]
    path = Path(name)
    if path.suffix != ".mplstyle":
        # matplotlib takes any text for a style sheet, and only warns of lines that it cannot use.
        if path.is_file():
            raise UsageError(f"--style {path}: not an .mplstyle file")
        hint = " The path of an .mplstyle file does, too."
        raise UnknownName("style", name, [*_OWN, *styles.available], hint)
    return [_read_sheet(path)]


def _read_sheet(path: Path) -> Any:
    import matplotlib

    try:
        return matplotlib.rc_params_from_file(path, use_default_template=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"--style {path}: {reason}") from error
