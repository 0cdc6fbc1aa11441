"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from tts_bench.report.points.point import read_points
from tts_bench.store.runs import resolve_run
from tts_bench.suite.fields import field_types
from tts_bench.suite.load import _KEYS
from tts_bench.types import Sampling

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PLUGIN = ROOT / "tests" / "plugins" / "scripted.py"


def test_the_rule_of_the_readme_is_best_of_n_at_one_and_stays_among_the_leaders(
    cli, tmp_path: Path, undrawn
):
    [source] = re.findall(r"```python\n(# best_of_leaders.py.*?)```", README, re.S)
    (tmp_path / "best_of_leaders.py").write_text(source)
    (tmp_path / "s.yaml").write_text(
        f"dataset: {{name: arithmetic, problems: 8}}\n"
        f"engine: {{name: '{PLUGIN}:Arithmetic'}}\n"
        f"sampling: {{max_tokens: 64, temperature: 0.8}}\n"
        f"verifier: confidence\n"
        f"strategies:\n"
        f"  - {{strategy: best_of_n, n: [1, 8]}}\n"
        f"  - {{strategy: best_of_leaders, leaders: 1, n: [1, 8]}}\n"
    )
    words = ["--include-path", tmp_path, "--output-path", tmp_path, "--display", "none"]
    assert cli("run", tmp_path / "s.yaml", *words).returncode == 0
    run = resolve_run(tmp_path / "s")
    by_name = {(one.cell.strategy, one.n): one for one in read_points(run).points}
    assert by_name["best_of_leaders", 1].by_problem == by_name["best_of_n", 1].by_problem
    mine = [one for one in run.attempts() if one.cell.startswith("best_of_leaders")]
    assert len(mine) == 8  # one pool for every n
    for attempt in mine:
        votes = Counter(answer for answer in attempt.pool.answer_class if answer >= 0)
        assert votes[attempt.pool.answer_class[attempt.chosen]] == max(votes.values())


def test_the_errors_of_the_readme_are_what_is_printed(cli, tmp_path: Path, monkeypatch):
    [suite] = re.findall(r"```yaml\n(.*?)```", README, re.S)
    [shown] = re.findall(r"```\n(error: .*?)```", README, re.S)
    broken = suite.replace("best_of_n", "best_of_m").replace("temperature", "temprature")
    (tmp_path / "s.yaml").write_text(broken)
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("run", "s.yaml")
    assert code == 2
    assert sorted(err.splitlines()) == sorted(shown.splitlines())


def test_the_suite_of_the_readme_is_valid(cli, tmp_path: Path):
    [suite] = re.findall(r"```yaml\n(.*?)```", README, re.S)
    (tmp_path / "s.yaml").write_text(suite.replace("math500", "arithmetic"))
    assert cli("validate", tmp_path / "s.yaml").returncode == 0


def test_every_key_of_a_suite_is_explained():
    page = (ROOT / "suites" / "README.md").read_text()
    for key in _KEYS:
        assert f"`{key}" in page, key
    for key in field_types(Sampling):
        assert f"`sampling.{key}`" in page, key


def test_every_strategy_is_named_in_the_readme(cli):
    for row in json.loads(cli("ls", "strategies", "--json").stdout):
        assert f"`{row['name']}`" in README
