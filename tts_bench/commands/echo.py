"""Prints for the user: the one place through which commands write to the terminal."""

from __future__ import annotations

import contextlib

import click

from tts_bench.errors import printable
from tts_bench.secrets.masking import hide


def echo(text: object = "", *, err: bool = False) -> None:
    """Print a line, or several, without anything that a terminal would obey."""
    # Where the terminal is gone nobody reads of an error, but the exit code is to tell of it.
    with contextlib.suppress(*([OSError] if err else [])):
        click.echo(printable(hide(str(text))), err=err)
