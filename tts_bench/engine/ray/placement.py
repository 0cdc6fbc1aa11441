"""Where the replicas of a model go: on which Ray, how many, and what each takes of a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tts_bench.engine.ray.cluster import RayCluster, listed
from tts_bench.engine.ray.pool import ReplicaPool
from tts_bench.engine.ray.replica import RayLauncher, RayReplica
from tts_bench.errors import ModelError


@dataclass(frozen=True)
class Placed:
    """Replicas that are ready, and their cluster."""

    cluster: RayCluster
    pool: ReplicaPool
    first: RayReplica

    async def close(self) -> None:
        """End the replicas, and let the cluster go."""
        try:
            await self.pool.close()
        finally:
            await self.cluster.disconnect()


@dataclass(frozen=True)
class Placement:
    """The settings that say so."""

    address: str | None = None
    """None: a Ray that is started here."""
    replicas: int | Literal["auto"] = "auto"
    gpus: int = 1
    """For each replica, if the cluster has any."""
    cpus_per_replica: float = 1.0
    resources: Mapping[str, float] = field(default_factory=dict)
    patience: float = 120.0

    @property
    def bundle(self) -> dict[str, float]:
        """What each replica takes of a machine, beside GPUs."""
        return {"CPU": self.cpus_per_replica, **self.resources}

    async def start(
        self,
        actor: type[Any],
        model: str,
        settings: Mapping[str, Any],
        *,
        restarts: int,
        say: Callable[[str], None],
    ) -> Placed:
        """Start the replicas of a model, each an actor with these settings.

        Raises MissingExtra if Ray is not installed, ModelError for all else that fails.
        """
        cluster = RayCluster(self.address)
        await cluster.connect()
        try:
            gpus = {"GPU": float(self.gpus)} if await cluster.has_gpus() else {}
            bundle = gpus | self.bundle
            launcher = RayLauncher(actor, model, settings, bundle)
            pool = ReplicaPool(launcher, patience=self.patience, restarts=restarts, say=say)
            first = await pool.start(await self._number(cluster, bundle, say))
        except BaseException:
            await cluster.disconnect()
            raise
        assert isinstance(first, RayReplica)
        return Placed(cluster, pool, first)

    async def _number(
        self, cluster: RayCluster, bundle: dict[str, float], say: Callable[[str], None]
    ) -> int:
        """How many replicas to start. Raises ModelError if there is certainly no room for them."""
        only_one = None if "GPU" in bundle or self.replicas != "auto" else 1
        room = await cluster.room(bundle, only_one)
        wanted = max(room, 1) if self.replicas == "auto" else self.replicas
        if room < wanted:
            short = f"room for {room} of {wanted} replicas ({listed(bundle)} of one machine each)"
            if cluster.is_fixed:
                raise ModelError(f"engine 'ray': this machine has {short}")
            say(f"the Ray cluster has {short}; waiting up to {self.patience:g} s")
        return wanted


def absolute(model: str) -> str:
    """A model's folder with its whole path, for actors have other working folders; else its name.

    What is shipped with the package is found there by its name.
    """
    here = Path(model).expanduser()
    return str(here.resolve()) if here.is_dir() else model
