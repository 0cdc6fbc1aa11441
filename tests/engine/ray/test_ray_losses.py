"""A run whose replicas are all lost: one line, and the same command goes on. No vLLM is needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import light_actor
import pytest
import yaml
from ray_clusters import ENGINE, NO_RAY, RayNodes

from tts_bench.engine.ray.pool import ReplicaPool
from tts_bench.store.runs import resolve_run

pytest.importorskip("ray", reason=NO_RAY)
pytestmark = pytest.mark.usefixtures("undrawn")


def write(path: Path, nodes: RayNodes, **settings: object) -> Path:
    engine = {
        "name": "ray",
        "model": "m",
        "address": nodes.address,
        "replicas": 2,
        "resources": {ENGINE: 1},
        "restarts": 1,
        "patience": 1,
        **settings,
    }
    suite = {
        "name": "s",
        "dataset": {"name": "arithmetic", "problems": 8},
        "engine": engine,
        "sampling": {"max_tokens": 32},
        "strategies": [{"strategy": "self_consistency", "n": [1, 4]}],
    }
    path.write_text(yaml.safe_dump(suite))
    return path


def rows(folder: Path) -> list[dict]:
    lines = resolve_run(folder / "s").attempts_path.read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda row: str(row["problem"]))


def test_all_nodes_killed_is_one_line_and_the_same_command_goes_on(
    ray_nodes: RayNodes, tmp_path: Path, cli, monkeypatch
):
    light_actor.replace_actor(monkeypatch.setattr)
    plain, asked = ReplicaPool.generate, 0

    async def generate(pool: ReplicaPool, request):
        nonlocal asked
        asked += 1
        if asked == 10:
            ray_nodes.kill_one()
            ray_nodes.kill_one()
        if asked >= 10:  # an actor answers on until it notices that its node is gone
            request = replace(request, seed=light_actor.HANGS)
        return await plain(pool, request)

    whole = write(tmp_path / "whole.yaml", ray_nodes)
    done = cli("run", whole, "-o", tmp_path / "whole", "--display", "none")
    assert done.returncode == 0, done.stderr
    command = ("run", write(tmp_path / "s.yaml", ray_nodes), "-o", tmp_path / "out")
    options = ("--display", "plain", "--concurrency", "1")
    try:
        with monkeypatch.context() as dying:
            dying.setattr(ReplicaPool, "generate", generate)
            stopped = cli(*command, *options)
    finally:
        ray_nodes.add()
        ray_nodes.add()
    assert stopped.returncode == 1
    assert "Traceback" not in stopped.stderr
    assert stopped.stderr.count("a replica is lost (") == 2
    [last] = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert "the engine died" in last
    assert 0 < len(rows(tmp_path / "out")) < 8
    again = cli(*command, *options)
    assert again.returncode == 0, again.stderr
    assert rows(tmp_path / "out") == rows(tmp_path / "whole")


def test_a_cluster_without_room_is_one_line_and_nothing_is_run(
    ray_nodes: RayNodes, tmp_path: Path, cli
):
    path = write(tmp_path / "s.yaml", ray_nodes, replicas=3)
    done = cli("run", path, "-o", tmp_path, "--display", "plain")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("error: there is no room for a replica: each takes 1 CPU, 1 engine")
    assert "the Ray cluster has room for 2 of 3 replicas" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_refused_with_its_line(tmp_path: Path, cli):
    for setting, value in (
        ("replicas", 0),
        ("replicas", "all"),
        ("address", "http://a"),
        ("resources", {"A100": -1}),
        ("cpus_per_replica", 0),
        ("patience", 0),
        ("adress", "auto"),
    ):
        engine = {"name": "ray", "model": "tts_bench/tiny/policy", setting: value}
        path = tmp_path / "s.yaml"
        suite = {
            "dataset": "arithmetic",
            "engine": engine,
            "sampling": {"max_tokens": 32},
            "strategies": ["greedy"],
        }
        path.write_text(yaml.safe_dump(suite))
        done = cli("run", path, "-o", tmp_path, "--dry-run")
        assert done.returncode == 2, (setting, value, done.stderr)
        assert setting in done.stderr
        assert done.stderr.count("\n") == 1
