"""Solutions of fresh arithmetic problems with exactly labelled steps, to evaluate verifiers on.

    python benchmarks/tiny_steps.py --output data.jsonl
    tts-bench verify prm.yaml data.jsonl

with `verifier: {name: prm, model: tts_bench/tiny/prm, aggregate: min}` in prm.yaml. A step is
labelled right where it and all before it in its pass are.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from tts_bench.dataset.arithmetic import Arithmetic
from tts_bench.steps import split_steps
from tts_bench.tiny.worked_arithmetic import Care, check_steps, write_solution

SEED = 987654
"""Of the problems. No training draws from it, but the easiest levels are small: some of their
problems stand in the training data too."""


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--solutions", type=int, default=4)
    options = parser.parse_args()
    rng, lines = random.Random("verify/held out"), []
    for item in Arithmetic(problems=options.problems, seed=SEED).load():
        for number in range(options.solutions):
            text = write_solution(item.problem.text, Care(), rng)
            labels = check_steps(item.problem.text, text)
            row = {
                "id": f"{item.problem.id}#{number}",
                "problem_id": item.problem.id,
                "prompt": item.problem.text,
                "completions": split_steps(text),
                "labels": labels,
                "correct": labels[-1],
                "split": f"level{item.problem.level}",
            }
            lines.append(json.dumps(row) + "\n")
    options.output.write_text("".join(lines))


if __name__ == "__main__":
    main()
