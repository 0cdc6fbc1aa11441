"""`tts-bench train`: policies, outcome and process reward models, and GRPO."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError
from tts_bench.secrets.masking import hide_assigned

EXIT_INTERRUPTED = 130


@click.group()
def train() -> None:
    """Train policies and reward models."""


def _training(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the four trainings share on the command line."""
    options = [
        click.argument("config", type=click.Path(path_type=Path)),
        click.option("--set", "sets", multiple=True, metavar="A.B=YAML", help="Set any key."),
        click.option("--resume", is_flag=True, help="Go on from the last checkpoint."),
        click.option("--overwrite", is_flag=True, help="Replace the training in the output."),
        click.option("--debug", is_flag=True, help="Show tracebacks."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _run(kind: str, config: Path, options: dict[str, Any]) -> int:
    """Check the configuration before anything heavy is imported, then train."""
    resume, overwrite = options["resume"], options["overwrite"]
    if resume and overwrite:
        raise UsageError("--resume and --overwrite exclude each other")
    from tts_bench.training import config as configs
    from tts_bench.training.config_file import load_config
    from tts_bench.training.extra import need

    cls = getattr(configs, f"{kind.capitalize()}Config")
    loaded = load_config(cls, config, options["sets"])
    need("accelerate", *(("trl",) if kind == "grpo" else ()))
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    module = importlib.import_module(f"tts_bench.training.{kind}")
    outcome = getattr(module, f"train_{kind}")(loaded, resume=resume, overwrite=overwrite)
    return _report(outcome, loaded.output)


@train.command(epilog="\b\nExample:\n  tts-bench train policy policy.yaml")
@_training
def policy(config: Path, **options: Any) -> int:
    """Fine-tune a policy on CONFIG's data, or train one from scratch."""
    return _run("policy", config, options)


@train.command(epilog="\b\nExample:\n  tts-bench train orm orm.yaml")
@_training
def orm(config: Path, **options: Any) -> int:
    """Train an outcome reward model on solutions that are right or wrong."""
    return _run("orm", config, options)


@train.command(epilog="\b\nExample:\n  tts-bench train prm prm.yaml")
@_training
def prm(config: Path, **options: Any) -> int:
    """Train a process reward model on labelled steps."""
    return _run("prm", config, options)


@train.command(epilog="\b\nExample:\n  tts-bench train grpo grpo.yaml")
@_training
def grpo(config: Path, **options: Any) -> int:
    """Train a policy by reinforcement: the grader's verdict is the reward (GRPO)."""
    return _run("grpo", config, options)


@train.command(
    epilog="\b\nExample:\n  tts-bench train data results/math500/latest --output orm.jsonl"
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="A .jsonl.")
@click.option("--per-problem", type=click.IntRange(min=1), help="At most this many of a problem.")
@click.option("--seed", type=int, default=0, help="Which of them.", show_default=True)
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def data(run: Path, output: Path, per_problem: int | None, seed: int, debug: bool) -> int:
    """Write the graded solutions of a finished RUN as data for `train orm`."""
    from tts_bench.store.runs import resolve_run
    from tts_bench.training.collect import collect

    done = collect(resolve_run(run), output, per_problem, seed)
    echo(
        f"{output}: {done.rows} solutions of {done.problems} problems, {done.right} right; "
        f"{done.mixed} problems have both kinds"
    )
    if done.copies or done.ungraded:
        echo(f"left out: {done.copies} copies, {done.ungraded} not graded in time")
    return 0


def _report(outcome: Any, output: str) -> int:
    loss = "" if outcome.loss is None else f", loss {outcome.loss:.4f}"
    if not outcome.finished:
        again = [one for one in sys.argv[1:] if one not in ("--resume", "--overwrite")]
        echo(f"stopped at step {outcome.step} of {outcome.steps}{loss}", err=True)
        echo(f"go on with: tts-bench {shlex.join(map(hide_assigned, again))} --resume", err=True)
        return EXIT_INTERRUPTED
    echo(f"{output}: {outcome.step} steps{loss}")
    return 0
