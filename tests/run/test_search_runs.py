"""Runs of step-wise searches: what is stored of a search, and what a report makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tts_bench.report.points.content import build_report
from tts_bench.store.runs import RunStore, resolve_run
from tts_bench.store.texts import distinct_draws
from tts_bench.strategy.tree import whole_texts

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = Path(__file__).parents[1] / "plugins" / "scripted.py"
PROLONGED = """
from dataclasses import dataclass
from tts_bench import Problem, Session, Solution, Strategy

@dataclass(frozen=True)
class Prolonged(Strategy):
    async def solve(self, problem: Problem, session: Session) -> Solution:
        first = await session.sample(2, stop=("\\n\\n",), max_tokens=3)
        return Solution((first[0], *await session.extend(first, inject=" wait ")), None)
"""


def run(tmp_path: Path, cli, strategies, **suite) -> RunStore:
    path = tmp_path / "s.yaml"
    whole = {
        "dataset": {"name": "arithmetic", "problems": 6},
        "engine": {"name": f"{PLUGIN}:Stepwise"},
        "verifier": "confidence",
        "sampling": {"max_tokens": 64, "temperature": 0.8},
        "strategies": strategies,
    }
    path.write_text(yaml.safe_dump({**whole, **suite}))
    done = cli("run", path, "-o", tmp_path, "--include-path", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    return resolve_run(tmp_path / "s")


def test_every_text_of_a_search_is_told_by_its_tree(tmp_path: Path, cli):
    searches = ["beam_search", "dvts", "rebase", "particle_filter", "mcts", "logprob_beam_search"]
    store = run(tmp_path, cli, [{"strategy": name, "n": 4} for name in searches])
    attempts = list(store.attempts())
    assert len(attempts) == 6 * len(searches)
    frame = pd.read_parquet(store.folder / "candidates.parquet")
    for attempt in attempts:
        tree = attempt.tree
        assert tree is not None
        assert not attempt.pool.text
        whole = whole_texts(tree)
        rows = frame.query("cell == @attempt.cell and problem == @attempt.problem")
        assert list(rows.text) == [whole[node] for node in attempt.pool.node]
        for text, score, answer, node in zip(
            rows.text, rows.score, rows.answer, attempt.pool.node, strict=True
        ):
            assert score == tree.score[node]
            assert tree.step[node] == text.count("\n\n") + 1
            assert pd.isna(answer) or answer in text
        # Copies of a particle are one draw.
        assert len(distinct_draws(attempt.pool)) == len(set(attempt.pool.node))
    assert max(len(attempt.pool.node) for attempt in attempts) == 4


def test_the_same_run_writes_the_same_lines(tmp_path: Path, cli):
    lines = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        store = run(tmp_path / name, cli, [{"strategy": "particle_filter", "n": 4}, "mcts"])
        lines.append(sorted(store.attempts_path.read_bytes().splitlines()))
    assert lines[0] == lines[1]


def test_a_text_that_was_continued_without_a_search_is_stored_whole(tmp_path: Path, cli):
    (tmp_path / "prolonged.py").write_text(PROLONGED)
    store = run(tmp_path, cli, ["prolonged"])
    frame = pd.read_parquet(store.folder / "candidates.parquet")
    for attempt in store.attempts():
        assert attempt.tree is None
        assert attempt.pool.text[0] is None
        first, *others = frame.query("problem == @attempt.problem").text
        assert len(first) == 3
        assert others == list(attempt.pool.text[1:])
        assert others[0].startswith(f"{first} wait ")


def test_flat_strategies_store_nothing_more_than_before(tmp_path: Path, cli):
    store = run(tmp_path, cli, ["greedy", {"strategy": "best_of_n", "n": 4}])
    for line in store.attempts_path.read_text().splitlines():
        row = json.loads(line)
        assert "tree" not in row
        assert not {"text", "node"} & set(row["pool"])
    assert all(attempt.tree is None for attempt in store.attempts())


def test_a_sweep_over_n_is_one_line_of_points_averaged_over_seeds(tmp_path: Path, cli):
    entry = {"strategy": "beam_search", "n": [1, 4, 8]}
    store = run(tmp_path, cli, ["greedy", entry], seeds=[0, 1, 2])
    attempts = [one for one in store.attempts() if one.cell.startswith("beam_search")]
    assert len(attempts) == 3 * 3 * 6
    points = [point for point in build_report(store).points if point.n is not None]
    assert [point.n for point in points] == [1, 4, 8]
    assert len({point.cell.line for point in points}) == 1
    for point in points:
        right: dict[str, list[bool]] = {}
        for one in attempts:
            if one.cell == point.cell.id:
                right.setdefault(one.problem, []).append(one.correct)
        means = [sum(found) / 3 for found in right.values()]
        mean = sum(means) / 6
        # The problem is the unit of the interval, whatever the seeds.
        spread = sum((one - mean) ** 2 for one in means) / 5
        assert point.accuracy.value == pytest.approx(mean)
        assert point.accuracy.stderr == pytest.approx((spread / 6) ** 0.5)
        assert point.seeds == 3
    costs = [point.policy.completion_tokens for point in points]
    assert costs == sorted(costs)
    assert costs[0] < costs[-1]
