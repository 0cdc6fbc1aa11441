"""Writes what the tiny models are trained with: generated problems with worked solutions.

    python -m tts_bench.tiny.data FOLDER
    python -m tts_bench.tiny.data FOLDER --samples FILE

The tokenizer is written beside the files. Every file follows from its name and its settings
alone. With `--samples`, the solutions of a policy (as `tts-bench train data` writes them) are
labelled instead, by the exact check. No problem of the evaluation seeds, those that suites use,
is ever trained on.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

from tts_bench.dataset.arithmetic import LEVELS, Arithmetic, Difficulty, draw_problem
from tts_bench.steps import split_steps
from tts_bench.store.files import write_atomically
from tts_bench.tiny.tokenizer import write_tokenizer
from tts_bench.tiny.worked_arithmetic import (
    CAREFUL,
    DELIMITER,
    Care,
    check_each_step,
    reference,
    write_solution,
)

EVALUATION_SEEDS = range(4)
EVALUATION_PROBLEMS = 200
"""Problems of each seed that are kept out of all training files."""

SHORT = tuple(Difficulty(operations, largest=50, factor=9) for operations in (1, 2, 3))
"""Exercises of all operations, where levels 1 and 2 have small numbers and no products."""

ALL_LEVELS = (*LEVELS.values(),)
CHECKED = replace(CAREFUL, recheck=0.25, passes=3)
"""No slips; some solutions are gone through again."""


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
    "base-3": File("policy", 30_000, care=CHECKED),
    "careful": File("policy", 36_000, care=CHECKED),
    "policy-1": File("policy", 30_000, care=Care(recheck=0.5)),
    "policy-2": File("policy", 15_000),
    "prm-1": File("prm", 40_000),
    "prm-2": File("prm", 8_000),
    "orm": File("orm", 8_000),
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
    """Write every training file and the tokenizer into a folder, made if it is missing.

    The tokenizer comes last: if it is, all of them are.
    """
    for name, file in FILES.items():
        _write(folder / f"{name}.jsonl", rows_of(name, file))
    write_tokenizer(folder / "tokenizer")


def write_samples(samples: Path, folder: Path) -> None:
    """Label a policy's solutions as a whole and step by step: `orm.jsonl`, then `prm.jsonl`."""
    held_out = evaluation_problems()
    rows = [json.loads(line) for line in samples.read_text("utf-8").splitlines()]
    own = [(row["prompt"], row["completion"]) for row in rows if row["prompt"] not in held_out]
    _write(folder / "orm.jsonl", (orm_row(*pair, reference(pair[0])) for pair in own))
    _write(folder / "prm.jsonl", (prm_row(*pair) for pair in own))


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, "".join(json.dumps(row) + "\n" for row in rows))


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--samples", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(folder: Path, samples: Path | None) -> None:
    """Write the training files, or those of a policy's samples."""
    if samples:
        write_samples(samples, folder)
    else:
        write_files(folder)


if __name__ == "__main__":
    main()
