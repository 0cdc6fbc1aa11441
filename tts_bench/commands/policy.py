"""`tts-bench policy`: which strategy pays at which difficulty and budget."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tts_bench.errors import UsageError


@click.command(
    epilog="""\b
Examples:
  tts-bench policy results/ladder/latest --by level
  tts-bench policy results/ladder/latest --by predicted --probe 4 --write policy.yaml

A suite runs the file with: strategy: policy, file: policy.yaml, budget: 1.0e+9"""
)
@click.argument("run_folder", type=click.Path(path_type=Path))
@click.option(
    "--by",
    type=click.Choice(["level", "oracle", "predicted"]),
    default="level",
    show_default=True,
    help="Bins: the data set's levels, quantiles of pass@1, or of a probe's verifier score.",
)
@click.option("--probe", default=4, show_default=True, help="Draws that predict difficulty.")
@click.option("--baseline", default="best_of_n", show_default=True, help="Strategy to save on.")
@click.option("--write", type=click.Path(path_type=Path), help="Write a policy that a suite runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def policy(
    run_folder: Path,
    *,
    by: str,
    probe: int,
    baseline: str,
    write: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Find the best strategy of RUN_FOLDER for each difficulty and budget, cross-fitted."""
    import yaml

    from tts_bench.report.figures.save import save_figure
    from tts_bench.report.points.point import read_points
    from tts_bench.report.policy import difficulty, optimal, text
    from tts_bench.store.files import write_atomically
    from tts_bench.store.runs import resolve_run

    run = read_points(resolve_run(run_folder))
    if probe < 1:
        raise UsageError(f"--probe {probe}: must be at least 1")
    bins = {
        "level": lambda: difficulty.by_level(run),
        "oracle": lambda: difficulty.by_oracle(run),
        "predicted": lambda: difficulty.by_prediction(run, probe),
    }[by]()
    found = optimal.compute_optimal(run.points, bins, baseline)
    name = f"compute_optimal_by_{by}"
    title = f"{run.scope.suite}: compute-optimal by {by}"
    drawn = text.figure(found, title, f"{run.scope.extent} · bands: 95 % confidence intervals")
    save_figure(drawn, run.run.folder / f"{name}.png")
    whole = json.dumps(optimal.as_json(found), indent=2) + "\n"
    write_atomically(run.run.folder / f"{name}.json", whole)
    click.echo(whole if as_json else text.terminal(found))
    for suffix in ("png", "json"):
        click.echo(f"wrote     {run.run.folder / name}.{suffix}", err=as_json)
    if write is not None:
        try:
            content = text.policy_file(found, f"{run.scope.suite}/{run.scope.run}")
        except ValueError as error:
            raise UsageError(f"--write {write}: {error}") from None
        write_atomically(write, yaml.safe_dump(content, sort_keys=False))
        click.echo(f"wrote     {write}", err=as_json)
    return 0
