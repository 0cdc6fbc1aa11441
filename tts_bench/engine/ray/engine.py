"""Engine `ray`: replicas of vLLM on the GPUs of one machine, or of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.ray.cluster import RayCluster, listed
from tts_bench.engine.ray.pool import ReplicaPool
from tts_bench.engine.ray.replica import RayLauncher, RayReplica
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.vllm_settings import VLLMSettings
from tts_bench.engine.weights import local_path
from tts_bench.errors import EngineError, ModelError
from tts_bench.types import Count, Positive


@dataclass
class _Running:
    cluster: RayCluster
    pool: ReplicaPool
    info: EngineInfo
    tokenizer: Tokenizer


@dataclass(frozen=True)
class RayEngine(VLLMSettings):
    """Replicas of one model, each a vLLM engine in an actor of Ray.

    Draws are seeded one by one, so which replica makes them does not matter, and they are those of
    engine `vllm` with the same settings: the store shares them.
    """

    speed_only: ClassVar[frozenset[str]] = VLLMSettings.speed_only | {
        "address",
        "replicas",
        "cpus_per_replica",
        "resources",
        "patience",
    }

    address: str | None = None
    """`auto`, `host:port` or `ray://host:port` of a Ray that runs; None starts one here."""
    replicas: Count | Literal["auto"] = "auto"
    """`auto`: as many as find room at the start; without GPUs one on each machine."""
    cpus_per_replica: Positive = 1.0
    """CPUs that Ray sets aside for each."""
    resources: dict[str, Positive] = field(default_factory=dict)
    """What else Ray sets aside for each, by Ray's names, for example an accelerator's type."""
    patience: Positive = 120.0
    """Seconds for which there may be no room: at the start, and if all replicas are lost."""

    async def start(self) -> EngineInfo:
        """Connect to Ray, and load the model in every replica."""
        if "_running" in self.__dict__:
            raise EngineError("engine 'ray' is started already")
        cluster = RayCluster(self.address)
        await cluster.connect()
        try:
            running = await self._begin(cluster)
        except BaseException:
            await cluster.disconnect()
            raise
        self.__dict__["_running"] = running
        return running.info

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        return self._started.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The replicas' tokenizer. Raises EngineError if the engine is not started."""
        return self._started.tokenizer

    async def close(self) -> None:
        """End every replica; a Ray that was not started here goes on."""
        running: _Running | None = self.__dict__.pop("_running", None)
        if running is not None:
            try:
                await running.pool.close()
            finally:
                await running.cluster.disconnect()

    async def generate(self, request: Request) -> Completion:
        """Draw one completion in the replica that suits; cancelling the call cancels it there."""
        return await self._started.pool.generate(request)

    def settings_key(self) -> str:
        """That of engine `vllm`: where its replicas are changes nothing."""
        return self.inner(self.model).settings_key()

    @property
    def bundle(self) -> dict[str, float]:
        """What each replica takes of a machine, beside GPUs."""
        return {"CPU": self.cpus_per_replica, **self.resources}

    def inner(self, model: str) -> VLLMEngine:
        """The engine in each replica, with its model loaded from there."""
        settings = {one.name: getattr(self, one.name) for one in fields(VLLMSettings)}
        return VLLMEngine(**settings | {"model": model})

    @property
    def _started(self) -> _Running:
        running: _Running | None = self.__dict__.get("_running")
        if running is None:
            raise EngineError("engine 'ray' is not started, or closed")
        return running

    async def _begin(self, cluster: RayCluster) -> _Running:
        bundle = await self._bundle(cluster)
        launcher = RayLauncher(self.model, self._inner_settings(), bundle)
        pool = ReplicaPool(
            launcher, patience=self.patience, restarts=self.upkeep.restarts, say=self.say
        )
        replica = await pool.start(await self._number(cluster, bundle))
        assert isinstance(replica, RayReplica)
        try:
            return _Running(cluster, pool, replica.info, await replica.tokenizer())
        except BaseException:
            await pool.close()
            raise

    async def _bundle(self, cluster: RayCluster) -> dict[str, float]:
        """What each replica takes of a machine, GPUs included if there are any."""
        gpus = {"GPU": float(self.tensor_parallel_size)} if await cluster.has_gpus() else {}
        return gpus | self.bundle

    async def _number(self, cluster: RayCluster, bundle: dict[str, float]) -> int:
        """How many replicas to start. Raises ModelError if there is certainly no room for them."""
        only_one = None if "GPU" in bundle or self.replicas != "auto" else 1
        room = await cluster.room(bundle, only_one)
        wanted = max(room, 1) if self.replicas == "auto" else self.replicas
        if room < wanted:
            short = f"room for {room} of {wanted} replicas ({listed(bundle)} of one machine each)"
            if cluster.is_fixed:
                raise ModelError(f"engine 'ray': this machine has {short}")
            self.say(f"the Ray cluster has {short}; waiting up to {self.patience:g} s")
        return wanted

    def _inner_settings(self) -> dict[str, Any]:
        """Those of the engine in each replica, whose working folder is another one."""
        here = Path(local_path(self.model)).expanduser()
        shipped = not Path(self.model).is_dir()
        model = str(here.resolve()) if here.is_dir() and not shipped else self.model
        inner = self.inner(model)
        return {one.name: getattr(inner, one.name) for one in fields(VLLMSettings)}
