"""`tts-bench label`: step labels for training process reward models."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError

if TYPE_CHECKING:
    from tts_bench.labelling.base import Labeller
    from tts_bench.labelling.job import LabellingJob
    from tts_bench.suite.load import Suite

_EXIT_FAILED, _EXIT_INTERRUPTED = 1, 130
_PATH = click.Path(path_type=Path)


@click.group(
    epilog="""\b
Examples:
  tts-bench label mc suites/math500.yaml --solutions results/math500/latest -k 8 --output mc.jsonl
  tts-bench label omega suites/math500.yaml --solutions solutions.jsonl --output omega.jsonl
  tts-bench label judge judge.yaml --solutions solutions.jsonl --output judge.jsonl
  tts-bench label consensus mc.jsonl judge.jsonl --output labels.jsonl

The same command again continues where labelling was stopped."""
)
def label() -> None:
    """Label the steps of solutions as right or wrong."""


def _job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of every command that labels."""
    options = [
        click.argument("suite"),
        click.option(
            "--solutions", required=True, type=_PATH, help="A file of solutions, or a run's folder."
        ),
        click.option("--output", required=True, type=_PATH, help="Label file, .jsonl."),
        click.option(
            "--delimiter",
            default="\\n\\n",
            show_default=True,
            help=r"Ends a step; \n is a newline.",
        ),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="ROLE=NAME",
            help="The file's column for id, problem, reference, solution, steps or finish_reason.",
        ),
        click.option(
            "--where", multiple=True, metavar="COLUMN=VALUE", help="Only such rows (repeatable)."
        ),
        click.option("--limit", "-L", type=int, help="Only the first N solutions."),
        click.option("--set", "sets", multiple=True, metavar="A.B=YAML", help="Set any suite key."),
        click.option("--model", help="Set engine.model: a hub id or a folder."),
        click.option("--concurrency", type=int, help="Solutions in flight at once."),
        click.option(
            "--output-path",
            "-o",
            type=_PATH,
            default="results",
            show_default=True,
            help="Where the generation store is that runs and labels share.",
        ),
        click.option("--include-path", multiple=True, type=_PATH, help="A folder with plug-ins."),
        click.option(
            "--dry-run", is_flag=True, allow_from_autoenv=False, help="Say the cost, run nothing."
        ),
        click.option(
            "--display", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto"
        ),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


_THRESHOLD = click.option(
    "--threshold",
    default=0.0,
    show_default=True,
    help="A step is right if more than this share of its rollouts is.",
)


@label.command()
@_job_options
@click.option("--rollouts", "-k", default=8, show_default=True, help="Completions behind a step.")
@_THRESHOLD
def mc(rollouts: int, threshold: float, **options: Any) -> int:
    """Monte Carlo: complete every prefix of the SOLUTIONS with SUITE's policy (Math-Shepherd)."""
    from tts_bench.labelling.rollouts import MonteCarlo

    return _label(MonteCarlo(rollouts, threshold), options)


@label.command()
@_job_options
@click.option("--rollouts", "-k", default=8, show_default=True, help="Completions at a probe.")
@_THRESHOLD
def omega(rollouts: int, threshold: float, **options: Any) -> int:
    """Find the first wrong step by binary search over prefixes (OmegaPRM)."""
    from tts_bench.labelling.rollouts import BinarySearch

    return _label(BinarySearch(rollouts, threshold), options)


@label.command()
@_job_options
@click.option("--tries", default=3, show_default=True, help="Replies until one has a verdict.")
@click.option(
    "--template", type=click.Path(path_type=Path, exists=True), help="Own text for the judge."
)
def judge(tries: int, template: Path | None, **options: Any) -> int:
    """Ask SUITE's model for the first wrong step of each solution."""
    from tts_bench.dataset.rows import read_text
    from tts_bench.labelling.judge import TEMPLATE, Judge

    text = read_text(str(template)) if template else TEMPLATE
    return _label(Judge(text, tries), options)


@label.command()
@click.argument("first", type=_PATH)
@click.argument("second", type=_PATH)
@click.option("--output", required=True, type=_PATH, help="Label file, .jsonl.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def consensus(first: Path, second: Path, output: Path, debug: bool) -> int:
    """Keep the solutions on whose first wrong step FIRST and SECOND agree."""
    from tts_bench.labelling import agreement, summary
    from tts_bench.labelling.label_file import read_labels, write_labels

    if output.exists():
        raise UsageError(f"{output} exists: choose another --output")
    a, b = read_labels(first), read_labels(second)
    kept = agreement.consensus(a, b)
    for line in summary.agreement_lines(agreement.compare(a, b)):
        echo(line)
    write_labels(output, kept)
    echo(f"wrote     {output} ({len(kept):,} of {len(a):,} kept)")
    return 0


@label.command()
@click.argument("first", type=_PATH)
@click.argument("second", type=_PATH)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def compare(first: Path, second: Path, debug: bool) -> int:
    """Say how far the labels of FIRST agree with those of SECOND."""
    from tts_bench.labelling import agreement, summary
    from tts_bench.labelling.label_file import read_labels

    for line in summary.agreement_lines(agreement.compare(read_labels(first), read_labels(second))):
        echo(line)
    return 0


def _label(labeller: Labeller, options: Mapping[str, Any]) -> int:
    from tts_bench.dataset.columns import parse_columns
    from tts_bench.labelling import summary
    from tts_bench.labelling.job import LabellingJob
    from tts_bench.labelling.solutions import Solutions
    from tts_bench.labelling.trace import distinct
    from tts_bench.store.generations import GENERATIONS

    suite = _suite(options)
    solutions = Solutions(
        path=options["solutions"],
        dataset=suite.dataset,
        columns=parse_columns(options["columns"], "--column"),
        delimiter=options["delimiter"].replace("\\n", "\n").replace("\\t", "\t"),
        needs_reference=labeller.needs_reference,
        where=options["where"],
    )
    found = distinct(solutions.read(options["limit"]))
    for note in solutions.references.notes:
        echo(f"note: {note}", err=True)
    job = LabellingJob(
        suite=suite,
        labeller=labeller,
        traces=found.traces,
        source=str(options["solutions"]),
        delimiter=solutions.delimiter,
        output=options["output"],
        generations=options["output_path"] / GENERATIONS,
        argv=["tts-bench", *sys.argv[1:]],
    )
    for line in summary.announcement(job, found):
        echo(line)
    if options["dry_run"]:
        echo("nothing was run.")
        return 0
    return _execute(job, options["display"])


def _execute(job: LabellingJob, display: Any) -> int:
    from tts_bench.concurrency.signals import run_until_told
    from tts_bench.labelling import summary
    from tts_bench.labelling.job import execute
    from tts_bench.labelling.manifest import totals
    from tts_bench.progress import Progress

    try:
        result = run_until_told(lambda: execute(job, Progress(display, unit="solution")))
    except KeyboardInterrupt:
        echo("cancelled: the same command again continues", err=True)
        return _EXIT_INTERRUPTED
    sums = totals(result.rows)
    for line in summary.outcome(sums, result.generated_tokens):
        echo(line)
    for line in summary.warnings(sums):
        echo(f"warning: {line}", err=True)
    if result.rows:
        echo(f"wrote     {job.output}")
    if result.failed:
        echo(
            f"{result.failed} of {len(job.traces)} solutions failed and have no labels; "
            f"{job.output.stem}.errors.jsonl says why, and the same command tries them again",
            err=True,
        )
    return _EXIT_FAILED if result.failed else 0


def _suite(options: Mapping[str, Any]) -> Suite:
    from tts_bench.suite.load import find_suite, load_suite
    from tts_bench.suite.overrides import Overrides
    from tts_bench.suite.registry import Registry

    overrides = Overrides(
        sets=options["sets"], model=options["model"], concurrency=options["concurrency"]
    )
    return load_suite(find_suite(options["suite"]), Registry(options["include_path"]), overrides)
