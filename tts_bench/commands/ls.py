"""`tts-bench ls`: names, one-line descriptions and parameters of what a suite can name; runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tts_bench.commands.echo import echo
from tts_bench.errors import UsageError

if TYPE_CHECKING:
    from tts_bench.suite.registry import Kind, Registry

Row = dict[str, Any]


@click.command()
@click.argument(
    "kind",
    type=click.Choice(
        ["strategies", "suites", "engines", "verifiers", "datasets", "answers", "runs"]
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--include-path", multiple=True, type=click.Path(path_type=Path))
@click.option("--output-path", "-o", type=click.Path(path_type=Path), default="results")
def ls(kind: str, as_json: bool, include_path: tuple[Path, ...], output_path: Path) -> int:
    """List what a suite can name, with parameters and defaults; or suites, or runs."""
    rows = find_rows(kind, include_path, output_path)
    echo(json.dumps(rows, indent=2) if as_json else as_text(rows))
    return 0


def find_rows(kind: str, include: Sequence[Path], output_path: Path) -> list[Row]:
    """One row for each thing of that kind; a broken plug-in is a row with its error."""
    from tts_bench.suite.load import shipped_suites
    from tts_bench.suite.registry import KINDS, Registry

    if kind == "suites":
        return [_suite(name, path) for name, path in shipped_suites().items()]
    if kind == "runs":
        return [_run(path.parent) for path in sorted(output_path.glob("*/*Z_*/manifest.json"))]
    registry = Registry(include)
    return [_plugin(registry, KINDS[kind], name) for name in registry.names(KINDS[kind])]


def as_text(found: list[Row]) -> str:
    """The rows for a terminal."""
    if not found:
        return "none"
    width = max(len(row["name"]) for row in found) + 2
    lines = []
    for row in found:
        needs = f" [needs {', '.join(row['needs'])}]" if row.get("needs") else ""
        lines.append(f"{row['name']:<{width}}{row.get('error') or row.get('about', '')}{needs}")
        for parameter in row.get("parameters", []):
            default = "required" if parameter["required"] else parameter["default"]
            lines.append(f"{'':<{width}}  {parameter['name']}: {parameter['type']} = {default}")
    return "\n".join(lines)


def _plugin(registry: Registry, kind: Kind, name: str) -> Row:
    from tts_bench.suite.fields import field_types, parameters

    try:
        cls = registry.load(kind, name)
        field_types(cls)
    except UsageError as error:
        return {"name": name, "error": f"broken: {error}"}
    about = (inspect.getdoc(cls) or "").partition("\n")[0]
    found = [
        {
            "name": one.name,
            "type": one.type,
            "default": one.default,
            "required": one.required,
        }
        for one in parameters(cls)
    ]
    row = {"name": name, "about": about, "parameters": found}
    if needs := [need.replace("_", " ") for need in getattr(cls, "needs", ())]:
        row["needs"] = needs
    return row


def _suite(name: str, path: Path) -> Row:
    from tts_bench.suite.yaml_document import read_yaml

    try:
        data = read_yaml(path, path.name).data
    except UsageError as error:
        return {"name": name, "error": f"broken: {error}"}
    about = data.get("description", "") if isinstance(data, dict) else ""
    return {"name": name, "about": " ".join(str(about).split())}


def _run(folder: Path) -> Row:
    from tts_bench.store.runs import RunStore

    try:
        manifest = RunStore(folder).read_manifest()
    except UsageError as error:
        return {"name": str(folder), "error": str(error)}
    partial = ", partial" if manifest.partial else ""
    about = f"{manifest.status}{partial}, {manifest.engine.model}, {manifest.started}"
    return {"name": str(folder), "about": about}
