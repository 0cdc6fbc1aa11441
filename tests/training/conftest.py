"""Data and models small enough to train in a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


@pytest.fixture
def write_config(tmp_path: Path) -> Callable[..., Path]:
    """Write a training file; keyword arguments are its keys."""

    def write(name: str = "train.yaml", **keys: Any) -> Path:
        path = tmp_path / name
        defaults = {"output": str(tmp_path / "out"), "learning_rate": 1e-3, "report_to": "none"}
        path.write_text(yaml.safe_dump({**defaults, **keys}))
        return path

    return write


@pytest.fixture
def write_rows(tmp_path: Path) -> Callable[..., str]:
    """Write rows as JSONL; returns the path."""

    def write(rows: list[dict[str, Any]], name: str = "data.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


@pytest.fixture
def sums() -> list[dict[str, Any]]:
    """Right and wrong sums in words that the tiny tokenizer knows, with every column."""
    rows = []
    for a in range(8):
        for b in range(4):
            right = (a + b) % 3 != 0
            value = a + b if right else a + b + 1
            step = f"{a} plus {b} equals {value}."
            rows.append(
                {
                    "prompt": f"{a} plus {b}",
                    "completion": f"{step}\n\n{value}",
                    "label": right,
                    "completions": [f"{step}\n\n", str(value)],
                    "labels": [right, right],
                    "soft": [0.75 if right else 0.25, None],
                }
            )
    return rows
