"""Prints for the user: the one place through which commands write to the terminal."""

from __future__ import annotations

import contextlib
import os
import sys

import click

from tts_bench.errors import printable
from tts_bench.secrets.masking import hide


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line, or several, without anything that a terminal would obey."""
    # Where the terminal is gone nobody reads of an error, but the exit code is to tell of it.
    with contextlib.suppress(*([OSError] if err else [])):
        try:
            click.echo(printable(hide(str(text))), err=err)
        except BrokenPipeError:  # as of `| head`: nobody reads on, but the work goes on
            _read_no_more()


def _read_no_more() -> None:
    """Let the standard output lead nowhere, what is still buffered for it included."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
