"""Shards of a suite, run apart and joined."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tts_bench.dataset.arithmetic import Arithmetic
from tts_bench.errors import StoreError, UsageError
from tts_bench.run.shards import Shard
from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

PLUGIN = Path(__file__).parents[1] / "plugins" / "scripted.py"
KILLED = PLUGIN.with_name("killed_merge.py")
SUITE = {
    "name": "s",
    "dataset": {"name": "arithmetic", "problems": 20},
    "engine": {"name": f"{PLUGIN}:Arithmetic"},
    "verifier": "confidence",
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": ["greedy", {"strategy": "best_of_n", "n": [1, 4]}],
}


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(SUITE))
    return path


@pytest.fixture
def shards(suite: Path, tmp_path: Path, cli):
    """Runs shards of three, each into a results folder of its own, as on three machines."""

    def run(*numbers: int) -> list[Path]:
        for number in numbers:
            words = ("--shard", f"{number}/3", "-o", tmp_path / f"part{number}")
            done = cli("run", suite, *words, "--display", "none")
            assert done.returncode == 0, done.stderr
        return [tmp_path / f"part{number}" / "s" for number in numbers]

    return run


def lines(folder: Path) -> list[bytes]:
    return sorted(resolve_run(folder).attempts_path.read_bytes().splitlines())


def test_shards_are_all_problems_once_and_move_none(tmp_path: Path):
    items = Arithmetic(problems=200).load().items
    parts = [Shard(number, 7).part(items) for number in range(1, 8)]
    ids = [item.problem.id for part in parts for item in part]
    assert sorted(ids) == sorted(item.problem.id for item in items)
    assert min(map(len, parts)) > 10
    fewer = Shard(3, 7).part(items[:50])
    assert fewer == tuple(item for item in parts[2] if item in items[:50])


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/", "/2", "-1/2", "1/2/3"])
def test_what_is_no_shard_is_one_line(text):
    with pytest.raises(UsageError, match="must be K/N with 1 <= K <= N"):
        Shard.read(text)


def test_joined_shards_are_the_run_of_one_machine(shards, suite: Path, tmp_path: Path, cli):
    whole = cli("run", suite, "-o", tmp_path / "one", "--display", "none")
    assert whole.returncode == 0, whole.stderr
    done = cli("merge", *shards(3, 1, 2), "-o", tmp_path / "joined")
    assert done.returncode == 0, done.stderr
    assert lines(tmp_path / "joined" / "s") == lines(tmp_path / "one" / "s")
    one, joined = (resolve_run(tmp_path / name / "s") for name in ("one", "joined"))
    assert (joined.folder / "table.md").read_text() == (one.folder / "table.md").read_text()
    assert set(joined.measurements()) == set(one.measurements())
    manifest, alone = joined.read_manifest(), one.read_manifest()
    assert (manifest.status, manifest.partial) == ("complete", False)
    assert manifest.problems == alone.problems
    assert manifest.suite_hash == alone.suite_hash
    assert len(manifest.earlier_sessions) == 3
    assert cli("check", joined.folder).returncode == 0
    replayed = cli("run", suite, "-o", tmp_path / "joined", "--replay", "--display", "none")
    assert replayed.returncode == 0, replayed.stderr


def test_what_is_missing_is_named_and_the_same_suite_goes_on_from_there(
    shards, suite: Path, tmp_path: Path, cli
):
    one, three = shards(1, 3)
    run = resolve_run(three)
    kept = run.attempts_path.read_bytes().splitlines(keepends=True)[:-2]
    run.attempts_path.write_bytes(b"".join(kept))
    done = cli("merge", one, three, "-o", tmp_path / "joined")
    assert done.returncode == 1
    assert "missing   no run of shard 2/3" in done.stderr
    assert "missing   2 of " in done.stderr
    joined = resolve_run(tmp_path / "joined" / "s").read_manifest()
    assert (joined.status, joined.partial) == ("stopped", True)
    rest = cli("run", suite, "-o", tmp_path / "joined", "--display", "none")
    assert rest.returncode == 0, rest.stderr
    throughput = resolve_run(tmp_path / "joined" / "s").read_manifest().throughput
    assert throughput is not None
    assert throughput.requests_from_store > 0


def test_the_same_attempt_twice_counts_once(shards, tmp_path: Path, cli, suite: Path):
    parts = shards(1, 2, 3)
    cli("run", suite, "-o", tmp_path / "more", "--limit", "4", "--display", "none")
    done = cli("merge", *parts, tmp_path / "more" / "s", "-o", tmp_path / "joined")
    assert done.returncode == 0, done.stderr
    assert len(lines(tmp_path / "joined" / "s")) == 20 * 2


STRANGE = {
    "another data set": ({"dataset": {"name": "arithmetic", "problems": 21}}, "another data set"),
    "another sampling": (
        {"sampling": {"max_tokens": 65, "temperature": 0.8}},
        "another strategies",
    ),
    "other strategies": ({"strategies": ["greedy"]}, "another strategies than"),
    "another suite": ({"name": "t"}, r"another suite than .* \(t, not s\)"),
    "other seeds": ({"seeds": [1]}, "another seeds than"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_runs_that_do_not_belong_together_are_refused(name, shards, tmp_path: Path, cli):
    changes, said = STRANGE[name]
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(SUITE | changes))
    [first] = shards(1)
    cli("run", other, "--shard", "2/3", "-o", tmp_path / "other", "--display", "none")
    second = tmp_path / "other" / changes.get("name", "s")
    done = cli("merge", first, second, "-o", tmp_path / "joined")
    assert done.returncode == 2
    assert re.search(said, done.stderr), done.stderr
    assert not (tmp_path / "joined").exists()


def test_outcomes_that_contradict_each_other_are_refused(shards, suite, tmp_path: Path, cli):
    [first] = shards(1)
    cli("run", suite, "-o", tmp_path / "all", "--display", "none")
    run = resolve_run(first)
    rows = [json.loads(line) for line in run.attempts_path.read_bytes().splitlines()]
    rows[0]["correct"] = not rows[0]["correct"]
    run.attempts_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run.measurements_path.write_text("")  # their checksums would say that it is damaged
    done = cli("merge", tmp_path / "all" / "s", first, "-o", tmp_path / "joined")
    assert done.returncode == 2
    assert "stands in another run with another outcome" in done.stderr


def test_a_strategy_that_needs_all_problems_has_no_shards(tmp_path: Path, cli):
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(SUITE | {"strategies": ["compute_optimal"]}))
    done = cli("run", path, "--shard", "1/2", "-o", tmp_path)
    assert done.returncode == 2
    assert "compute_optimal shares one budget out among all problems" in done.stderr


def test_a_merge_that_fails_leaves_no_half_of_a_run(shards, tmp_path: Path, cli, monkeypatch):
    parts = shards(1, 2)

    def full(*_):
        raise StoreError("the disk is full")

    monkeypatch.setattr("tts_bench.run.merge.write_atomically", full)
    done = cli("merge", *parts, "-o", tmp_path / "joined")
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert not list((tmp_path / "joined" / "s").glob("*Z_*"))


def test_one_run_alone_is_nothing_to_join(shards, tmp_path: Path, cli):
    [first] = shards(1)
    done = cli("merge", first, first, "-o", tmp_path / "joined")
    assert done.returncode == 2
    assert "merge joins two runs or more" in done.stderr


@pytest.mark.parametrize("at", [1, 7, 29])
def test_a_merge_that_is_killed_leaves_nothing_that_is_taken_for_a_run(
    at: int, shards, suite: Path, tmp_path: Path, cli
):
    # 28 attempts of two shards and the manifest are 29 writes.
    parts, joined = shards(1, 2), tmp_path / "joined"
    words = [sys.executable, KILLED, "merge", *parts, "-o", joined]
    environment = {**os.environ, "MERGE_DIES_AT": str(at)}
    killed = subprocess.run(words, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    [half] = (joined / "s").glob("*Z_*")
    assert not (joined / "s" / "latest").exists()
    assert cli("ls", "runs", "-o", joined).stdout.count("Z_") == 0
    for words in (["report", half], ["report", joined / "s"], ["merge", half, *parts]):
        refused = cli(*words, *(["-o", tmp_path / "other"] if words[0] == "merge" else []))
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 1
    again = cli("merge", *parts, "-o", joined)
    assert again.returncode == 1, again.stderr
    assert "missing   no run of shard 3/3" in again.stderr
    assert not half.exists() or lines(joined / "s") == lines(half)
    assert lines(joined / "s") == sorted([*lines(parts[0]), *lines(parts[1])])
    assert len(list((joined / "s").glob("*Z_*"))) == 1


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 1)])
def test_a_merge_that_is_told_to_stop_while_it_writes_leaves_all_of_it(
    name: str, code: int, shards, tmp_path: Path
):
    parts, joined = shards(1, 2), tmp_path / "joined"
    words = [sys.executable, KILLED, "merge", *parts, "-o", joined]
    environment = {**os.environ, "MERGE_DIES_AT": "7", "MERGE_SIGNAL": name}
    told = subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, preexec_fn=_heed
    )
    assert told.returncode == code, told.stderr
    assert "Traceback" not in told.stderr
    assert lines(joined / "s") == sorted([*lines(parts[0]), *lines(parts[1])])
    assert resolve_run(joined / "s").read_manifest().status == "stopped"


def _heed() -> None:
    """Tests that run in the background ignore it, and so would a child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_folder_that_lost_its_manifest_otherwise_is_left_alone(shards, suite, tmp_path, cli):
    [part] = shards(1)
    whole = resolve_run(part).folder
    (whole / "manifest.json").unlink()
    assert cli("run", suite, "--shard", "1/3", "-o", part.parent).returncode == 0
    assert whole.is_dir()
