"""A run again, from its manifest: in place with a scripted engine, and with the tiny policy."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from manifests import a_manifest

from tts_bench.errors import UsageError
from tts_bench.run.rerun import differences, is_manifest, read_recorded
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore, resolve_run
from tts_bench.suite.registry import shipped

PLUGINS = Path(__file__).parents[1] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 5},
    "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": ["greedy", {"strategy": "self_consistency", "n": [1, 4]}],
}


@pytest.fixture
def bench(tmp_path: Path, cli, monkeypatch):
    """Runs `tts-bench run` on the suite, or on what stands for it; returns code and errors."""
    monkeypatch.chdir(tmp_path)
    # Tables and figures have tests of their own, and take most of a small run's time.
    monkeypatch.setattr("tts_bench.commands.report.report_run", lambda run, **_: None)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(SUITE))

    def bench(*options: object, suite: object = "mine.yaml") -> tuple[int, str]:
        done = cli("run", suite, *options, "--display", "plain")
        return done.returncode, done.stderr

    return bench


@pytest.fixture
def interruptible():
    """Ctrl-C works, also where the tests run in a shell's background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def runs() -> list[RunStore]:
    return [RunStore(one) for one in sorted(Path("results/mine").glob("*Z_*"))]


def lines(run: RunStore) -> list[str]:
    """The attempts, without the keys of completions, which tell fresh ones from stored ones."""
    rows = [json.loads(line) for line in run.attempts_path.read_bytes().splitlines()]
    for row in rows:
        row["pool"].pop("generation")
    return sorted(json.dumps(row) for row in rows)


def change(run: RunStore, **parts: object) -> None:
    run.write_manifest(run.read_manifest().changed(**parts))


def test_a_manifest_gives_the_same_attempts_in_a_new_folder(bench):
    options = ("--set", "sampling.temperature=0.6", "--seeds", "3,5", "--limit", "2-4")
    assert bench(*options, "--strategy", "self_consistency")[0] == 0
    [first] = runs()
    Path("mine.yaml").unlink()  # the manifest has all of it
    code, _ = bench(suite=first.manifest_path)
    assert code == 0
    old, new = runs()
    assert old.folder == first.folder
    assert len(lines(new)) == 3 * 2
    assert lines(new) == lines(old)
    before, now = old.read_manifest(), new.read_manifest()
    for key in ("suite", "suite_hash", "resolved", "cells", "seeds", "problems", "dataset"):
        assert getattr(now, key) == getattr(before, key), key
    assert now.repeats.run == first.folder.name
    assert now.throughput.requests_from_store == 0  # everything was made anew
    assert now.throughput.generated_tokens == before.throughput.generated_tokens > 0
    assert resolve_run(Path("results/mine")).folder == new.folder.resolve()


@pytest.mark.usefixtures("interruptible")
def test_each_repetition_is_a_new_run_and_a_stopped_one_goes_on(bench, monkeypatch):
    assert bench()[0] == 0
    manifest = runs()[0].manifest_path
    assert bench(suite=manifest)[0] == bench(suite=manifest)[0] == 0
    assert len(runs()) == 3
    monkeypatch.setenv("SCRIPTED_INTERRUPT_AFTER", "12")
    assert bench("--concurrency", "1", suite=manifest)[0] == 130
    monkeypatch.delenv("SCRIPTED_INTERRUPT_AFTER")
    assert len(runs()) == 4
    assert runs()[-1].read_manifest().status == "cancelled"
    assert bench(suite=manifest)[0] == 0
    assert len(runs()) == 4
    assert runs()[-1].read_manifest().status == "complete"
    assert lines(runs()[-1]) == lines(runs()[0])


def test_options_change_a_recorded_suite_as_they_change_any(bench):
    assert bench()[0] == 0
    [first] = runs()
    code, _ = bench("--strategy", "greedy", "--limit", "2", suite=first.manifest_path)
    assert code == 0
    # Another suite, so another hash: within one second the names do not tell which came first.
    [second] = [one for one in runs() if one.folder != first.folder]
    assert [json.loads(line)["cell"] for line in lines(second)] == ["greedy"] * 2


def test_a_replay_of_a_manifest_takes_the_recorded_completions(bench):
    assert bench("--fresh")[0] == 0
    [first] = runs()
    assert bench("--replay", suite=first.manifest_path)[0] == 0
    assert lines(runs()[1]) == lines(first)
    assert runs()[1].read_manifest().throughput.generated_tokens == 0


def test_what_differs_is_said_in_a_warning_each_and_kept(bench, monkeypatch):
    assert bench()[0] == 0
    [first] = runs()
    record = first.read_manifest()
    environment = record.environment.changed(packages={"torch": "0.1"}, python="2.7")
    change(first, environment=environment)
    monkeypatch.setenv("SCRIPTED_REVISION", "retrained")
    code, said = bench(suite=first.manifest_path)
    assert code == 0
    warnings = [line for line in said.splitlines() if line.startswith("warning: unlike the run")]
    assert any("python is 3." in line and "was 2.7" in line for line in warnings)
    assert any("torch is " in line and "was 0.1" in line for line in warnings)
    assert any("engine revision is retrained, was" in line for line in warnings)
    kept = runs()[1].read_manifest().repeats.differs
    assert [line.rpartition("repeats: ")[2] for line in warnings] == list(kept)


def manifest_of(**changes: object) -> RunManifest:
    environment = {
        "tts_bench": "0.1.0",
        "git": {"commit": "c0ffee", "dirty": False},
        "python": "3.11.7",
        "platform": "Linux",
        "packages": {"torch": "2.13.0"},
        "gpus": [],
    }
    whole = {
        "environment": environment,
        "engine": {"engine": "transformers 5", "model": "m", "revision": "r", "dtype": "float32"},
        "verifier": {"recipe": "prm", "model": {"model": "v", "revision": "one"}},
        "dataset": {"revision": "", "content_hash": "h"},
        "suite_hash": "s",
    }
    return a_manifest(**{**whole, **changes})


def test_equal_manifests_differ_in_nothing():
    assert differences(manifest_of(), manifest_of()) == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"suite_hash": "t"}, "the suite: its settings, its problems or the code"),
        ({"verifier": {"recipe": "prm", "model": None}}, "verifier model is None, was v"),
        ({"dataset": {"revision": "", "content_hash": "i"}}, "dataset content_hash is i, was h"),
        ({"verifier": {"recipe": "orm", "model": None}}, "verifier is orm, was prm"),
    ],
)
def test_a_difference_is_named(changes: dict, said: str):
    assert any(one.startswith(said) for one in differences(manifest_of(), manifest_of(**changes)))


def test_code_is_named_by_commit_and_by_what_is_not_committed():
    before = manifest_of()
    environment = before.environment.changed(git={"commit": "decade", "dirty": True})
    assert differences(before, manifest_of(environment=environment)) == [
        "commit is decade, was c0ffee",
        "code with uncommitted changes now",
    ]


def test_another_format_a_torn_manifest_and_an_import_are_told(tmp_path: Path):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps({"format_version": 9, "environment": {"tts_bench": "4.2"}}))
    with pytest.raises(
        UsageError, match=r"of format 9, and this version reads format 1 only: .*tts-bench 4.2"
    ):
        read_recorded(path)
    for text in ("[]", "{}"):
        path.write_text(text)
        with pytest.raises(UsageError, match="manifest of format None"):
            read_recorded(path)
    path.write_text('{"format_version": 1')
    with pytest.raises(UsageError, match=r"manifest.json: "):
        read_recorded(path)
    manifest_of(resolved={}).write(path)
    with pytest.raises(UsageError, match="was imported: there is no suite"):
        read_recorded(path)


def test_a_wrong_format_is_a_line_and_exit_2(bench):
    assert bench()[0] == 0
    [first] = runs()
    first.manifest_path.write_text(json.dumps({"format_version": 2}))
    code, said = bench(suite=first.manifest_path)
    assert code == 2
    assert "error: " in said
    assert "manifest of format 2" in said
    assert "Traceback" not in said
    assert len(runs()) == 1


def test_problems_that_are_gone_are_told(bench):
    assert bench()[0] == 0
    [first] = runs()
    problems = [*first.read_manifest().problems, {"id": "gone"}]
    change(first, problems=problems)
    code, said = bench(suite=first.manifest_path)
    assert code == 2
    assert "no longer has 1 of its 6 problems, first gone" in said


def test_folders_of_strategies_are_known_to_every_later_generation(bench):
    Path("plug").mkdir()
    own = (shipped("strategies") / "greedy.py").read_text()
    Path("plug/mine_own.py").write_text(own)
    Path("own.yaml").write_text(yaml.safe_dump({**SUITE, "strategies": ["mine_own"]}))
    assert bench("--include-path", "plug", "-o", "o1", suite="own.yaml")[0] == 0
    for before, now in (("o1", "o2"), ("o2", "o3")):
        code, said = bench("-o", now, suite=f"{before}/own/latest/manifest.json")
        assert code == 0, said
        assert resolve_run(Path(now, "own")).read_manifest().include_path == ("plug",)


def test_a_replay_looks_where_the_completions_were_recorded(bench):
    assert bench("-o", "kept")[0] == 0
    manifest = "kept/mine/latest/manifest.json"
    assert bench("--replay", suite=manifest)[0] == 0
    assert not Path("results").exists()
    assert len(list(Path("kept/mine").glob("*Z_*"))) == 2
    code, said = bench("--replay", "-o", "elsewhere", suite=manifest)
    assert (code, "nothing was ever recorded" in said) == (2, True)
    Path("kept/generations.sqlite").rename("moved.sqlite")
    code, said = bench("--replay", suite=manifest)
    assert (code, said.count("\n")) == (2, 1)
    assert "kept/generations.sqlite: say with -o which results folder has them" in said


def test_a_manifest_under_another_name_is_told_its_name(bench):
    assert bench()[0] == 0
    shutil.copy(runs()[0].manifest_path, "m.json")
    code, said = bench(suite="m.json")
    assert (code, said.count("\n")) == (2, 1)
    assert "error: m.json: the manifest of a run, and no suite" in said
    assert "manifest.json" in said


def test_only_a_file_of_that_name_is_a_manifest(tmp_path: Path):
    assert not is_manifest(str(tmp_path / "manifest.json"))
    (tmp_path / "suite.json").write_text("{}")
    assert not is_manifest(str(tmp_path / "suite.json"))


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_tiny_policy_repeats_itself_from_its_manifest(cli, tmp_path: Path, monkeypatch):
    """Begun in this process and repeated in another, with the model that is shipped."""
    monkeypatch.chdir(tmp_path)
    suite = {
        "dataset": {"name": "arithmetic", "problems": 3},
        "engine": {"name": "transformers", "model": "tts_bench/tiny/policy"},
        "sampling": {"max_tokens": 48},
        "strategies": ["greedy"],
        "concurrency": 1,  # the last digits of log-probabilities depend on the batch
    }
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(suite))
    first = cli("run", "mine.yaml", "--limit", "2", "--display", "none")
    assert first.returncode == 0, first.stderr
    [old] = runs()
    again = subprocess.run(
        [sys.executable, "-m", "tts_bench", "run", str(old.manifest_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    old, new = runs()
    differs = new.read_manifest().repeats.differs
    assert not [one for one in differs if not one.startswith("code with uncommitted")]
    assert len(lines(new)) == 2
    assert lines(new) == lines(old)
    assert new.read_manifest().throughput.generated_tokens > 0
    assert new.read_manifest().engine == old.read_manifest().engine
