"""`tts-bench merge`: runs of one suite on different problems become one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tts_bench.commands.echo import echo

EXIT_LACKING = 1


@click.command(
    epilog="""\b
Examples:
  tts-bench run suites/math500.yaml --shard 1/2 -o part1        # on one machine
  tts-bench run suites/math500.yaml --shard 2/2 -o part2        # on another
  tts-bench merge part1/math500/latest part2/math500/latest -o whole"""
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output-path", "-o", type=click.Path(path_type=Path), default="results")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def merge(runs: tuple[Path, ...], output_path: Path, *, debug: bool) -> int:
    """Join RUNS of one suite: attempts, measurements, completions; exit 1 if some are missing.

    The same suite run on the output path goes on with what is missing.
    """
    from tts_bench.commands.report import report_run
    from tts_bench.concurrency.signals import run_until_told
    from tts_bench.run.merge import merge_runs
    from tts_bench.store.runs import resolve_run

    found = [resolve_run(run) for run in runs]
    argv = ["tts-bench", *sys.argv[1:]]
    merged = run_until_told(lambda: merge_runs(found, output_path, argv))
    report_run(merged.run)
    for what in merged.lacking:
        echo(f"missing   {what}", err=True)
    echo(f"wrote     {merged.run.folder}")
    return EXIT_LACKING if merged.lacking else 0
