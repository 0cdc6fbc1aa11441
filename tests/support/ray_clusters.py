"""A Ray cluster of several nodes on this machine, whose nodes tests may kill."""

from __future__ import annotations

import os
import signal
from typing import Any

from tts_bench.engine.ray.engine import RayEngine

NO_RAY = "ray is not installed: pip install 'tts-bench[ray]'"
TINY = "tts_bench/tiny/policy"
ENGINE = "engine"
"""What a node has one of, so that no two replicas land on one node."""
OBJECTS = 80 << 20
"""Bytes of each node's object store, about the least that Ray takes."""


class RayNodes:
    """A head, on which nothing is placed, and nodes with room for one replica each."""

    def __init__(self, nodes: int = 2) -> None:
        os.environ |= {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": OBJECTS}
        handler = signal.getsignal(signal.SIGTERM)
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        signal.signal(signal.SIGTERM, handler)  # Ray has put one of its own in its place
        self.address: str = self._cluster.address
        self._nodes: list[Any] = []
        for _ in range(nodes):
            self.add()

    def add(self) -> None:
        """One more node."""
        handler = signal.getsignal(signal.SIGTERM)
        node = self._cluster.add_node(
            num_cpus=1, resources={ENGINE: 1}, object_store_memory=OBJECTS
        )
        signal.signal(signal.SIGTERM, handler)
        self._nodes.append(node)

    def kill_one(self) -> None:
        """End a node at once, with all that runs there."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)

    def engine(self, **settings: Any) -> RayEngine:
        """An engine of the tiny policy with a replica on each node."""
        own = {"replicas": len(self._nodes), "resources": {ENGINE: 1.0}, "kv_cache_gb": 0.125}
        return RayEngine(**{"model": TINY, "address": self.address, **own, **settings})

    def close(self) -> None:
        """End all of it."""
        self._cluster.shutdown()
