"""`tts-bench gate`: red or green for continuous integration."""

from __future__ import annotations

from pathlib import Path

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError

EXIT_GATE = 3


@click.command(
    epilog="""\b
Examples:
  tts-bench gate results/ci/latest --write-baseline results/reference/ci/baseline.json
  tts-bench gate results/ci/latest --baseline baseline.json --exact
  tts-bench gate results/ci/latest --baseline baseline.json --margin 0.05 --junit gate.xml

Exit codes: 0 passed, 3 failed, 2 the gate cannot decide (too few problems, other data)."""
)
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option("--baseline", type=click.Path(path_type=Path), help="Baseline file or run folder.")
@click.option("--write-baseline", type=click.Path(path_type=Path), help="Make a baseline of RUN.")
@click.option("--exact", is_flag=True, help="Nothing may have moved: recorded generations.")
@click.option("--margin", type=float, help="Largest accepted drop of accuracy, as 0.05.")
@click.option("--max-tokens-rise", type=float, default=0.05, show_default=True)
@click.option("--max-flops-rise", type=float, default=0.05, show_default=True)
@click.option("--point", "points", multiple=True, help="Check only this point (repeatable).")
@click.option("--junit", type=click.Path(path_type=Path), help="Write JUnit XML there.")
@click.option("--markdown", type=click.Path(path_type=Path), help="Write a summary there.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def gate(
    run_folder: Path,
    *,
    baseline: Path | None,
    write_baseline: Path | None,
    exact: bool,
    margin: float | None,
    max_tokens_rise: float,
    max_flops_rise: float,
    points: tuple[str, ...],
    junit: Path | None,
    markdown: Path | None,
    debug: bool,
) -> int:
    """Hold RUN_FOLDER against a baseline; exit 3 if it is worse."""
    from tts_bench.report.gate import text as gate_text
    from tts_bench.report.gate.baseline import make_baseline, read_baseline
    from tts_bench.report.gate.baseline import write_baseline as write
    from tts_bench.report.gate.exact import gate_exactly
    from tts_bench.report.gate.verdict import Limits, gate_statistically
    from tts_bench.report.points.point import read_points
    from tts_bench.store.files import write_atomically
    from tts_bench.store.runs import resolve_run

    run = read_points(resolve_run(run_folder))
    if write_baseline is not None:
        write(write_baseline, make_baseline(run))
        if run.scope.limited:
            echo(f"warning: a baseline of a part: {run.scope.extent}", err=True)
        echo(f"wrote     {write_baseline}")
        return 0
    if baseline is None:
        raise UsageError("give --baseline FILE to check against, or --write-baseline FILE")
    if exact == (margin is not None):
        raise UsageError("give either --exact or --margin")
    held = read_baseline(baseline)
    if margin is None:
        verdict = gate_exactly(run, held)
    else:
        try:
            limits = Limits(margin, max_tokens_rise, max_flops_rise)
        except ValueError as error:
            raise UsageError(str(error)) from None
        verdict = gate_statistically(run, held, limits, points)
    echo(gate_text.terminal(verdict))
    for path, text in ((junit, gate_text.junit), (markdown, gate_text.markdown)):
        if path is not None:
            write_atomically(path, text(verdict))
            echo(f"wrote     {path}")
    return 0 if verdict.passed else EXIT_GATE
