"""`tts-bench import`: recorded completions as a run."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tts_bench.dataset.row import OnBad, Row
    from tts_bench.importing.joined import How
    from tts_bench.importing.pools import Pools
    from tts_bench.importing.recording import Equal, Recording, Verdicts, Whose
    from tts_bench.importing.run import Imported
    from tts_bench.importing.table import Read
    from tts_bench.progress import Progress
    from tts_bench.steps import Aggregate

_LONGEST_NAME = 80


@click.command(
    epilog="""\b
Examples:
  tts-bench import completions.jsonl --map text=completions --map reference=answer
  tts-bench import org/some-completions --split train --aggregate prod --n 1,4,16
  tts-bench import votes.csv --answers recorded --verdicts recorded --no-answer N
  tts-bench import seed0.jsonl seed1.jsonl --join id

A row holds one completion, or all of a problem's as lists or in numbered columns (`rollout_*`);
scores that are lists of lists are step scores. Answers are found and graded here unless the
recording is to be taken at its word; recorded verdicts (column `correct`) are kept beside ours,
and where the two disagree stands in disagreements.jsonl."""
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--map", "maps", multiple=True, metavar="ROLE=COLUMN", help="Which column is what.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only such rows (repeatable).")
@click.option(
    "--answers",
    type=click.Choice(["ours", "recorded"]),
    default="ours",
    show_default=True,
    help="Whose answers vote: those that we find in the texts, or the recorded ones.",
)
@click.option(
    "--verdicts",
    type=click.Choice(["ours", "recorded", "both"]),
    default="both",
    show_default=True,
    help="Whose verdicts count; both: ours, and recorded ones are kept beside them.",
)
@click.option(
    "--equal",
    type=click.Choice(["equivalent", "literal"]),
    help="Which answers vote together: those of equal value, or those written alike. "
    "[default: literal for recorded answers, else equivalent]",
)
@click.option(
    "--no-answer",
    multiple=True,
    metavar="TEXT",
    help="A recorded answer that says that there is none (repeatable).",
)
@click.option(
    "--answer-kind",
    default="math",
    show_default=True,
    metavar="math|choice|PATH.py:CLASS",
    help="What answers are, for those that we find and grade.",
)
@click.option("--first", type=click.IntRange(min=1), help="Only the first so many of each pool.")
@click.option(
    "--join",
    type=click.Choice(["id", "line"]),
    default="id",
    show_default=True,
    help="By what several files are draws of one pool.",
)
@click.option(
    "--not-independent",
    "searched",
    is_flag=True,
    help="The texts come of a search: report all of each problem's together, and no smaller n.",
)
@click.option("--skip-bad", is_flag=True, help="Leave unusable rows out, and count them.")
@click.option(
    "--aggregate",
    type=click.Choice(["last", "min", "prod", "mean", "gmean", "max"]),
    default="last",
    show_default=True,
    help="How step scores become one score; gmean is the geometric mean.",
)
@click.option("--n", "sizes", metavar="1,4,16", help="Pool sizes to report; default powers of 4.")
@click.option("--name", help="Folder of the run; default the file's name.")
@click.option("--config", help="Configuration of a data set on the hub.")
@click.option("--split", default="train", show_default=True, help="Split of one on the hub.")
@click.option("--revision", help="Commit of one on the hub.")
@click.option("--output-path", "-o", type=click.Path(path_type=Path), default="results")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def import_pools(
    sources: tuple[str, ...],
    *,
    answers: Whose,
    verdicts: Verdicts,
    equal: Equal | None,
    no_answer: tuple[str, ...],
    answer_kind: str,
    sizes: str | None,
    searched: bool,
    name: str | None,
    output_path: Path,
    debug: bool,
    **reading: Any,
) -> int:
    """Turn recorded completions (files or a hub id) into a run, without a model.

    Several sources are draws of one pool.
    """
    import re

    from tts_bench.importing.recording import Recording
    from tts_bench.importing.run import PoolSource
    from tts_bench.importing.run import import_pools as make_run
    from tts_bench.progress import Progress
    from tts_bench.suite.folder_name import folder_fault

    if searched and sizes is not None:
        raise UsageError("--n and --not-independent exclude each other: no smaller n can be told")
    recording = Recording(answers, verdicts, equal, answer_kind, frozenset(no_answer))
    progress = Progress(unit="problem")
    read = _read(sources, recording, progress, searched=searched, **reading)
    plain = re.sub(r"[^\w.-]", "_", name or Path(sources[0]).stem).strip(".")[:_LONGEST_NAME]
    if plain and (fault := folder_fault(plain)):
        raise UsageError(f"--name {fault}")
    path, commit = " ".join(sources), " ".join(read.commits)
    done = asyncio.run(
        make_run(
            read.pools,
            PoolSource(
                plain or "imported", path, commit, left_out=read.left_out, recording=recording
            ),
            output_path,
            None if sizes is None else [_number(part) for part in sizes.split(",")],
            argv=["tts-bench", *sys.argv[1:]],
            independent=not searched,
            progress=progress,
        )
    )
    _show(done, read.notes)
    return 0


def _show(done: Imported, notes: Sequence[str]) -> None:
    """Write the report of an import, and what else is to be said of it."""
    from tts_bench.report.build import build_report, write_report
    from tts_bench.report.tables.render import terminal_table

    report = build_report(done.run)
    echo(f"run       {done.run.folder}")
    echo(terminal_table(report))
    for path in write_report(done.run, report, say=echo):
        echo(f"wrote     {path}")
    for note in notes:
        echo(f"note: {note}")
    if done.left_out:
        echo(f"note: pools were cut to {done.n} completions; {done.left_out} were left out")
    if done.judged:
        echo(f"verdicts  {done.disagreements} of {done.judged} recorded ones are not ours")


class _Read(NamedTuple):
    """What was read of the sources."""

    pools: Pools
    commits: list[str]
    left_out: dict[str, int]
    notes: list[str]


def _read(
    sources: tuple[str, ...],
    recording: Recording,
    progress: Progress,
    *,
    maps: tuple[str, ...],
    where: tuple[str, ...],
    first: int | None,
    join: How,
    searched: bool,
    skip_bad: bool,
    aggregate: Aggregate,
    config: str | None,
    split: str,
    revision: str | None,
) -> _Read:
    from tts_bench.answers.kinds import MATH
    from tts_bench.dataset.columns import parse_columns
    from tts_bench.dataset.references import References
    from tts_bench.dataset.row import BadRows, refuse
    from tts_bench.importing.joined import join_pools
    from tts_bench.importing.layout import Layout
    from tts_bench.importing.pools import read_pools
    from tts_bench.importing.searched import SignsOfSearch
    from tts_bench.importing.table import Table
    from tts_bench.suite.answers import load_answers

    columns, references, bad = parse_columns(maps, "--map"), References(), BadRows()
    kind = load_answers(recording.kind)
    to_reference = references if kind == MATH else kind.read_reference
    on_bad = bad if skip_bad else refuse
    chosen = {condition.partition("=")[0] for condition in where}
    unmet = set(recording.no_answer)
    layout = Layout(to_reference, columns, aggregate, recording, join == "line", chosen, unmet)
    read: list[tuple[str, Pools]] = []
    commits, total = [], 0
    for source in sources:
        before = len(bad)
        rows, commit = _source(source, progress, config, split, revision)
        table = Table(rows, source, where, on_bad)
        total += table.total + len(bad) - before
        signs = SignsOfSearch()
        pools = read_pools(table, layout, on_bad, signs.see)
        sign = None if searched else signs.found(pools, (Path(source).name, config or ""))
        if sign is not None:
            raise UsageError(
                f"{sign}: texts of a search are no independent draws, so nothing can be said of "
                "fewer than all of them; --not-independent imports all of a problem's as one"
            )
        read.append((source, pools))
        commits += [commit] if commit else []
    pools = join_pools(read, join)
    if first is not None:
        pools = pools.first(first)
    notes = [*references.notes]
    notes += [f"no recorded answer is {quoted(word)}" for word in sorted(layout.unmet)]
    if bad:
        notes.append(f"{len(bad)} of {total} rows were left out: {bad}")
    return _Read(pools, commits, dict(bad.kinds), notes)


def _source(
    source: str, progress: Progress, config: str | None, split: str, revision: str | None
) -> tuple[Read, str]:
    """How to read a file or a data set of the hub, and the commit of the latter."""
    from tts_bench.dataset.download import open_split
    from tts_bench.dataset.rows import is_local, iter_rows

    read, commit = None, ""
    if not is_local(source) and not source.startswith((".", "/", "~")):
        read, commit = open_split(source, config, split, revision)

    def again(on_bad: OnBad) -> Iterator[Row]:
        rows = read(on_bad) if read else iter_rows(source, on_bad=on_bad)
        return progress.passing(f"reading {source}", rows)

    return again, commit


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"--n {quoted(text)}: must be numbers with commas, as in 1,4,16") from None
