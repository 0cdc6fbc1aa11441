"""`tts-bench report`: the derived files of one run, or of several runs together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tts_bench.commands.echo import echo

if TYPE_CHECKING:
    from tts_bench.cost.price import Price
    from tts_bench.report.joint.crossing import Crossing
    from tts_bench.report.joint.lines import Joint
    from tts_bench.report.points.given_prices import GivenPrices
    from tts_bench.store.runs import RunStore

_TOGETHER = Path("results/joint")


@click.command(
    epilog="""\b
Examples:
  tts-bench report results/math500/latest --style paper
  tts-bench report results/small/latest results/large/latest --output figures
  tts-bench report small large --pair small:best_of_n large:greedy --cost tokens
  tts-bench report results/ladder/latest --pair beam_search best_of_n
  tts-bench report results/aime/latest --convention nemo-skills
  tts-bench report results/math500/latest --format latex > table.tex"""
)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help=f"Write there; default: the run's own folder, for several runs {_TOGETHER}.",
)
@click.option(
    "--style",
    default="default",
    show_default=True,
    help="Look of figures: default, paper, slides, one of matplotlib's, or an .mplstyle file.",
)
@click.option(
    "--cost",
    type=click.Choice(["flops", "policy_flops", "tokens", "seconds", "dollars"]),
    help="The cost at which curves meet (default: flops).",
)
@click.option(
    "--label", "labels", multiple=True, help="Several runs: what to call each, in their order."
)
@click.option("--strategy", multiple=True, help="Several runs: only this strategy (repeatable).")
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="CURVE CURVE",
    help="Where these cross: small:best_of_n large:greedy, or curves of one run (repeatable).",
)
@click.option(
    "--convention",
    "conventions",
    multiple=True,
    metavar="TOOL|OPTION=VALUE",
    help="Print RUN's rows as another tool counts, and write nothing (docs/published.md).",
)
@click.option(
    "--k",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    help="With --convention: only rows of k draws (repeatable).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["latex"]),
    help="Print RUN's table as a paper has it (LaTeX, booktabs), and write nothing.",
)
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="[[RUN/]SIDE:]KEY=$,...",
    help="Price in place of a suite's: input=2.5,output=10, verifier:gpu_hour=2 (repeatable).",
)
@click.option("--force", is_flag=True, help="Although the data sets differ in content.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def report(
    runs: tuple[Path, ...],
    *,
    output: Path | None,
    style: str,
    cost: str | None,
    labels: tuple[str, ...],
    strategy: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    conventions: tuple[str, ...],
    sizes: tuple[int, ...],
    form: str | None,
    prices: tuple[str, ...],
    force: bool,
    debug: bool,
) -> int:
    """Rebuild the tables and figures of RUN from its attempts; needs no model.

    Several runs meet in one figure for each kind of cost, on the problems that all of them
    attempted, with a common table and the costs at which their curves cross. With --pair, also
    where the curves of one run cross. With --convention, the rows of one run under the names and
    by the conventions of nemo-skills, lighteval, search-and-learn, papers or this.
    """
    from tts_bench.errors import UsageError
    from tts_bench.report.points.given_prices import GivenPrices
    from tts_bench.store.runs import resolve_run

    if sizes and not conventions:
        raise UsageError("--k chooses among the rows that --convention prints; name one")
    given = GivenPrices.parse(prices)
    found = [resolve_run(path) for path in runs]
    if conventions or form:
        others = len(found) > 1 or output or pairs or labels or strategy or cost or force
        if conventions and (others or prices or form):
            raise UsageError("--convention prints the rows of one run, and takes no other option")
        if others:
            raise UsageError("--format prints the table of one run, and takes --price alone")
        _print_one(found[0], conventions, sizes, given)
        return 0
    for a, b in pairs:
        if a == b:
            raise UsageError(f"--pair {a} {b}: a curve does not cross itself; name two")
    if len(found) == 1:
        if labels or strategy or force or (cost and not pairs):
            raise UsageError(
                "--label, --strategy, --force, and --cost without --pair, are for several runs"
            )
        given.check_runs([])
        crossings = _cross_within(found[0], pairs, cost or "flops", given)
        report_run(found[0], style=style, output=output, prices=given.of())
        if crossings:
            _write_crossings(crossings, cost or "flops", output or found[0].folder)
        return 0
    from tts_bench.report.figures.style import check_look
    from tts_bench.report.joint.lines import join

    check_look(style)
    joint = join(found, strategy, labels, force, given)
    _report_together(joint, pairs, cost or "flops", style, output or _TOGETHER)
    return 0


def report_run(
    run: RunStore,
    *,
    style: str = "default",
    output: Path | None = None,
    prices: Mapping[str, Price] | None = None,
    anew: bool = True,
) -> None:
    """Print the table of one run, and write its files.

    Unless `anew`, they are left as they are if they are those of these very attempts.
    """
    from tts_bench.report.build import build_report, write_report
    from tts_bench.report.figures.style import check_look
    from tts_bench.report.tables.render import terminal_table
    from tts_bench.store.stamp import inputs_of, read_stamp

    check_look(style)
    options = (style, repr(dict(prices or {})))
    if not anew and (stamp := read_stamp(run, *options)):
        echo(stamp.table)
        echo(f"current   {run.folder}: its report is of these attempts already")
        return
    inputs = inputs_of(run, *options)
    built = build_report(run, prices)
    echo(terminal_table(built))
    for path in write_report(run, built, style=style, folder=output, say=echo, inputs=inputs):
        echo(f"wrote     {path}")


def _print_one(
    run: RunStore, conventions: Sequence[str], sizes: Sequence[int], given: GivenPrices
) -> None:
    """Print the rows by a convention, or without one the table as LaTeX; write nothing."""
    from tts_bench.report.conventions.rows import tool_rows
    from tts_bench.report.conventions.text import tool_text
    from tts_bench.report.conventions.tools import read_tool
    from tts_bench.report.points.content import build_report
    from tts_bench.report.tables.latex import latex_table

    if conventions:
        tool = replace(read_tool(conventions), sizes=tuple(sorted(set(sizes))))
        echo(tool_text(tool_rows(run, tool)))
        return
    given.check_runs([])
    echo(latex_table(build_report(run, given.of())).rstrip())


def _cross_within(
    run: RunStore,
    pairs: Sequence[tuple[str, str]],
    cost: str,
    prices: GivenPrices,
) -> Sequence[Crossing]:
    """Where these curves of one run cross; before anything is written, as a name may be wrong."""
    if not pairs:
        return []
    from tts_bench.report.joint.crossing import find_crossings
    from tts_bench.report.joint.lines import COSTS, join

    return find_crossings(join([run], labels=[""], prices=prices), COSTS[cost], pairs)


def _write_crossings(crossings: Sequence[Crossing], cost: str, folder: Path) -> None:
    from tts_bench.report.joint.crossing_text import crossings_terminal
    from tts_bench.report.joint.lines import COSTS
    from tts_bench.report.joint.write import write_crossings

    axis = COSTS[cost]
    echo(crossings_terminal(crossings, axis.name))
    for path in write_crossings(crossings, folder, axis):
        echo(f"wrote     {path}")


def _report_together(
    joint: Joint, pairs: Sequence[tuple[str, str]], cost: str, style: str, folder: Path
) -> None:
    from tts_bench.report.joint.crossing import find_crossings
    from tts_bench.report.joint.crossing_text import crossings_terminal
    from tts_bench.report.joint.lines import COSTS
    from tts_bench.report.joint.table import frontier_names
    from tts_bench.report.joint.write import write_joint

    axis = COSTS[cost]
    crossings = find_crossings(joint, axis, pairs)
    for note in joint.notes:
        echo(note)
    echo(f"Pareto frontier, by {axis.name}: {', '.join(frontier_names(joint, axis))}")
    if crossings:
        echo(crossings_terminal(crossings, axis.name))
    for path in write_joint(joint, crossings, folder, cost=cost, style=style):
        echo(f"wrote     {path}")
