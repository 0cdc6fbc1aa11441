"""`tts-bench verify`: how good a verifier is, on labelled steps or on a run's candidates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError

if TYPE_CHECKING:
    from tts_bench.dataset.ranked import RankedProblem
    from tts_bench.dataset.row import Row
    from tts_bench.dataset.step_labels import StepLabels
    from tts_bench.store.runs import RunStore
    from tts_bench.verifier_eval.measures import Choices
    from tts_bench.verifier_eval.output import EvaluationResult

EXIT_FAILED = 1


@click.command(
    epilog="""\b
Examples:
  tts-bench verify prm.yaml Qwen/ProcessBench --split gsm8k+math
  tts-bench verify prm.yaml labels.jsonl --threshold 0.5 --limit 200
  tts-bench verify orm.yaml results/math500/latest
  tts-bench verify recorded RewardMATH.json --right solution_reference=human_to_GPT-4

VERIFIER is a suite, or a file with nothing but its `verifier:` block, or the word `recorded` for
scores that stand in DATA. The same command again continues where it was stopped: scores are
stored."""
)
@click.argument("verifier")
@click.argument("data")
@click.option("--set", "sets", multiple=True, metavar="A.B=YAML", help="Set any key of VERIFIER.")
@click.option("--split", show_default="test", help="Split of a data set of the hub.")
@click.option("--config", help="Its configuration.")
@click.option("--revision", help="Its revision.")
@click.option("--column", "columns", multiple=True, metavar="ROLE=NAME", help="Name a column.")
@click.option(
    "--neutral",
    type=click.Choice(["positive", "negative", "ignore"]),
    show_default="positive",
    help="What PRM800K's rating 0 counts as.",
)
@click.option("--limit", "-L", type=click.IntRange(min=1), help="Only the first N.")
@click.option("--threshold", type=float, help="Step scores below it are errors.")
@click.option(
    "--fit-share",
    type=float,
    default=0.2,
    show_default=True,
    help="Share of the problems on which the threshold is fitted, where none is given.",
)
@click.option("--fit-on", metavar="PART", help="Fit it on this part of DATA, as on gsm8k.")
@click.option(
    "--right", metavar="COLUMN=VALUE", help="Which of several candidates is the right one."
)
@click.option("--drop", type=float, default=0.5, show_default=True, help="Of the drop rule.")
@click.option("--bins", type=int, default=10, show_default=True, help="Bins of the ECE.")
@click.option("--resamples", type=int, default=1000, show_default=True, help="Of the bootstrap.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of held-out part, bootstrap.")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--replay", is_flag=True, help="Use stored scores only; a miss is an error.")
@click.option("--display", type=click.Choice(["auto", "bar", "plain", "none"]), default="auto")
@click.option("--json", "as_json", is_flag=True, help="Print verify.json in place of the table.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def verify(verifier: str, data: str, **options: Any) -> int:
    """Evaluate VERIFIER on DATA: labelled steps, problems with one right candidate, or a run."""
    from tts_bench.verifier_eval.measures import Choices
    from tts_bench.verifier_eval.output import as_json, table, write
    from tts_bench.verifier_eval.recorded import NAME

    run = _run(data)
    chosen = ("threshold", "fit_share", "drop", "bins", "resamples", "seed")
    choices = Choices(**{name: options[name] for name in chosen}, fit_on=options["fit_on"] or "")
    _refuse_idle(data, run is not None, options)
    is_recorded = verifier == NAME and not Path(NAME).is_file()
    stem = NAME if is_recorded else Path(verifier).stem
    folder = options["output"] or Path("results") / "verify" / f"{stem}-{_stem(data, run)}"
    if is_recorded:
        result = _recorded(data, run, choices, options)
    else:
        result = _scored(verifier, data, run, choices, folder, options)
    written = write(result, folder)
    echo(as_json(result) if options["as_json"] else table(result))
    for file in written:
        echo(f"wrote {file}", err=options["as_json"])
    return EXIT_FAILED if result.failures else 0


def _recorded(
    data: str, run: RunStore | None, choices: Choices, options: dict[str, Any]
) -> EvaluationResult:
    """The figures of the scores that stand in the data."""
    from tts_bench.verifier_eval.recorded import recorded_labels, recorded_ranks, recorded_run

    if options["sets"] or options["replay"]:
        raise UsageError("--set and --replay have no meaning for recorded scores; leave them out")
    if run is not None:
        return recorded_run(run, choices, options["limit"])
    found = _rows_of(data, options)
    if isinstance(found, list):
        return recorded_ranks(found, data, choices, options["limit"])
    return recorded_labels(*found, choices, options["limit"])


def _scored(
    verifier: str,
    data: str,
    run: RunStore | None,
    choices: Choices,
    folder: Path,
    options: dict[str, Any],
) -> EvaluationResult:
    """The figures of a verifier that is run on the data."""
    from tts_bench.concurrency.signals import run_until_told
    from tts_bench.progress import Progress
    from tts_bench.store.generations import GENERATIONS
    from tts_bench.suite.load import find_suite
    from tts_bench.suite.registry import Registry
    from tts_bench.verifier_eval.evaluate import (
        EvaluationJob,
        verify_labels,
        verify_ranked,
        verify_run,
    )
    from tts_bench.verifier_eval.scoring import read_setting

    registry = Registry()
    job = EvaluationJob(
        setting=read_setting(find_suite(verifier), registry, options["sets"]),
        generations=folder.parent / GENERATIONS,
        choices=choices,
        progress=Progress(options["display"], unit="text"),
        replay=options["replay"],
        limit=options["limit"],
    )
    if run is not None:
        work = verify_run(job, run, registry)
    else:
        found = _rows_of(data, options)
        if isinstance(found, list):
            work = verify_ranked(job, found, data)
        else:
            work = verify_labels(job, *found)
    return run_until_told(lambda: work)


def _rows_of(
    data: str, options: dict[str, Any]
) -> list[RankedProblem] | tuple[StepLabels, list[Row]]:
    """The data's problems with one right candidate each, or its rows of labelled steps."""
    from tts_bench.dataset.columns import parse_columns
    from tts_bench.dataset.ranked import RankedRows
    from tts_bench.dataset.step_labels import StepLabels, labelled_rows

    columns = parse_columns(options["columns"], "--column")
    place = (options["split"] or "test", options["config"], options["revision"])
    rows = labelled_rows(data, *place)
    ranked = RankedRows(columns, options["right"] or "")
    if ranked.fit(rows):
        if options["fit_on"] or options["neutral"]:
            raise UsageError(f"{data}: --fit-on and --neutral are for labelled steps; it has none")
        return ranked.read(rows, data)
    return StepLabels(data, *place, columns, options["neutral"] or "positive"), rows


def _run(data: str) -> RunStore | None:
    """The run that DATA names, if it names one. Raises UsageError for a folder of neither kind."""
    from tts_bench.store.runs import resolve_run

    path = Path(data)
    is_run = (path / "manifest.json").is_file() or (path / "latest").exists()
    if is_run or (path.is_file() and path.name == "latest"):
        return resolve_run(path)
    if path.is_dir():
        _check_folder(path)
    return None


def _check_folder(path: Path) -> None:
    """Refuse a folder in which no rows of a data set can be."""
    from tts_bench.dataset.rows import SUFFIXES

    if (path / "attempts.jsonl").is_file():
        raise UsageError(f"{path}: a run without its manifest.json, which says what it was")
    if inside := sorted(path.glob("*/manifest.json")):
        raise UsageError(f"{path}: no run, but it holds runs; name one, as in {inside[-1].parent}")
    if not any(one.suffix.lower() in SUFFIXES for one in path.rglob("*")):
        kinds = ", ".join(SUFFIXES)
        raise UsageError(
            f"{path}: neither a run (no manifest.json) nor a data set (no {kinds} file)"
        )


def _refuse_idle(data: str, is_run: bool, options: dict[str, Any]) -> None:
    """Refuse options that say how rows are read where they would say nothing."""
    from tts_bench.dataset.rows import is_local

    names = (
        "split",
        "config",
        "revision",
        *(("columns", "neutral", "right", "fit_on") if is_run else ()),
    )
    if not is_run and not is_local(data):
        return
    for name in names:
        if options[name]:
            what = "run" if is_run else "file"
            option = "--column" if name == "columns" else f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} has no meaning for {data}, which is a {what}; leave it out")


def _stem(data: str, run: RunStore | None) -> str:
    """A folder name for DATA: the stem of a file, the name of a data set, the suite of a run."""
    path = Path(data)
    if run is not None:
        return f"{run.folder.parent.name}-{run.folder.name}"
    return path.stem if path.suffix else path.name
