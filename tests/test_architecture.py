"""Imports go down only, nothing heavy is imported early, and no file or function grows wild."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tts_bench"

# From the top down: a room imports from the lines below its own, and never from a neighbour.
LAYERS = """
__main__
cli
commands
importing verifier_eval
run report training labelling tiny
store
suite
strategy
verifier prompt
engine
dataset
answers
cost
stats steps progress concurrency
types errors
secrets
"""
ORDER = [line.split() for line in reversed(LAYERS.split("\n")) if line]
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
HEAVY = {"torch", "vllm", "transformers", "datasets", "ray", "matplotlib", "sympy", "math_verify"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(source: str) -> set[str]:
    """Full names that a file imports: `from a import b` gives both `a` and `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the package in full"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def home(path: Path) -> str:
    """The room of LAYERS to which a file belongs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def own_imports(path: Path) -> set[str]:
    """Rooms of this package that a file imports from."""
    names = imported(path.read_text("utf-8"))
    return {name.split(".")[1] for name in names if name.startswith("tts_bench.")} & set(LEVEL)


def forbidden(room: str, others: set[str]) -> set[str]:
    """Which of the rooms a room may not import."""
    return {other for other in others - {room} if LEVEL[other] >= LEVEL[room]}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path: Path):
    room = home(path)
    if room == "__init__":
        return  # the facade loads lazily from every layer
    assert room in LEVEL, f"say in LAYERS where {room} belongs"
    assert not forbidden(room, own_imports(path)), f"{room} imports what does not lie below it"


def test_a_neighbour_is_as_forbidden_as_a_room_above():
    assert forbidden("report", {"run", "store", "types", "commands"}) == {"run", "commands"}
    assert forbidden("suite", {"strategy", "engine"}) == set()


def test_every_room_of_the_layers_exists():
    found = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()}
    assert set(LEVEL) <= found


def test_the_hall_holds_few_loose_modules():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_every_room_says_what_it_holds():
    for init in PACKAGE.rglob("__init__.py"):
        assert ast.get_docstring(ast.parse(init.read_text("utf-8"))), init


def engines_in(source: str) -> set[str]:
    """Engines that a file imports, in any spelling; the port alone is none."""
    names = {name for name in imported(source) if name.startswith("tts_bench.engine")}
    return {
        name
        for name in names - {"tts_bench.engine"}
        if not f"{name}.".startswith("tts_bench.engine.base.")
    }


@pytest.mark.parametrize(
    "path", sorted((PACKAGE / "report").rglob("*.py")), ids=lambda path: path.name
)
def test_reports_never_reach_an_engine(path: Path):
    assert not engines_in(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        "from tts_bench.engine import vllm",
        "from tts_bench.engine.vllm import VLLMEngine",
        "import tts_bench.engine.cached as c",
        "def f():\n    from tts_bench.engine import base, transformers",
    ],
)
def test_every_spelling_of_an_import_of_an_engine_is_seen(line: str):
    assert engines_in(line)
    assert not engines_in("from tts_bench.engine.base import Engine")


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path: Path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, node.name


def test_no_class_name_stands_twice():
    homes: dict[str, list[Path]] = {}
    for path in [*sources(), *sorted((ROOT / "strategies").glob("*.py"))]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(path.relative_to(ROOT))
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert not twice


def test_strategies_import_only_the_facade():
    for path in sorted((ROOT / "strategies").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module in ("__future__", "dataclasses", "typing", "tts_bench"), path


@pytest.mark.parametrize(
    "code",
    [
        "import tts_bench",
        "import tts_bench; tts_bench.Strategy, tts_bench.SampleAndSelect, tts_bench.Session",
        "import sys; sys.argv = ['tts-bench', '--help']; from tts_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass",
        "import tts_bench.suite.load, tts_bench.suite.registry",
    ],
)
def test_nothing_heavy_is_imported(code: str):
    script = f"{code}\nimport sys; print('loaded', *sorted(set(sys.modules) & {HEAVY!r}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded"


def test_help_loads_only_click():
    script = (
        "import sys; sys.argv = ['tts-bench', '--help']; from tts_bench.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(*sorted({'numpy', 'pydantic', 'yaml', 'tqdm'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == ""


def test_the_facade_exports_exactly_its_public_names_sorted():
    import tts_bench

    assert tts_bench.__all__ == sorted(tts_bench.__all__)
    assert set(tts_bench.__all__) == set(tts_bench._HOME)
    for name in tts_bench.__all__:
        assert getattr(tts_bench, name).__name__ == name
    with pytest.raises(AttributeError):
        _ = tts_bench.nothing_of_that_name
