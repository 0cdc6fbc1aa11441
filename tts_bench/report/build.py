"""Writes the derived files of a run; `tts-bench report` does nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tts_bench.report.export.candidates import write_candidates
from tts_bench.report.export.kept import PAGE, TABLE, KnownTexts
from tts_bench.report.figures import curve_plots, group_plots
from tts_bench.report.figures.save import Gallery
from tts_bench.report.figures.style import check_look
from tts_bench.report.page.write import write_page
from tts_bench.report.points.content import Report, build_report
from tts_bench.report.tables.render import csv_table, markdown_table, terminal_table
from tts_bench.report.tables.summary import summary_text
from tts_bench.store.files import new_folder, write_atomically
from tts_bench.store.runs import RunStore
from tts_bench.store.stamp import stamp_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Report", "build_report", "write_report"]

TEXTS: dict[str, Callable[[Report], str]] = {
    "summary.json": summary_text,
    "table.md": markdown_table,
    "table.csv": csv_table,
}
_FIGURES: dict[str, Callable[[Report], Figure | None]] = {
    "accuracy_vs_flops": curve_plots.plot_accuracy_vs_flops,
    "accuracy_vs_tokens": curve_plots.plot_accuracy_vs_tokens,
    "accuracy_vs_dollars": curve_plots.plot_accuracy_vs_dollars,
    "coverage": curve_plots.plot_coverage,
    "by_level": group_plots.plot_by_level,
    "by_subject": group_plots.plot_by_subject,
}


def write_report(
    run: RunStore,
    report: Report | None = None,
    *,
    style: str = "default",
    folder: Path | None = None,
    say: Callable[[str], object] | None = None,
    inputs: str | None = None,
) -> list[Path]:
    """Write every derived file of a run beside its attempts; returns the paths written.

    Each file is replaced in one step. A figure that there is nothing to draw for is removed
    where an earlier report left one; one that cannot be drawn is a line on standard error and a
    note of the page. Pass the report if it has been built already, a style
    (see `looks.look`) for the figures, and another folder to leave the run's own as it is; the
    candidates' texts then stay if they are. Texts that cannot be read any more are kept from the
    earlier files; `say` is called with a line about them. With the `inputs` that the report was
    built from (see `store.stamp`), that of a run that is whole is stamped. Raises StoreError if
    the run has no attempt, or a file cannot be read or written, and UsageError for an unknown
    style.
    """
    check_look(style)
    report, beside = report or build_report(run), folder is None
    folder = new_folder(folder) if folder else run.folder
    written = []
    for name, render in TEXTS.items():
        write_atomically(folder / name, render(report))
        written.append(folder / name)
    gallery = draw_figures(report, folder, style)
    written += gallery.written
    noted = replace(report, notes=(*report.notes, *gallery.failures))
    with KnownTexts(run) as texts:
        write_page(run, noted, folder / PAGE, texts=texts)
        written.append(folder / PAGE)
        if beside and write_candidates(run, texts):
            written.append(folder / TABLE)
        note = texts.note()
    if note and say:
        say(note)
    if inputs and beside and report.whole and not note and not gallery.failures:
        stamp_report(run, inputs, written, terminal_table(report))
    return written


def draw_figures(report: Report, folder: Path, style: str = "default") -> Gallery:
    """Write the figures that there is something to draw for into a folder."""
    gallery = Gallery(folder, style)
    for name, draw in _FIGURES.items():
        gallery.hang(name, partial(draw, report))
    return gallery
