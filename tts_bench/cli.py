"""The command line: options to calls, errors to exit codes, and nothing else.

Everything heavy is imported inside the commands, so that `--help` is quick.

Exit codes: 0 ok, 1 finished with failed attempts or stopped by a model that died, 2 a mistake of
the user's, 3 a gate that failed, 130 interrupted.
"""

from __future__ import annotations

import importlib
import io
import re
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tts_bench import __version__
from tts_bench.commands.echo import echo
from tts_bench.errors import (
    QUOTED,
    ModelLost,
    SuiteError,
    TtsBenchError,
    UsageError,
    one_line,
    quoted,
)
from tts_bench.secrets.masking import hide_assigned

if TYPE_CHECKING:
    from tts_bench.run.plan import Plan, RunOptions
    from tts_bench.run.rerun import Recorded
    from tts_bench.suite.load import Suite

_LONGEST_LINE = 2000
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

_SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "auto_envvar_prefix": "TTS_BENCH",
    "token_normalize_func": lambda name: name.replace("_", "-"),
    "max_content_width": 100,
}


def main() -> None:
    """Entry point of the command `tts-bench`."""
    try:
        code = cli(prog_name="tts-bench", standalone_mode=False) or 0
    except click.exceptions.Exit as error:
        code = error.exit_code
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        for line in shown.getvalue().splitlines():
            echo(hide_assigned(_bearable(line)), err=True)
        code = EXIT_USAGE
    except click.Abort:
        code = EXIT_INTERRUPTED
    except (Exception, SystemExit) as error:
        if "--debug" in sys.argv:
            echo("".join(traceback.format_exception(error)).rstrip("\n"), err=True)
        code = _print_error(error)
    sys.exit(code)


_COMMANDS = {
    "check": "check",
    "compare": "compare",
    "export": "export",
    "gate": "gate",
    "grade": "grade",
    "import": "import_pools",
    "label": "label",
    "ls": "ls",
    "merge": "merge",
    "policy": "policy",
    "report": "report",
    "train": "train",
    "verify": "verify",
}
"""Commands with modules of their own: name -> module of `tts_bench.commands`."""


class _Commands(click.Group):
    """The commands of this file and those of `tts_bench.commands`, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"tts_bench.commands.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, _COMMANDS[cmd_name])
        command.context_settings = _SETTINGS
        return command


@click.group(
    cls=_Commands,
    context_settings=_SETTINGS,
    epilog="""\b
Examples:
  tts-bench run suites/quickstart.yaml
  tts-bench run suites/math500.yaml --limit 20 --model ./my-model
  tts-bench report results/math500/latest""",
)
@click.version_option(__version__, "-V", "--version", prog_name="tts-bench")
def cli() -> None:
    """Benchmark test-time-compute strategies of language models."""


def _suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that change a suite, shared by the commands that read one."""
    options = [
        click.argument("suite"),
        click.option("--set", "sets", multiple=True, metavar="A.B=YAML", help="Set any key."),
        click.option("--model", help="Set engine.model: a hub id or a folder."),
        click.option("--strategy", multiple=True, help="Run only this strategy (repeatable)."),
        click.option("--seeds", metavar="0,1,2", help="Set seeds."),
        click.option("--limit", "-L", metavar="N|A-B", help="Only the first N, or problems A-B."),
        click.option("--output-path", "-o", type=click.Path(path_type=Path), default="results"),
        click.option(
            "--include-path",
            multiple=True,
            type=click.Path(path_type=Path),
            help="A further folder with strategies (repeatable).",
        ),
        click.option("--concurrency", type=int, help="Attempts in flight at once."),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(
    context_settings=_SETTINGS,
    epilog="""\b
Examples:
  tts-bench run suites/math500.yaml --dry-run
  tts-bench run suites/math500.yaml --strategy best_of_n --set sampling.temperature=0.6
  tts-bench run suites/aime24.yaml --set engine.name=transformers --limit 1-5
  tts-bench run results/math500/latest/manifest.json

The same command again continues where the run was stopped.""",
)
@_suite_options
@click.option(
    "--dry-run",
    is_flag=True,
    allow_from_autoenv=False,
    help="Say what would be run, and run nothing.",
)
@click.option(
    "--fresh",
    is_flag=True,
    allow_from_autoenv=False,
    help="Begin a new run and make every completion anew.",
)
@click.option(
    "--replay",
    is_flag=True,
    allow_from_autoenv=False,
    help="Use recorded completions only; a miss is an error.",
)
@click.option(
    "--shard",
    metavar="K/N",
    help="Run the K-th of N parts of the problems; `merge` joins the runs.",
)
@click.option(
    "--phases",
    is_flag=True,
    help="Draw everything, close the engine, then load the verifier: two models on one GPU.",
)
@click.option(
    "--display",
    type=click.Choice(["auto", "bar", "plain", "none"]),
    default="auto",
    help="How progress is shown; auto is a bar on a terminal and lines elsewhere.",
)
def run(suite: str, *, dry_run: bool, display: Any, **options: Any) -> int:
    """Run the strategies of SUITE on its problems, and write table and plots.

    The manifest.json of a run in place of SUITE repeats that run in a new folder.
    """
    from tts_bench.commands.report import report_run
    from tts_bench.concurrency.signals import run_until_told
    from tts_bench.progress import Progress
    from tts_bench.run import rerun, runner
    from tts_bench.run.plan import RunOptions, claim

    for other in ("fresh", "phases"):
        if options[other] and options["replay"]:
            raise UsageError(f"--{other} and --replay exclude each other")
    again = rerun.read_recorded(Path(suite)) if rerun.is_manifest(suite) else None
    if again is not None:
        _take_folders(again, options)
    loaded = _load(suite, options, again)
    choices = RunOptions(
        output_path=options["output_path"],
        limit=options["limit"],
        shard=options["shard"],
        fresh=options["fresh"],
        replay=options["replay"],
        phases=options["phases"],
        argv=["tts-bench", *sys.argv[1:]],
        include_path=options["include_path"],
        debug=options["debug"],
        again=again,
    )
    plan = _plan(loaded, choices)
    if dry_run:
        from tts_bench.run.forecast import forecast

        echo(forecast(plan))
        return 0
    plan = claim(plan, choices)
    _announce(plan)

    try:
        result = run_until_told(lambda: runner.execute(plan, choices, Progress(display)))
    except KeyboardInterrupt:
        _say_what_is_there("cancelled", plan)
        return EXIT_INTERRUPTED
    except Exception:
        _say_what_is_there("stopped", plan)
        raise
    report_run(result.run, anew=False)
    if result.failed:
        first = _head_and_tail(result.first_error or "")
        echo(
            f"{result.failed} of {result.attempts} attempts failed and count as wrong; the first: "
            f"{first}\nrepeat them with: {_resume_command('--replay')}",
            err=True,
        )
    echo(f"next      tts-bench report {result.run.folder}")
    return EXIT_FAILED if result.failed else 0


@cli.command(context_settings=_SETTINGS)
@_suite_options
def validate(suite: str, **options: Any) -> int:
    """Check SUITE, its strategies and its data set; load no model."""
    from tts_bench.run.forecast import check_models_exist
    from tts_bench.run.plan import RunOptions

    loaded = _load(suite, options)
    check_models_exist(loaded)
    plan = _plan(loaded, RunOptions(options["output_path"], options["limit"]))
    echo(f"{loaded.path}: ok ({len(plan.items)} problems, {len(loaded.cells)} cells)")
    return 0


def _plan(suite: Suite, options: RunOptions) -> Plan:
    """The plan of a suite; what is to be told of how its problems were read is said."""
    from tts_bench.run.plan import make_plan

    plan = make_plan(suite, options)
    for note in plan.dataset.notes:
        echo(f"note: {note}", err=True)
    return plan


def _announce(plan: Plan) -> None:
    """What is going to be run, and where."""
    suite = plan.suite
    echo(f"run       {plan.run.folder}")
    echo(
        f"{suite.name:<9} {len(plan.items)} problems x {len(suite.cells)} cells x "
        f"{len(suite.seeds)} seeds = {plan.total} attempts ({len(plan.done)} already done)"
    )


def _say_what_is_there(how: str, plan: Plan) -> None:
    """After a run that did not end: what it has left, and how to go on."""
    done = sum(1 for _ in plan.run.attempts()) if plan.run.folder.is_dir() else 0
    if how == "stopped" and not plan.run.manifest_path.exists():
        return  # its models did not start: the error says all
    if not done:
        echo(f"{how}: no attempt was finished", err=True)
    else:
        echo(f"{how}: {done} of {plan.total} attempts are in {plan.run.folder}", err=True)
    if plan.run.manifest_path.exists():  # completions are stored before attempts are finished
        echo(f"continue with: {_resume_command()}", err=True)


def _load(suite: str, options: dict[str, Any], again: Recorded | None = None) -> Suite:
    from tts_bench.run.rerun import load_recorded
    from tts_bench.suite.load import find_suite, load_suite
    from tts_bench.suite.overrides import Overrides
    from tts_bench.suite.registry import Registry

    overrides = Overrides(
        sets=options["sets"],
        model=options["model"],
        seeds=_numbers("--seeds", options["seeds"]),
        concurrency=options["concurrency"],
        strategies=options["strategy"],
    )
    registry = Registry(options["include_path"])
    if again is not None:
        return load_recorded(again, registry, overrides)
    return load_suite(find_suite(suite), registry, overrides)


def _take_folders(again: Recorded, options: dict[str, Any]) -> None:
    """Let the recorded run say which folders are meant, if no option does."""
    options["include_path"] = options["include_path"] or again.include_path
    source = click.get_current_context().get_parameter_source("output_path")
    if options["replay"] and source is click.core.ParameterSource.DEFAULT:
        options["output_path"] = again.output_path


def _numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text}: must be numbers with commas, as in 0,1,2") from None


def _resume_command(*without: str) -> str:
    words = [word for word in sys.argv[1:] if word not in ("--fresh", *without)]
    return shlex.join(["tts-bench", *map(hide_assigned, words)])


def _head_and_tail(error: str) -> str:
    """An attempt's error without the middle of a long message; its place stands at the end."""
    text = " ".join(error.split())
    return text if len(text) <= QUOTED + 80 else f"{text[:QUOTED]} ... {text[-80:]}"


def _bearable(line: str) -> str:
    """The line without the rest of any word, as of a path, that is too long to be read."""
    kept = re.sub(rf"(\S{{{QUOTED}}})\S{{50,}}", r"\1...", line)
    return kept if len(kept) <= _LONGEST_LINE else f"{kept[:_LONGEST_LINE]}..."


def _print_error(error: BaseException) -> int:
    """Say in lines what went wrong, and return the exit code for it."""
    hint = "" if "--debug" in sys.argv else "; --debug shows where"
    if isinstance(error, SystemExit):  # a plug-in's or a library's: its number is none of ours
        left = f"sys.exit({quoted(error.code)})"
        echo(f"error: a plug-in or a library called {left}{hint}", err=True)
        return EXIT_USAGE
    if isinstance(error, OSError) and error.filename is not None:
        # A path that no file can have, a disk that is full: the system's word for it is the reason.
        error = UsageError(f"{one_line(error.filename)}: {error.strerror or error}")
    if not isinstance(error, TtsBenchError):
        what = one_line(f"{type(error).__name__}: {error}")
        echo(f"error: unforeseen {what}{hint}", err=True)
        return EXIT_FAILED
    lines = str(error).splitlines() or [type(error).__name__]
    for line in lines:
        echo(f"error: {hide_assigned(_bearable(line))}", err=True)
    if isinstance(error, SuiteError) and len(lines) > 1:
        echo(f"{len(lines)} errors; nothing was run.", err=True)
    return EXIT_FAILED if isinstance(error, ModelLost) else EXIT_USAGE
