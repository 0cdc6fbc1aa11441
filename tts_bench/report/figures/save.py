"""Figures as files."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tts_bench.errors import TtsBenchError
from tts_bench.progress import Progress
from tts_bench.report.figures.style import look, some_look
from tts_bench.report.figures.words import shown
from tts_bench.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS: dict[str, dict[str, None]] = {
    # Without the library's version or a date in it, equal figures are equal files.
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
}
"""Suffixes of the files of a figure, with the metadata that are left out."""


def save_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and as SVG, each in one step; equal figures give equal files.

    The path's own suffix is replaced if it is one of these. Returns the paths written. Raises
    StoreError if the disk refuses.
    """
    written = []
    for kind in FORMATS:
        base = path.with_suffix("") if path.suffix[1:] in FORMATS else path
        written.append(base.with_name(f"{base.name}.{kind}"))
        write_atomically(written[-1], image_of(figure, kind))
    return written


def image_of(figure: Figure, kind: str) -> bytes:
    """The content of a file of this kind, one of FORMATS."""
    image = io.BytesIO()
    with some_look():
        figure.savefig(image, format=kind, metadata=FORMATS[kind])
    return image.getvalue()


@dataclass
class Gallery:
    """The figures of one folder in one look; one that cannot be drawn costs only itself."""

    folder: Path
    style: str = "default"
    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """A line for each figure that could not be drawn; each was said on standard error, too."""

    def hang(self, name: str, draw: Callable[[], Figure | None]) -> None:
        """Draw a figure and write its files; where there is none, remove those of an earlier one.

        Raises StoreError if the disk refuses, UsageError for an unknown style.
        """
        with look(self.style):
            try:
                figure = draw()
                paths = save_figure(figure, self.folder / name) if figure is not None else []
            except TtsBenchError:
                raise
            # Whatever a plotting library does not like about a figure, tables and page are right.
            except Exception as error:
                reason = shown(f"{type(error).__name__}: {error}", 200)
                self.failures.append(f"no figure {name}: it could not be drawn ({reason})")
                Progress("plain").say(f"warning: {self.failures[-1]}")
                paths = []
        self.written += paths
        for kind in () if paths else FORMATS:
            (self.folder / f"{name}.{kind}").unlink(missing_ok=True)
