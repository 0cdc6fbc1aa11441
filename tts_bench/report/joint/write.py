"""Writes what several runs have to say together: figures, table and crossings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tts_bench.report.figures.save import Gallery
from tts_bench.report.figures.style import check_look
from tts_bench.report.joint.crossing import Crossing
from tts_bench.report.joint.crossing_text import crossings_csv, crossings_markdown
from tts_bench.report.joint.figure import plot_runs
from tts_bench.report.joint.lines import COSTS, CostAxis, Joint
from tts_bench.report.joint.table import joint_csv, joint_markdown
from tts_bench.store.files import new_folder, write_atomically


def write_joint(
    joint: Joint,
    crossings: Sequence[Crossing],
    folder: Path,
    *,
    cost: str = "flops",
    style: str = "default",
) -> list[Path]:
    """Write the files of several runs into a folder; returns the paths written.

    Frontier and crossings are those of `cost`, one of COSTS; the figures are of all of them that
    any run knows. Raises StoreError if a file cannot be written, UsageError for a style that
    there is not.
    """
    check_look(style)
    new_folder(folder)
    chosen = COSTS[cost]
    texts = {
        "table.md": joint_markdown(joint, chosen),
        "table.csv": joint_csv(joint, chosen),
    }
    written = [_write(folder / name, text) for name, text in texts.items()]
    if crossings:
        written += write_crossings(crossings, folder, chosen)
    gallery = Gallery(folder, style)
    for kind, axis in COSTS.items():
        gallery.hang(f"accuracy_vs_{kind}", partial(plot_runs, joint, axis))
    return written + gallery.written


def write_crossings(crossings: Sequence[Crossing], folder: Path, cost: CostAxis) -> list[Path]:
    """Write where curves cross, as Markdown and as CSV. Raises StoreError if it cannot."""
    return [
        _write(folder / "crossings.md", crossings_markdown(crossings, cost.name)),
        _write(folder / "crossings.csv", crossings_csv(crossings, cost.name)),
    ]


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text)
    return path
