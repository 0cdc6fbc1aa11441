"""`tts-bench check`: what is damaged in a run, and what mends it."""

from __future__ import annotations

from pathlib import Path

import click

from tts_bench.commands.echo import echo

EXIT_DAMAGED = 1


@click.command(
    epilog="""\b
Examples:
  tts-bench check results/math500/latest"""
)
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def check(run_folder: Path, *, debug: bool) -> int:
    """Say what is damaged in RUN_FOLDER and how to mend it; exit 1 if anything is."""
    from tts_bench.report.check import check_run
    from tts_bench.store.runs import resolve_run

    run = resolve_run(run_folder)
    found = 0
    for finding in check_run(run):
        echo(f"damaged   {finding.what}\nremedy    {finding.remedy}")
        found += 1
    if not found:
        echo(f"ok        {run.folder}")
    return EXIT_DAMAGED if found else 0
