"""Figures as files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from tts_bench.report.figures.style import some_look
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
    for kind, metadata in FORMATS.items():
        image = io.BytesIO()
        with some_look():
            figure.savefig(image, format=kind, metadata=metadata)
        base = path.with_suffix("") if path.suffix[1:] in FORMATS else path
        written.append(base.with_name(f"{base.name}.{kind}"))
        write_atomically(written[-1], image.getvalue())
    return written
