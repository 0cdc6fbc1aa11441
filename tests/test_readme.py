"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tts_bench.store.runs import resolve_run
from tts_bench.suite.fields import field_types
from tts_bench.suite.load import _KEYS
from tts_bench.types import Sampling

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
PLUGIN = ROOT / "tests" / "plugins" / "scripted.py"


def test_the_strategy_of_the_readme_runs(cli, tmp_path: Path):
    [source] = re.findall(r"```python\n(# shortest.py.*?)```", README, re.S)
    (tmp_path / "shortest.py").write_text(source)
    (tmp_path / "s.yaml").write_text(
        f"dataset: {{name: arithmetic, problems: 5}}\n"
        f"engine: {{name: '{PLUGIN}:Arithmetic'}}\n"
        f"sampling: {{max_tokens: 64}}\n"
        f"strategies: [{{strategy: shortest, n: [2, 4]}}]\n"
    )
    words = ["--include-path", tmp_path, "--output-path", tmp_path, "--display", "none"]
    assert cli("run", tmp_path / "s.yaml", *words).returncode == 0
    attempts = list(resolve_run(tmp_path / "s").attempts())
    assert len(attempts) == 2 * 5  # no pool: each n is a cell
    for attempt in attempts:
        answered = [t for t, a in zip(attempt.pool.tokens, attempt.pool.answer, strict=True) if a]
        assert attempt.pool.tokens[attempt.chosen] == min(answered)


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
