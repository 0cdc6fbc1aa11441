"""Write the solutions of those problems that a run solved sometimes, for labels of their steps.

    python benchmarks/math500_cpu/mixed.py RUN solutions.jsonl

Rollouts on a problem that is never solved label every step wrong, and teach nothing about steps.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from tts_bench.store.runs import resolve_run


def main(source: str, target: str) -> None:
    """Write the candidates of mixed problems, and say how many there are."""
    table = pd.read_parquet(resolve_run(Path(source)).folder / "candidates.parquet")
    share = table.groupby("problem")["correct"].transform("mean")
    mixed = table[(share > 0) & (share < 1)]
    columns = {"problem": "problem_id", "text": "solution", "finish_reason": "finish_reason"}
    mixed[list(columns)].rename(columns=columns).to_json(target, orient="records", lines=True)
    print(
        f"{len(mixed)} solutions of {mixed['problem'].nunique()} problems, "
        f"{int(mixed['correct'].sum())} right; {table['problem'].nunique()} problems were tried"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
