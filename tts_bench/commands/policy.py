"""`tts-bench policy`: which strategy pays at which difficulty and budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError

if TYPE_CHECKING:
    from tts_bench.report.points.scope import Scope
    from tts_bench.report.policy.optimal import Optimal

_KINDS = (".txt", ".json", ".png", ".svg")


@click.command(
    epilog="""\b
Examples:
  tts-bench policy results/ladder/latest --by level
  tts-bench policy results/ladder/latest --by oracle --output bound.png --output bound.json
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
@click.option(
    "--output",
    "outputs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write there: the table (.txt), the numbers (.json) or the figure (.png, .svg).",
)
@click.option("--write", type=click.Path(path_type=Path), help="Write a policy that a suite runs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def policy(
    run_folder: Path,
    *,
    by: str,
    probe: int,
    baseline: str,
    outputs: tuple[Path, ...],
    write: Path | None,
    as_json: bool,
    debug: bool,
) -> int:
    """Find the best strategy of RUN_FOLDER for each difficulty and budget, cross-fitted.

    Prints what it finds, and writes nothing but the files of --output and --write.
    """
    from tts_bench.report.points.point import read_points
    from tts_bench.report.policy import difficulty, optimal, text
    from tts_bench.store.files import write_atomically
    from tts_bench.store.runs import resolve_run

    if probe < 1:
        raise UsageError(f"--probe {probe}: must be at least 1")
    for path in outputs:
        if path.suffix not in _KINDS:
            raise UsageError(f"--output {path}: must end in {', '.join(_KINDS)}")
    run = read_points(resolve_run(run_folder))
    bins = {
        "level": lambda: difficulty.by_level(run),
        "oracle": lambda: difficulty.by_oracle(run),
        "predicted": lambda: difficulty.by_prediction(run, probe),
    }[by]()
    found = optimal.compute_optimal(run.points, bins, baseline)
    # All before anything is written: there may be nothing to write for a suite.
    files = {path: _content(found, run.scope, path.suffix) for path in outputs}
    if write is not None:
        files[write] = _suite_policy(found, run.scope, write)
    echo(_content(found, run.scope, ".json") if as_json else text.terminal(found))
    for path, content in files.items():
        write_atomically(path, content)
        echo(f"wrote     {path}", err=as_json)
    return 0


def _content(found: Optimal, scope: Scope, kind: str) -> str | bytes:
    """What a file with this suffix holds."""
    from tts_bench.report.figures.save import image_of
    from tts_bench.report.figures.style import look
    from tts_bench.report.policy import optimal, text

    if kind == ".json":
        return json.dumps(optimal.as_json(found), indent=2) + "\n"
    if kind == ".txt":
        return text.terminal(found) + "\n"
    title = f"{scope.suite}: compute-optimal by {found.difficulty.by}"
    with look():
        drawn = text.figure(found, title, f"{scope.extent} · bands: 95 % confidence intervals")
        return image_of(drawn, kind.removeprefix("."))


def _suite_policy(found: Optimal, scope: Scope, path: Path) -> str:
    import yaml

    from tts_bench.report.policy import text

    try:
        content = text.policy_file(found, f"{scope.suite}/{scope.run}")
    except ValueError as error:
        raise UsageError(f"--write {path}: {error}") from None
    written: str = yaml.safe_dump(content, sort_keys=False)
    return written
