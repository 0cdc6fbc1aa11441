"""Time, memory and sizes of the import of a large pool, in the form of monkey_business.

    python benchmarks/import_scale.py [--problems 128] [--completions 10000] [--characters 1000]
        [--form jsonl|json|parquet] [--keep FOLDER]

Writes a file with one huge row for each problem (texts of random words that end in an answer,
verdicts beside them), imports it in a process of its own with our answers and grading, and
says what that took. No model.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scale import timed  # type: ignore[import-not-found]  # the script beside this one

_WORDS = [f"{a}{b}{c}" for a in "abcdefgh" for b in "aeiou" for c in "lmnrst"]


def rows(problems: int, completions: int, characters: int) -> Iterator[dict[str, Any]]:
    """A row for each problem: a share of its own of the answers is right, others are wrong."""
    rng = random.Random(0)
    line = " ".join(rng.choices(_WORDS, k=characters // 2))
    for number in range(problems):
        chance = rng.random() ** 2
        right = [rng.random() < chance for _ in range(completions)]
        said = [number if one else number + rng.randint(1, 40) for one in right]
        starts = [rng.randrange(len(line) - characters) for _ in range(completions)]
        yield {
            "question": f"What is {number} + 0?",
            "gt_answer": str(number),
            "samples": [
                f"{line[start : start + characters]}\n\nThe answer is ${answer}$."
                for start, answer in zip(starts, said, strict=True)
            ],
            "is_corrects": right,
        }


def write(path: Path, found: Iterator[dict[str, Any]]) -> None:
    """The rows as a file of the form that the path's suffix says, a row at a time."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        first = next(found)
        table = pa.Table.from_pylist([first])
        with pq.ParquetWriter(path, table.schema) as writer:
            writer.write_table(table)
            for row in found:
                writer.write_table(pa.Table.from_pylist([row], table.schema))
        return
    is_list = path.suffix == ".json"
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(found):
            file.write(("[" if number == 0 else ",\n") if is_list else "\n" if number else "")
            json.dump(row, file)
        file.write("]" if is_list else "\n")


def main() -> None:
    """Make the file, import it, and say what that took."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--problems", type=int, default=128)
    options.add_argument("--completions", type=int, default=10_000)
    options.add_argument("--characters", type=int, default=1000)
    options.add_argument("--form", choices=["jsonl", "json", "parquet"], default="jsonl")
    options.add_argument("--keep", type=Path, help="folder that is not removed at the end")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"pools.{chosen.form}"
        if not path.exists():
            write(path, rows(chosen.problems, chosen.completions, chosen.characters))
        results = folder / "results"
        took = timed("import", str(path), "-o", str(results))
        run = (results / "pools" / "latest").resolve()
        sizes = {
            "file": path.stat().st_size,
            "store": (results / "generations.sqlite").stat().st_size,
            **{one.name: one.stat().st_size for one in sorted(run.iterdir()) if one.is_file()},
        }
        print(f"{chosen.problems} problems x {chosen.completions} completions, {chosen.form}")
        print("import:", took)
        for name, size in sizes.items():
            if size >= 1e6:
                print(f"{name}: {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
