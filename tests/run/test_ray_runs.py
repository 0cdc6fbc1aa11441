"""Runs on replicas of a Ray cluster: the attempts of engine `vllm`, whatever becomes of a node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml
from attempt_rows import rows
from ray_clusters import ENGINE, NO_RAY, TINY, RayNodes

from tts_bench.engine.ray.pool import ReplicaPool

pytest.importorskip("ray", reason=NO_RAY)
pytestmark = pytest.mark.usefixtures("undrawn")

STRATEGIES = [
    "greedy",
    {"strategy": "best_of_n", "n": [1, 4]},
    {"strategy": "self_consistency", "n": [1, 4]},
    {"strategy": "beam_search", "n": 4},
    {"strategy": "mcts", "n": 4},
    {"strategy": "budget_forcing", "waits": [1]},
    "adaptive_consistency",
]


def write(path: Path, engine: dict) -> Path:
    suite = {
        "name": "s",
        "dataset": {"name": "arithmetic", "problems": 3},
        "engine": {"model": TINY, "kv_cache_gb": 0.125, **engine},
        "sampling": {"max_tokens": 160, "temperature": 1.0},
        "verifier": "confidence",
        "strategies": STRATEGIES,
    }
    path.write_text(yaml.safe_dump(suite))
    return path


class KillOnce:
    """Kills a node while so many requests have begun, and adds another one."""

    def __init__(self, nodes: RayNodes, after: int) -> None:
        self._nodes, self._left = nodes, after
        self._killing: asyncio.Task[None] | None = None
        self._generate = ReplicaPool.generate

    async def generate(self, pool: ReplicaPool, request: object) -> object:
        self._left -= 1
        if self._left == 0:
            self._killing = asyncio.create_task(self._kill())
        return await self._generate(pool, request)  # type: ignore[arg-type]

    async def _kill(self) -> None:
        await asyncio.to_thread(self._nodes.kill_one)
        self._nodes.add()

    @property
    def is_done(self) -> bool:
        return self._killing is not None and self._killing.done()


@pytest.mark.vllm
@pytest.mark.slow
def test_a_node_of_two_that_is_killed_leaves_the_attempts_of_vllm(
    ray_nodes: RayNodes, tmp_path: Path, cli, monkeypatch
):
    killer = KillOnce(ray_nodes, after=40)
    monkeypatch.setattr(ReplicaPool, "generate", lambda *call: killer.generate(*call))
    engine = {
        "name": "ray",
        "address": ray_nodes.address,
        "replicas": 2,
        "resources": {ENGINE: 1},
    }
    path = write(tmp_path / "there.yaml", engine)
    done = cli("run", path, "-o", tmp_path / "there", "--display", "plain")
    assert done.returncode == 0, done.stderr
    assert killer.is_done
    assert done.stderr.count("a replica is lost (") == 1
    path = write(tmp_path / "here.yaml", {"name": "vllm"})
    done = cli("run", path, "-o", tmp_path / "here", "--display", "none")
    assert done.returncode == 0, done.stderr
    there, here = rows(tmp_path / "there", keys=True), rows(tmp_path / "here", keys=True)
    assert len(there) == 3 * 7
    assert all(row["error"] is None for row in there)
    assert there == here
