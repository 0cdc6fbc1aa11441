"""Writes what the tiny models are trained with: generated problems with worked solutions.

    python -m tts_bench.training.arithmetic_data FOLDER

The tokenizer is written beside the files. Every file follows from its name and its settings
alone. No problem of the evaluation seeds, those that suites use, is ever trained on.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts_bench.dataset.arithmetic import LEVELS, Arithmetic, Difficulty, draw_problem
from tts_bench.steps import split_steps
from tts_bench.training.arithmetic import CAREFUL, DELIMITER, Care, check_each_step, write_solution
from tts_bench.training.tokenizer import write_tokenizer

EVALUATION_SEEDS = range(4)
EVALUATION_PROBLEMS = 200
"""Problems of each seed that are kept out of all training files."""

SHORT = tuple(Difficulty(operations, largest=50, factor=9) for operations in (1, 2, 3))
"""Exercises of all operations, where levels 1 and 2 have small numbers and no products."""

ALL_LEVELS = (*LEVELS.values(),)
CHECKED = Care(easy=0, hard=0, forgotten=0, forgotten_long=0, recheck=0.08, passes=2)
"""No slips; some solutions are gone through twice."""


@dataclass(frozen=True)
class File:
    """What one training file holds."""

    kind: str
    """`policy`, `prm` or `orm`: which columns it has."""
    rows: int
    difficulties: Sequence[Difficulty] = ALL_LEVELS
    weights: Sequence[float] = (0.5, 0.5, 1, 2, 2)
    care: Care = field(default_factory=Care)


FILES: Mapping[str, File] = {
    "base-1": File("policy", 16_000, (*ALL_LEVELS[:2], *SHORT), (1, 1, 2, 2, 3), CAREFUL),
    "base-2": File("policy", 16_000, (*ALL_LEVELS[:3], SHORT[2]), (1, 2, 4, 3), CAREFUL),
    "base-3": File("policy", 70_000, care=CHECKED),
    "policy": File("policy", 36_000),
    "prm": File("prm", 36_000),
    "orm": File("orm", 36_000),
}
"""Training files by name; `base-1` to `base-3` are the stages of the common base model."""


def policy_row(problem: str, solution: str) -> dict[str, Any]:
    """Columns of supervised fine-tuning."""
    return {"prompt": problem, "completion": solution}


def prm_row(problem: str, solution: str) -> dict[str, Any]:
    """Columns of a process reward model, TRL's: the last step has no delimiter."""
    steps = [step.removesuffix(DELIMITER) for step in split_steps(solution, DELIMITER)]
    return {"prompt": problem, "completions": steps, "labels": check_each_step(problem, solution)}


def orm_row(problem: str, solution: str, answer: int) -> dict[str, Any]:
    """Columns of an outcome reward model: 1 if the answer is right, whatever led to it."""
    label = int(solution.endswith(f"\\boxed{{{answer}}}"))
    return {"prompt": problem, "completion": solution, "label": label}


def rows_of(name: str, file: File) -> Iterator[dict[str, Any]]:
    """The rows of a training file."""
    rng = random.Random(f"arithmetic-data/{name}")
    held_out = evaluation_problems()
    written = 0
    while written < file.rows:
        difficulty = rng.choices(file.difficulties, file.weights)[0]
        problem, answer = draw_problem(rng, difficulty)
        if problem in held_out:
            continue
        solution = write_solution(problem, file.care, rng)
        written += 1
        if file.kind == "policy":
            yield policy_row(problem, solution)
        elif file.kind == "prm":
            yield prm_row(problem, solution)
        else:
            yield orm_row(problem, solution, answer)


def evaluation_problems() -> frozenset[str]:
    """Texts of the problems that are never trained on."""
    sets = (Arithmetic(EVALUATION_PROBLEMS, seed).load() for seed in EVALUATION_SEEDS)
    return frozenset(item.problem.text for items in sets for item in items)


def write_files(folder: Path) -> None:
    """Write the tokenizer and every training file into a folder, made where it is missing."""
    write_tokenizer(folder / "tokenizer")
    for name, file in FILES.items():
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as out:
            out.writelines(json.dumps(row) + "\n" for row in rows_of(name, file))


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))
