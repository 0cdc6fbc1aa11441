"""`tts-bench ls`: what a suite can name, and what has been run."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument(
    "kind", type=click.Choice(["strategies", "suites", "engines", "verifiers", "datasets", "runs"])
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--include-path", multiple=True, type=click.Path(path_type=Path))
@click.option("--output-path", "-o", type=click.Path(path_type=Path), default="results")
def ls(kind: str, as_json: bool, include_path: tuple[Path, ...], output_path: Path) -> int:
    """List what a suite can name, with parameters and defaults; or suites, or runs."""
    from tts_bench import listing

    rows = listing.rows(kind, include_path, output_path)
    click.echo(json.dumps(rows, indent=2) if as_json else listing.text(rows))
    return 0
