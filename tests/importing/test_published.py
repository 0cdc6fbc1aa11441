"""Five recorded pools whose figures others have published: each comes back to the last digit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from command_line import Done, tts_bench
from parts import NOT_TO_BE_HAD, ROOT

from tts_bench.steps import Aggregate, aggregate


@pytest.fixture(scope="module")
def pools(shared_data: Path) -> Path:
    folder = shared_data / "pools"
    if not folder.is_dir():
        pytest.skip(f"{NOT_TO_BE_HAD}the recorded pools with published figures")
    return folder


class Import:
    """An import of a pool by the command line, and the figures in what it wrote."""

    def __init__(self, results: Path, pool: Path, *options: str) -> None:
        self.done = tts_bench("import", pool, "-o", results, "--name", "pool", *options)
        assert self.done.returncode == 0, self.done.stderr
        self.run = results / "pool" / "latest"
        self.summary: dict[str, Any] = json.loads((self.run / "summary.json").read_text())

    def coverage(self, k: int) -> float:
        [curve] = self.summary["coverage"]
        return next(one["metrics"][0]["value"] for one in curve["points"] if one["k"] == k)

    def accuracy(self, strategy: str, n: int) -> float:
        return next(
            one["metrics"][0]["value"]
            for one in self.summary["points"]
            if one["strategy"] == strategy and one["n"] == n
        )

    def by_convention(self, name: str) -> dict[str, str]:
        done: Done = tts_bench("report", self.run, "--convention", name)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.split("its options")[0].splitlines()[1:]
        return {line.split()[0]: line.split()[1] for line in lines}


def test_game_of_24_by_its_recorded_verdicts(pools: Path, tmp_path: Path):
    """Tree of Thoughts, arXiv:2305.10601, table 2: 7.3 and 33."""
    pool = pools / "tot_game24_standard100.pool.jsonl"
    found = Import(tmp_path, pool, "--verdicts", "recorded", "--answers", "recorded")
    assert f"{100 * found.coverage(1):.2f}" == "7.34"
    assert f"{100 * found.coverage(100):.0f}" == "33"
    values = [f"{found.coverage(k):.4f}" for k in (2, 4, 8, 16, 32, 64)]
    assert values == ["0.1057", "0.1391", "0.1694", "0.2001", "0.2400", "0.2929"]


def test_game_of_24_by_the_checker_of_the_docs(pools: Path, tmp_path: Path):
    """Every text ends in "= 24", so that the last number proves nothing."""
    page = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    [source] = re.findall(r"```python\n# game24.py\n(.*?)```", page, re.DOTALL)
    (tmp_path / "game24.py").write_text(source)
    pool = pools / "tot_game24_standard100.pool.jsonl"
    found = Import(tmp_path, pool, "--answer-kind", f"{tmp_path / 'game24.py'}:Game24")
    assert "verdicts  0 of 10000 recorded ones are not ours" in found.done.stdout
    assert f"{100 * found.coverage(1):.2f}" == "7.34"
    assert f"{100 * found.coverage(100):.0f}" == "33"


def test_nemo_skills_prints_these_of_seven_aime_problems(pools: Path, tmp_path: Path):
    """NeMo-Skills' own metrics file."""
    pool = pools / "nemo_aime_7x3.pool.jsonl"
    options = ["--answers", "recorded", "--verdicts", "recorded", "--n", "1,2,3"]
    rows = Import(tmp_path, pool, *options).by_convention("nemo-skills")
    assert [rows[f"pass@{k}"] for k in (1, 2, 3)] == ["71.4286", "80.9524", "85.7143"]
    assert rows["pass@1[avg-of-2]"] == "78.5714"
    assert [rows[f"majority@{k}"] for k in (2, 3)] == ["78.5714", "76.1905"]
    assert [rows[f"rm_best@{k}"] for k in (1, 2, 3)] == ["71.4286", "71.4286", "57.1429"]
    assert [rows[f"rm_majority@{k}"] for k in (1, 2, 3)] == ["71.4286"] * 3
    assert rows["avg_tokens"] == "9574"


def test_sat_questions_by_the_recorded_letters(pools: Path, tmp_path: Path):
    pool = pools / "jhu_sat-math-100_T1.0.pool.jsonl"
    options = ["--answers", "recorded", "--verdicts", "recorded"]
    found = Import(tmp_path / "all", pool, *options)
    assert f"{found.coverage(1):.3f}" == "0.701"
    assert found.coverage(10) == 1.0
    assert "86.00 to 93.00 % over all ways" in " ".join(found.done.stdout.split())
    assert 0.86 <= found.accuracy("self_consistency", 10) <= 0.93
    # `N` says that there is no answer: it wins no tie.
    none = Import(tmp_path / "none", pool, *options, "--no-answer", "N")
    assert "88.00 to 93.00 % over all ways" in " ".join(none.done.stdout.split())
    assert f"{none.coverage(1):.3f}" == "0.701"
    assert 0.86 <= none.accuracy("self_consistency", 10) <= 0.93


def test_best_of_16_problem_by_problem(pools: Path, tmp_path: Path):
    pool = pools / "soren_math500_20x16.pool.jsonl"
    options = ["--answers", "recorded", "--equal", "equivalent"]
    found = Import(tmp_path, pool, *options)
    assert round(20 * found.coverage(16), 9) == 16
    assert f"{found.accuracy('weighted_vote', 16):.2f}" == "0.70"
    # There a candidate without an answer can have the highest score, and is chosen.
    rows = found.by_convention("search-and-learn")
    assert float(rows["pred_naive@16"]) == 100 * 13 / 20
    recorded = [json.loads(line) for line in pool.read_text().splitlines()]
    kept = map(json.loads, (found.run / "attempts.jsonl").read_text().splitlines())
    ours = {one["problem"]: one["pool"] for one in kept if one["cell"].startswith("best_of_n")}
    assert len(recorded) == len(ours) == 20
    for row in recorded:
        mine = ours[row["id"]]
        top = mine["score"].index(max(mine["score"]))
        assert (mine["correct"][top] is True) == row["recorded"]["bon_correct"]
        assert (mine["answer"][top] or "") == row["recorded"]["bon_pred"]


def test_the_right_solution_is_scored_highest_as_often_as_published(pools: Path, tmp_path: Path):
    pool = pools / "rewardmath_Math_Shepherd.pool.jsonl"
    found = Import(tmp_path, pool, "--verdicts", "recorded", "--aggregate", "gmean")
    kept = map(json.loads, (found.run / "attempts.jsonl").read_text().splitlines())
    ours = [one["pool"] for one in kept if one["cell"].startswith("best_of_n")]
    assert len(ours) == 483
    assert all(one["correct"] == [True] + [False] * 9 for one in ours)

    def wins(scores: list[list[float]]) -> int:
        return sum(one[0] > max(one[1:]) for one in scores)

    assert wins([one["score"] for one in ours]) == 76
    by_aggregate = {
        how: wins([[aggregate(steps, how) for steps in one["steps"]] for one in ours])
        for how in get_args(Aggregate)
    }
    assert by_aggregate == {"min": 74, "last": 88, "mean": 73, "prod": 83, "gmean": 76, "max": 19}
