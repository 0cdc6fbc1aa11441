"""Recorded pools whose figures others have published: published, recomputed, difference.

    python benchmarks/published.py POOLS_DIR [OUTPUT]

Imports or verifies each pool of the folder by the command line and writes a table for each to
OUTPUT/README.md (results/reference/published). Ends with 1 if a figure does not come back.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import Any

OUTPUT = Path("results/reference/published")
_BOUNDS = re.compile(r"([\d.]+) to ([\d.]+) % over all ways to break them")


class Outcome:
    """What the commands of a pool wrote and printed."""

    def __init__(self, folder: Path, printed: str) -> None:
        self.folder = folder
        self.printed = printed

    @cached_property
    def summary(self) -> Mapping[str, Any]:
        """The summary of the imported run."""
        found: Mapping[str, Any] = json.loads((self.folder / "summary.json").read_text("utf-8"))
        return found

    def coverage(self, k: int) -> float:
        """pass@k by this project's rows."""
        [curve] = self.summary["coverage"]
        return next(float(at["metrics"][0]["value"]) for at in curve["points"] if at["k"] == k)

    def accuracy(self, strategy: str, n: int) -> float:
        """A strategy's accuracy by this project's rows."""
        return next(
            float(point["metrics"][0]["value"])
            for point in self.summary["points"]
            if (point["strategy"], point["n"]) == (strategy, n)
        )

    def row(self, name: str) -> float:
        """A row that `report --convention` printed, in per cent or a count."""
        return next(
            float(line.split()[1])
            for line in self.printed.splitlines()
            if line.startswith("  ") and line.split()[0] == name and "there" not in line
        )

    def vote_bounds(self) -> tuple[float, float]:
        """Between what a vote of all draws lies, by how its ties are broken, in per cent."""
        found = _BOUNDS.search(" ".join(self.printed.split()))
        assert found is not None, "an import says what its ties may change"
        return float(found[1]), float(found[2])

    def first(self, how: str) -> int:
        """Problems whose right candidate is strictly highest, by an aggregate of its steps."""
        metrics = json.loads((self.folder / "verify.json").read_text("utf-8"))["metrics"]
        wanted = f"strictly highest, by {how}"
        return next(int(one["note"].split()[0]) for one in metrics if one["metric"] == wanted)


@dataclass(frozen=True)
class Figure:
    """A figure as it was published, to its last digit, and how it is read of an outcome."""

    name: str
    published: str
    read: Callable[[Outcome], float]
    counted: bool = False
    """Whether nobody printed it: it was counted from the published rows by other code."""

    def recomputed(self, outcome: Outcome) -> Decimal:
        """The figure to as many digits as the published one has."""
        exact = Decimal(repr(round(self.read(outcome), 9)))
        return exact.quantize(Decimal(self.published))


@dataclass(frozen=True)
class PublishedPool:
    """A recorded pool, from where it is, and the commands that give its figures."""

    file: str
    title: str
    source: str
    says: str
    """Who says the figures."""
    commands: tuple[str, ...]
    """`POOL`, `OUT` and `RUN` stand for the file, the folder and the run in it."""
    figures: tuple[Figure, ...]

    @property
    def name(self) -> str:
        """The pool's name, that of its table."""
        return self.file.removesuffix(".pool.jsonl")


def _percent(value: float) -> float:
    return 100 * value


def _ks(values: Mapping[int, str]) -> tuple[Figure, ...]:
    return tuple(
        Figure(f"pass@{k}", said, partial(Outcome.coverage, k=k), True)
        for k, said in values.items()
    )


def _rows(values: Mapping[str, str]) -> tuple[Figure, ...]:
    return tuple(
        Figure(name, said, partial(Outcome.row, name=name)) for name, said in values.items()
    )


_RECORDED = "--answers recorded --verdicts recorded"

POOLS = (
    PublishedPool(
        file="tot_game24_standard100.pool.jsonl",
        title="Game of 24, 100 puzzles x 100 answers by GPT-4",
        source="princeton-nlp/tree-of-thought-llm ab400345 (MIT)",
        says="arXiv 2305.10601, table 2",
        commands=(f"import POOL {_RECORDED} -o OUT --name pool",),
        figures=(
            Figure("pass@1, %", "7.3", lambda out: _percent(out.coverage(1))),
            Figure("pass@100, %", "33", lambda out: _percent(out.coverage(100))),
            *_ks({2: ".1057", 4: ".1391", 8: ".1694", 16: ".2001", 32: ".2400", 64: ".2929"}),
        ),
    ),
    PublishedPool(
        file="nemo_aime_7x3.pool.jsonl",
        title="NeMo-Skills' test data, 7 AIME problems x 3 answers with scores",
        source="NVIDIA-NeMo/Skills 8b18f399 (Apache-2.0)",
        says="the metrics file beside the data",
        commands=(
            f"import POOL {_RECORDED} --n 1,2,3 -o OUT --name pool",
            "report RUN --convention nemo-skills",
        ),
        figures=_rows(
            {
                "pass@1": "71.4286",
                "pass@2": "80.9524",
                "pass@3": "85.7143",
                "pass@1[avg-of-2]": "78.5714",
                "majority@2": "78.5714",
                "majority@3": "76.1905",
                "rm_best@1": "71.4286",
                "rm_best@2": "71.4286",
                "rm_best@3": "57.1429",
                "rm_majority@1": "71.4286",
                "rm_majority@2": "71.4286",
                "rm_majority@3": "71.4286",
                "avg_tokens": "9574",
            }
        ),
    ),
    PublishedPool(
        file="jhu_sat-math-100_T1.0.pool.jsonl",
        title="SAT mathematics, 100 multiple-choice questions x 10 answers by GPT-3.5",
        source="matthewrenze/jhu-llm-temperature b00cfb65 (BSD-2)",
        says="the recorded letters and verdicts; the recorded vote, .91, lies between the last two",
        commands=(f"import POOL {_RECORDED} -o OUT --name pool",),
        figures=(
            *_ks({1: ".701", 10: "1.00"}),
            Figure(
                "majority@10 if every tie is lost", ".86", lambda out: out.vote_bounds()[0] / 100
            ),
            Figure(
                "majority@10 if every tie is won", ".93", lambda out: out.vote_bounds()[1] / 100
            ),
        ),
    ),
    PublishedPool(
        file="soren_math500_20x16.pool.jsonl",
        title="MATH-500, 20 problems x 16 answers with scores",
        source="SorenDreano/MATH-500-subset-qwen2-answers-evaluated-by-open-PRM 67c71bd4 (MIT)",
        says="best-of-16 is recorded there, problem by problem",
        commands=(
            "import POOL --answers recorded --equal equivalent -o OUT --name pool",
            "report RUN --convention search-and-learn",
        ),
        figures=(
            Figure("solved by any of 16", "16", lambda out: 20 * out.coverage(16), True),
            Figure("solved by best-of-16", "13", lambda out: 20 * out.row("pred_naive@16") / 100),
            Figure(
                "weighted vote of 16", ".70", lambda out: out.accuracy("weighted_vote", 16), True
            ),
        ),
    ),
    PublishedPool(
        file="rewardmath_Math_Shepherd.pool.jsonl",
        title="RewardMATH, 483 problems x 10 solutions with Math-Shepherd's step scores",
        source="kimsh0507/RewardMATH_official cde06ab3 (MIT)",
        says="problems whose right solution is scored strictly highest, by aggregate of its steps",
        commands=("verify recorded POOL -o OUT",),
        figures=tuple(
            Figure(how, said, partial(Outcome.first, how=how), True)
            for how, said in {
                "min": "74",
                "last": "88",
                "mean": "73",
                "prod": "83",
                "gmean": "76",
                "max": "19",
            }.items()
        ),
    ),
)


def run(pool: PublishedPool, file: Path, folder: Path) -> Outcome:
    """Run the pool's commands. Raises RuntimeError if one fails."""
    imported = pool.commands[0].startswith("import")
    made = folder / "pool" / "latest" if imported else folder
    values = {"POOL": str(file), "OUT": str(folder), "RUN": str(made)}
    printed = []
    for command in pool.commands:
        words = [values.get(word, word) for word in shlex.split(command)]
        line = [sys.executable, "-m", "tts_bench", *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"tts-bench {shlex.join(words)}: {done.stderr.strip()}")
        printed.append(done.stdout)
    return Outcome(made, "".join(printed))


def table(pool: PublishedPool, outcome: Outcome) -> tuple[str, int]:
    """The pool's table, and how many figures are not as published."""
    lines = [
        f"## {pool.title}",
        "",
        f"`{pool.file}`, from {pool.source}. Figures: {pool.says}.",
        "",
        "```",
        *(f"tts-bench {command.replace('POOL', pool.file)}" for command in pool.commands),
        "```",
        "",
        "| figure | published | recomputed | difference |",
        "|---|---:|---:|---:|",
    ]
    off = 0
    for figure in pool.figures:
        found = figure.recomputed(outcome)
        difference = found - Decimal(figure.published)
        off += difference != 0
        shown = str(found).removeprefix("0") if figure.published.startswith(".") else str(found)
        gap = f"{difference.normalize():f}"
        said = f"{figure.published}{' (counted)' if figure.counted else ''}"
        lines.append(f"| {figure.name} | {said} | {shown} | {gap} |")
    return "\n".join(lines) + "\n", off


def main(arguments: Sequence[str]) -> int:
    """Write every table; returns the exit code."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write(f"usage: python benchmarks/published.py POOLS_DIR [{OUTPUT}]\n")
        return 2
    source = Path(arguments[0])
    output = Path(arguments[1]) if len(arguments) == 2 else OUTPUT
    parts, off, figures = [], 0, 0
    for pool in POOLS:
        file = source / pool.file
        if not file.is_file():
            sys.stderr.write(f"{file}: no such pool\n")
            return 2
        with tempfile.TemporaryDirectory() as folder:
            text, wrong = table(pool, run(pool, file, Path(folder)))
        parts.append(text)
        off, figures = off + wrong, figures + len(pool.figures)
        sys.stdout.write(f"{pool.name}: {len(pool.figures) - wrong} of {len(pool.figures)}\n")
    head = (
        "# Published figures, recomputed\n\n"
        f"{figures - off} of {figures} figures come back to the last digit that is given. Those\n"
        "marked as counted are in no table of the source: other code counted them from its rows.\n"
        "Made by "
        "`python benchmarks/published.py POOLS_DIR`; what it shows: "
        "[docs/published.md](../../../docs/published.md).\n\n"
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "README.md").write_text(head + "\n".join(parts), "utf-8")
    return 1 if off else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
