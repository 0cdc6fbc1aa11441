"""Engine `ray`: replicas of vLLM on the GPUs of one machine, or of a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.ray.actor import EngineActor
from tts_bench.engine.ray.placement import Placed, Placement, absolute
from tts_bench.engine.ray.pool import ReplicaLost
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.vllm_settings import VLLMSettings
from tts_bench.errors import EngineError, ModelError
from tts_bench.types import Count, Positive


@dataclass
class _Running:
    placed: Placed
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
        settings = {one.name: getattr(self, one.name) for one in fields(VLLMSettings)}
        placed = await self.placement.start(
            EngineActor,
            self.model,
            settings | {"model": absolute(self.model)},
            restarts=self.upkeep.restarts,
            say=self.say,
        )
        try:
            tokenizer = await placed.first.tokenizer()
        except BaseException as error:
            await placed.close()
            if isinstance(error, ReplicaLost):
                raise ModelError(f"a replica was lost while it was started: {error}") from error
            raise
        self.__dict__["_running"] = _Running(placed, tokenizer)
        return placed.first.info

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        return self._started.placed.first.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The replicas' tokenizer. Raises EngineError if the engine is not started."""
        return self._started.tokenizer

    async def close(self) -> None:
        """End every replica; a Ray that was not started here goes on."""
        running: _Running | None = self.__dict__.pop("_running", None)
        if running is not None:
            await running.placed.close()

    async def generate(self, request: Request) -> Completion:
        """Draw one completion in the replica that suits; cancelling the call cancels it there."""
        done: Completion = await self._started.placed.pool.generate(request)
        return done

    def settings_key(self) -> str:
        """That of engine `vllm`: where its replicas are changes nothing."""
        inner = {one.name: getattr(self, one.name) for one in fields(VLLMSettings)}
        return VLLMEngine(**inner).settings_key()

    @property
    def placement(self) -> Placement:
        """Where its replicas go."""
        return Placement(
            address=self.address,
            replicas=self.replicas,
            gpus=self.tensor_parallel_size,
            cpus_per_replica=self.cpus_per_replica,
            resources=self.resources,
            patience=self.patience,
        )

    @property
    def _started(self) -> _Running:
        running: _Running | None = self.__dict__.get("_running")
        if running is None:
            raise EngineError("engine 'ray' is not started, or closed")
        return running
