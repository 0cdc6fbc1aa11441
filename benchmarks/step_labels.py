"""How good step labels are: Monte Carlo and binary search beside exact checking.

    python benchmarks/step_labels.py --model tts_bench/tiny/policy

Generated arithmetic can be checked step by step without a model, so it tells what rollouts get
wrong. A run draws solutions, `label mc` labels them with the largest number of rollouts, and the
labels of fewer rollouts (and of the binary search) follow from the first ones of the same draws.
Prints JSON. Intervals are 95 %, with problems as clusters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from tts_bench.labelling.job import LabellingJob
from tts_bench.labelling.job import execute as execute_job
from tts_bench.labelling.label_file import LabelRow, Labels
from tts_bench.labelling.manifest import totals
from tts_bench.labelling.probe import RIGHT
from tts_bench.labelling.rollouts import BinarySearch, MonteCarlo, labels_of
from tts_bench.labelling.solutions import Solutions
from tts_bench.labelling.trace import Trace, distinct
from tts_bench.progress import Progress
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.run.runner import execute as execute_run
from tts_bench.stats.estimators import clustered_stderr
from tts_bench.stats.quantiles import normal
from tts_bench.steps import find_error_step, first_error
from tts_bench.suite.load import Suite, load_suite
from tts_bench.suite.registry import Registry
from tts_bench.tiny.worked_arithmetic import check_steps
from tts_bench.types import Problem

SUITE = """
name: step_labels
dataset: {{name: arithmetic, problems: {problems}, seed: {seed}, levels: {levels}}}
engine: {{name: {engine}, model: {model}}}
sampling: {{max_tokens: {max_tokens}, temperature: {temperature}}}
strategies: [{{strategy: best_of_n, n: {solutions}}}]
"""


@dataclass
class Recorded:
    """A probe that answers from rollouts which were drawn before, and counts those it is asked."""

    row: LabelRow
    asked: int = 0

    @property
    def trace(self) -> Trace:
        row = self.row
        problem = Problem(row.problem_id, row.prompt)
        cut_off = row.finish_reason == "length"
        return Trace(problem, row.reference, row.completions, cut_off, "")

    def check_fits(self, steps: int) -> None:
        """They fitted."""

    async def own_answer(self) -> bool | None:
        return self.row.correct

    async def rollouts(self, steps: int, n: int) -> str:
        self.asked += n
        return self.row.outcomes[steps - 1][:n]


async def make_labels(suite: Suite, arguments: argparse.Namespace) -> list[LabelRow]:
    """Draw solutions, label them, and give the lines of the label file."""
    folder = arguments.output_path
    options = RunOptions(output_path=folder)
    run = (await execute_run(make_plan(suite, options), options, Progress())).run
    found = distinct(Solutions(run.folder, suite.dataset, {}).read())
    job = LabellingJob(
        suite=suite,
        labeller=MonteCarlo(max(arguments.rollouts)),
        traces=found.traces,
        source=str(run.folder),
        delimiter="\n\n",
        output=folder / f"labels-{run.folder.name}.jsonl",
        generations=options.generations,
    )
    result = await execute_job(job, Progress(unit="solution"))
    if result.failed:
        raise SystemExit(f"{result.failed} solutions failed: see {job.output.parent}")
    return list(result.rows)


def exact(row: LabelRow) -> tuple[bool, ...]:
    """The labels that arithmetic itself gives, by the exact check."""
    return tuple(check_steps(row.prompt, "".join(row.completions)))


def with_monte_carlo(row: LabelRow, rollouts: int, threshold: float) -> Labels:
    """Labels from the first `rollouts` draws after each step."""
    outcomes = [behind[:rollouts] for behind in row.outcomes[: Recorded(row).trace.unsettled]]
    return labels_of(outcomes, row.correct, threshold)


def with_drop(row: LabelRow, rollouts: int) -> Labels:
    """Labels from the first step whose share of right rollouts falls below half the one before."""
    soft = with_monte_carlo(row, rollouts, 0.0).soft
    # Nothing was drawn from the problem itself, so the first step has nothing to fall from.
    first = find_error_step([value or 0.0 for value in soft], before=0.0)
    end = len(soft) if first < 0 else first
    return Labels(tuple(i < end for i in range(len(soft))))


def share(values: Sequence[float], problems: Sequence[str]) -> dict[str, Any]:
    """A mean with its 95 % interval; neither where there are too few values for it."""
    mean = sum(values) / len(values) if values else None
    interval = None
    if mean is not None and len(set(problems)) > 1:
        error = normal(0.95) * clustered_stderr(values, problems)
        interval = [round(max(0.0, mean - error), 4), round(min(1.0, mean + error), 4)]
    rounded = None if mean is None else round(mean, 4)
    return {"value": rounded, "ci95": interval, "of": len(values)}


def judge(rows: Sequence[LabelRow], labels_of_row: Callable[[LabelRow], Labels]) -> dict[str, Any]:
    """Labels against the exact ones, step by step up to the first wrong step."""
    steps: list[tuple[str, bool, bool]] = []
    traces: list[tuple[str, bool]] = []
    for row in rows:
        truth, found = exact(row), labels_of_row(row).labels
        first = first_error(truth)
        end = len(truth) if first < 0 else first + 1
        steps += [(row.problem_id, truth[i], found[i]) for i in range(end)]
        traces.append((row.problem_id, first_error(found) == first))

    def of(keep: Callable[[bool, bool], bool], hit: Callable[[bool, bool], bool]) -> dict[str, Any]:
        kept = [(name, float(hit(true, said))) for name, true, said in steps if keep(true, said)]
        return share([value for _, value in kept], [name for name, _ in kept])

    return {
        "steps_alike": of(lambda true, said: True, lambda true, said: true == said),
        "wrong_steps_labelled_right": of(lambda true, said: not true, lambda true, said: said),
        "right_steps_labelled_wrong": of(lambda true, said: true, lambda true, said: not said),
        "same_first_error": share(
            [float(same) for _, same in traces], [name for name, _ in traces]
        ),
    }


def search(rows: Sequence[LabelRow], rollouts: int) -> dict[str, Any]:
    """The binary search on the same draws, and how many of them it needs."""
    asked: list[int] = []

    def labels(row: LabelRow) -> Labels:
        probe: Any = Recorded(row)
        found = asyncio.run(BinarySearch(rollouts).label(probe))
        asked.append(probe.asked)
        return found

    figures = judge(rows, labels)
    return {**figures, "rollouts_per_solution": round(sum(asked) / len(asked), 1)}


def bias(rows: Sequence[LabelRow]) -> dict[str, Any]:
    """How often rollouts reach the right answer after right prefixes, and after wrong ones."""
    behind: dict[str, list[tuple[str, float]]] = {"right": [], "wrong": []}
    for row in rows:
        truth = exact(row)
        first = first_error(truth)
        end = len(truth) if first < 0 else first + 1
        for i in range(min(end, Recorded(row).trace.unsettled)):
            value = row.outcomes[i].count(RIGHT) / len(row.outcomes[i])
            behind["right" if truth[i] else "wrong"].append((row.problem_id, value))
    right = [row for row in rows if row.correct]
    lucky = [float(first_error(exact(row)) >= 0) for row in right]
    return {
        **{
            f"rollouts_right_behind_a_{kind}_step": share(
                [v for _, v in found], [n for n, _ in found]
            )
            for kind, found in behind.items()
        },
        "right_answers_with_a_wrong_step": share(lucky, [row.problem_id for row in right]),
    }


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, as one JSON object."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "step_labels.yaml"
        path.write_text(SUITE.format(**vars(arguments)))
        suite = load_suite(path, Registry())
    rows = asyncio.run(make_labels(replace(suite, path=Path("step_labels.yaml")), arguments))
    unsettled = [Recorded(row).trace.unsettled for row in rows]
    return {
        "model": arguments.model,
        "problems": len({row.problem_id for row in rows}),
        "solutions": len(rows),
        "right_solutions": sum(row.correct is True for row in rows),
        "solutions_with_a_wrong_step": sum(first_error(exact(row)) >= 0 for row in rows),
        "mc": {
            f"rollouts={k} threshold={threshold}": judge(
                rows, partial(with_monte_carlo, rollouts=k, threshold=threshold)
            )
            | {"rollouts_per_solution": round(k * sum(unsettled) / len(rows), 1)}
            for k in arguments.rollouts
            for threshold in (arguments.thresholds if k > 1 else [0.0])
        },
        "drop": {
            k: judge(rows, partial(with_drop, rollouts=k)) for k in arguments.rollouts if k > 1
        },
        "omega": {k: search(rows, k) for k in arguments.rollouts},
        "bias": bias(rows),
        "totals": totals(rows),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="tts_bench/tiny/policy")
    parser.add_argument("--engine", default="transformers")
    parser.add_argument("--problems", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--levels", type=int, nargs="+", default=[3, 4, 5])
    parser.add_argument("--solutions", type=int, default=4)
    parser.add_argument("--rollouts", type=int, nargs="+", default=[1, 4, 16, 32])
    parser.add_argument("--thresholds", type=float, nargs="+", default=[0.0, 0.125, 0.25])
    parser.add_argument("--max-tokens", type=int, default=320)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--output-path", type=Path, default=Path("results"))
    print(json.dumps(measure(parser.parse_args()), indent=2))


if __name__ == "__main__":
    main()
