"""Writes the derived files of a run; `tts-bench report` does nothing else."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tts_bench.errors import StoreError
from tts_bench.report import plots
from tts_bench.report.candidates import FILE as CANDIDATES
from tts_bench.report.candidates import generations_of, write_candidates
from tts_bench.report.content import Report, build_report
from tts_bench.report.page.write import FILE as PAGE
from tts_bench.report.page.write import write_page
from tts_bench.report.summary import summary_text
from tts_bench.report.table import csv_table, markdown_table
from tts_bench.store import RunStore, write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "build_report", "write_report"]

_TEXTS: dict[str, Callable[[Report], str]] = {
    "summary.json": summary_text,
    "table.md": markdown_table,
    "table.csv": csv_table,
}
_FIGURES: dict[str, Callable[[Report], Figure | None]] = {
    "accuracy_vs_flops.png": plots.plot_accuracy_vs_flops,
    "accuracy_vs_tokens.png": plots.plot_accuracy_vs_tokens,
    "coverage.png": plots.plot_coverage,
    "by_level.png": plots.plot_by_level,
}


def write_report(run: RunStore, report: Report | None = None) -> list[Path]:
    """Write every derived file of a run beside its attempts; returns the paths written.

    Each file is replaced in one step. A figure that there is nothing to draw for is removed
    where an earlier report left one. Pass the report where it has been built already. Raises
    StoreError where the run has no attempt, or a file cannot be read or written.
    """
    report = report or build_report(run)
    written = []
    for name, render in _TEXTS.items():
        write_atomically(run.folder / name, render(report))
        written.append(run.folder / name)
    for name, draw in _FIGURES.items():
        figure, path = draw(report), run.folder / name
        if figure is None:
            path.unlink(missing_ok=True)
        else:
            save_figure(figure, path)
            written.append(path)
    write_page(run, report, run.folder / PAGE)
    written.append(run.folder / PAGE)
    if write_candidates(run, generations_of(run)):
        written.append(run.folder / CANDIDATES)
    return written


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG in one step; equal figures give equal files."""
    image = io.BytesIO()
    # Without the library's version in it, equal figures are equal files.
    figure.savefig(image, format="png", metadata={"Software": None})
    staged = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        staged.write_bytes(image.getvalue())
        os.replace(staged, path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise StoreError(f"{path}: {error.strerror}") from error
