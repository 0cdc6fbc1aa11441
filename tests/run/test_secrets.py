"""Whole runs whose engine has a key: it is nowhere in what they print and write."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from command_line import Done

from tts_bench.secrets import masking
from tts_bench.store.runs import resolve_run

SECRET = "sk-very-secret-12345"
OTHER = "sk-another-one-67890"
ENGINE = """
import os
from dataclasses import dataclass, field
from tts_bench import *

@dataclass(frozen=True)
class Service(Engine):
    model: str = "service"
    api_key: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    def __post_init__(self):
        object.__setattr__(self, "inner", ScriptedEngine(self.write, max_model_len=4096))
    def write(self, prompt, request):
        if "FAILING" in os.environ:
            key = self.api_key or os.environ["SERVICE_API_KEY"]
            raise EngineError(f"401: wrong key {key} in {self.headers}")
        return "It is \\\\boxed{4}."
    async def start(self):
        return await self.inner.start()
    @property
    def tokenizer(self):
        return self.inner.tokenizer
    async def close(self): ...
    async def generate(self, request):
        return await self.inner.generate(request)
"""


@pytest.fixture
def bench(undrawn, tmp_path: Path, cli, monkeypatch):
    monkeypatch.setattr(masking, "_known", set())
    (tmp_path / "service.py").write_text(ENGINE)

    def bench(*options: object, key: str | None = None, suite: Path | None = None) -> Done:
        engine = {"name": f"{tmp_path / 'service.py'}:Service"}
        engine |= {} if key is None else {"api_key": key, "headers": {"Authorization": key}}
        path = tmp_path / "s.yaml"
        data = {
            "dataset": {"name": "arithmetic", "problems": 3},
            "engine": engine,
            "sampling": {"max_tokens": 64},
            "strategies": ["greedy"],
        }
        path.write_text(yaml.safe_dump(data))
        return cli("run", suite or path, *options, "--output-path", tmp_path / "results")

    return bench


def traces(tmp_path: Path, done: Done, *secrets: str) -> list[str]:
    """Where any of the secrets stands: files of the results, and what was printed."""
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    texts = {str(path): path.read_bytes() for path in files}
    texts |= {"stdout": done.stdout.encode(), "stderr": done.stderr.encode()}
    return [name for name, text in texts.items() if any(one.encode() in text for one in secrets)]


@pytest.mark.parametrize("where", ["suite", "--set", "environment"])
def test_a_key_is_nowhere_in_what_a_run_leaves(bench, tmp_path: Path, where: str, monkeypatch):
    options = []
    if where == "--set":
        options = ["--set", f"engine.api_key={SECRET}", "--set", f"engine.headers.token={SECRET}"]
    if where == "environment":
        monkeypatch.setenv("SERVICE_API_KEY", SECRET)
    key = SECRET if where == "suite" else None
    monkeypatch.setenv("FAILING", "yes")
    failed = bench(*options, key=key)
    assert failed.returncode == 1, failed.stderr
    assert "401: wrong key <masked>" in failed.stderr
    assert not traces(tmp_path, failed, SECRET)
    monkeypatch.delenv("FAILING")
    done = bench(*options, "--debug", key=key)
    assert done.returncode == 0, done.stderr
    assert not traces(tmp_path, done, SECRET)
    run = resolve_run(tmp_path / "results" / "s")
    if where != "environment":
        assert run.read_manifest().resolved["engine"]["api_key"] == "<masked>"
    assert yaml.safe_load((run.folder / "suite.yaml").read_text())["sampling"] == {"max_tokens": 64}


def test_a_run_goes_on_with_another_key(bench, tmp_path: Path, monkeypatch, cli):
    monkeypatch.setenv("FAILING", "yes")
    assert bench(key=SECRET).returncode == 1
    monkeypatch.delenv("FAILING")
    done = bench(key=OTHER)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "results" / "s").glob("*Z_*"))) == 1
    assert not traces(tmp_path, done, SECRET, OTHER)
    assert bench("--replay", key=SECRET).returncode == 0


def test_a_masked_suite_loads_and_asks_for_its_key_where_it_is_run(bench, tmp_path: Path, cli):
    assert bench(key=SECRET).returncode == 0
    run = resolve_run(tmp_path / "results" / "s")
    assert cli("validate", run.folder / "suite.yaml").returncode == 0
    refused = bench("--fresh", suite=run.folder / "suite.yaml")
    assert refused.returncode == 2
    assert "error: engine.api_key is masked in this suite" in refused.stderr
    again = bench("--replay", suite=run.manifest_path)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    "option",
    [
        f"engine.api_key={SECRET}",
        f"engine={{name: nowhere, api_key: {SECRET}}}",
        f"engine.api_keys={SECRET}",
        f"engine.api_key=[{SECRET}]",
        f"strategies[9].token={SECRET}",
    ],
)
def test_a_fault_does_not_tell_the_key(bench, tmp_path: Path, option: str):
    done = bench("--set", option, "--set", "sampling.max_tokens=none")
    assert done.returncode == 2
    assert not traces(tmp_path, done, SECRET)
