"""`tts-bench compare`: two runs on the problems that both have attempted."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tts_bench.commands.echo import echo


@click.command(
    epilog="""\b
Examples:
  tts-bench compare results/a/latest results/b/latest
  tts-bench compare results/a/latest results/a/latest --a best_of_n@16 --b greedy --flips"""
)
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--a", "a_point", metavar="STRATEGY@N", help="Compare only this point of RUN_A.")
@click.option("--b", "b_point", metavar="STRATEGY@N", help="... with this point of RUN_B.")
@click.option("--flips", is_flag=True, help="List the problems on which the runs differ.")
@click.option("--texts", type=click.Path(path_type=Path), help="Write both texts of those there.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="[[a/|b/]SIDE:]KEY=$,...",
    help="Price in place of a suite's: input=2.5,output=10, b/verifier:gpu_hour=2 (repeatable).",
)
@click.option("--force", is_flag=True, help="Compare although the data sets differ in content.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def compare(
    run_a: Path,
    run_b: Path,
    *,
    a_point: str | None,
    b_point: str | None,
    flips: bool,
    texts: Path | None,
    prices: tuple[str, ...],
    force: bool,
    as_json: bool,
    debug: bool,
) -> int:
    """Compare RUN_A with RUN_B, paired by problem: accuracy, tokens, FLOPs, seconds, dollars."""
    from tts_bench.report.compare import text
    from tts_bench.report.compare.flips import write_flips
    from tts_bench.report.compare.paired import compare as compare_runs
    from tts_bench.report.points.given_prices import GivenPrices
    from tts_bench.report.points.point import read_points
    from tts_bench.store.runs import resolve_run

    given = GivenPrices.parse(prices)
    given.check_runs(["a", "b"])
    runs = {"a": resolve_run(run_a), "b": resolve_run(run_b)}
    a, b = (read_points(run, given.of(name)) for name, run in runs.items())
    comparison = compare_runs(a, b, a_point=a_point, b_point=b_point, force=force)
    if as_json:
        echo(json.dumps(text.as_json(comparison), indent=2))
    else:
        echo(f"A         {a.run.folder}\nB         {b.run.folder}")
        echo(text.terminal(comparison))
    if flips and not as_json:
        for pair in comparison.pairs:
            echo(f"\n{pair.a.full_name}\n{text.flips(pair)}")
    if texts is not None:
        write_flips(texts, a, b, comparison)
        echo(f"wrote     {texts}", err=as_json)
    return 0
