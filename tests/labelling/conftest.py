"""Labelling jobs on scripted policies."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

PLUGIN = Path(__file__).parents[1] / "plugins" / "adder.py"
ADDER = SimpleNamespace(**runpy.run_path(str(PLUGIN)))
PROBLEMS = 6


def numbers(problem: int) -> list[int]:
    """Operands of a problem."""
    return [problem + 1, 3, 5, 2, 7, 4]


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a suite whose policy is the scripted adder, and its data set."""
    data = tmp_path / "problems.jsonl"
    with data.open("w") as file:
        for i in range(PROBLEMS):
            text = f"Add up {' '.join(map(str, numbers(i)))}."
            row = {"id": f"p{i}", "problem": text, "reference": sum(numbers(i))}
            file.write(json.dumps(row) + "\n")

    def write(engine: str = "Adder", sampling: dict | None = None, **settings) -> Path:
        suite = {
            "dataset": {"name": "jsonl", "path": str(data)},
            "engine": {"name": f"{PLUGIN}:{engine}", **settings},
            "sampling": {"max_tokens": 200, "temperature": 1.0, **(sampling or {})},
            "strategies": ["greedy"],
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        return path

    return write


@pytest.fixture
def solutions(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of solutions: (problem, mistakes by step) for each."""

    def write(*given: tuple[int, dict[int, int]], name: str = "solutions.jsonl") -> Path:
        path = tmp_path / name
        rows = [
            {"problem_id": f"p{i}", "solution": "".join(ADDER.add_up(numbers(i), mistakes))}
            for i, mistakes in given
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write
