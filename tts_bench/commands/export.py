"""`tts-bench export`: a run in the format of another tool."""

from __future__ import annotations

from pathlib import Path

import click

from tts_bench.commands.echo import echo


@click.command(
    epilog="""\b
Examples:
  tts-bench export results/math500/latest --format lm-eval
  tts-bench export results/math500/latest --format lm-eval --to samples/"""
)
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "to_format",
    type=click.Choice(["lm-eval"]),
    required=True,
    help="lm-eval: samples_*.jsonl as lm-evaluation-harness logs them, a file for each cell.",
)
@click.option("--to", type=click.Path(path_type=Path), help="Folder; else lm-eval/ in the run's.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def export(run_folder: Path, *, to_format: str, to: Path | None, debug: bool) -> int:
    """Write the attempts of RUN_FOLDER in another tool's format; needs no model."""
    from tts_bench.report.export.lm_eval import write_samples
    from tts_bench.store.runs import resolve_run

    for path in write_samples(resolve_run(run_folder), to):
        echo(f"wrote     {path}")
    return 0
