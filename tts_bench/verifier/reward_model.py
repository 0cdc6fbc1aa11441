"""What process and outcome reward models have in common: settings, start and close."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Engine, EngineInfo
from tts_bench.engine.ray.placement import Placement
from tts_bench.engine.server.addresses import Addresses
from tts_bench.engine.weights import check_model_exists, load_error, local_path
from tts_bench.errors import ModelError, VerifierError
from tts_bench.types import Count, NoneOrMore, Positive, Share, Threads, Word
from tts_bench.verifier.backend import Backend, Loading, Outputs, Reading
from tts_bench.verifier.base import Verifier, VerifierInfo
from tts_bench.verifier.formats import Format, OutcomeFormat

_OF_RAY: dict[str, Any] = {
    "address": None,
    "replicas": "auto",
    "cpus_per_replica": 1.0,
    "resources": {},
}
"""Settings of backend ray, and what they are if they are not given."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a model is read: its format, and what renders texts in it."""

    form: Format | OutcomeFormat
    renderer: Any
    token_ids: tuple[int, int] | None = None
    """Ids of the format's tokens for wrong and right, where the head is `tokens`."""


@dataclass(frozen=True, slots=True)
class Running:
    """A started reward model."""

    manner: Manner
    backend: Backend
    info: EngineInfo


@dataclass(frozen=True)
class RewardModel(Verifier):
    """A discriminative verifier: one forward pass over a text, and a head that is read."""

    speed_only: ClassVar[frozenset[str]] = frozenset(
        {
            "address",
            "answer_timeout",
            "api_key_env",
            "base_url",
            "batch_tokens",
            "cache_tokens",
            "cpus_per_replica",
            "gpu_memory_utilization",
            "kv_cache_gb",
            "max_in_flight",
            "patience",
            "replicas",
            "resources",
            "served_model",
            "tensor_parallel_size",
            "threads",
        }
    )

    last_only: ClassVar[bool] = False
    """Whether texts are read at their last token and nowhere else."""

    model: Word
    """Hub id or folder."""
    revision: str | None = None
    backend: Literal["transformers", "vllm", "server", "ray"] = "transformers"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """`auto` is float32 on the CPU, and what the weights are stored in elsewhere."""
    device: str = "auto"
    """For backend transformers; `auto` takes cuda, else mps, else cpu."""
    max_model_len: Count | None = None
    """Longest text in tokens; by default what the model was made for."""
    trust_remote_code: bool = False
    batch_tokens: Count = 16384
    """Tokens, padding and cached ones included, of one forward pass."""
    cache_tokens: NoneOrMore | None = None
    """Tokens whose keys and values are kept for later texts that begin alike; 0 keeps none. For
    backend transformers; by default what fits in a quarter of the memory that is free."""
    threads: Threads | None = None
    """Threads of torch, for backend transformers; by default torch's own choice."""
    gpu_memory_utilization: Share = 0.4
    """For backends vllm and ray: share of each GPU's memory for weights and KV cache."""
    kv_cache_gb: Positive | None = None
    """For backends vllm and ray: as for the engine."""
    tensor_parallel_size: Count = 1
    """For backends vllm and ray: GPUs that share the model."""
    options: dict[str, Any] = field(default_factory=dict)
    """For backends vllm and ray: further fields of vLLM's EngineArgs."""
    base_url: str | tuple[str, ...] = ()
    """For backend server: `http://host:8000`, a list of such, or a file with one in each line."""
    served_model: Word | None = None
    """For backend server: the model's name there; by default `model`."""
    api_key_env: str | None = None
    """For backend server: name of the environment variable that holds the key."""
    max_in_flight: Count = 2048
    """For backend server: most texts sent at once, over all servers."""
    answer_timeout: Positive = 1800.0
    """For backend server: seconds without an answer after which one counts as gone for a text."""
    patience: Positive = 120.0
    """For backends server and ray: seconds for which all may be gone before the verifier counts as
    dead; for ray also those that a start waits for room."""
    address: str | None = None
    """For backend ray, as the other settings below: as for the engine `ray`."""
    replicas: Count | Literal["auto"] = "auto"
    cpus_per_replica: Positive = 1.0
    resources: dict[str, Positive] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for settings that belong to another backend."""
        if self.backend == "server" and not self.base_url:
            raise ValueError("backend: server needs base_url, the address of a vLLM server")
        for name in ("base_url", "served_model", "api_key_env"):
            if getattr(self, name) and self.backend != "server":
                raise ValueError(f"{name} needs backend: server")
        for name, unset in _OF_RAY.items():
            if getattr(self, name) != unset and self.backend != "ray":
                raise ValueError(f"{name} needs backend: ray")
        if self.backend == "server":
            _ = self._addresses  # raises for an address that is none

    def urls(self) -> list[str]:
        """Addresses of the servers; none for other backends. Raises ModelError for what is none."""
        return self._addresses.urls() if self.backend == "server" else []

    @property
    def placement(self) -> Placement | None:
        """Where its replicas go; None for other backends."""
        if self.backend != "ray":
            return None
        return Placement(
            address=self.address,
            replicas=self.replicas,
            gpus=self.tensor_parallel_size,
            cpus_per_replica=self.cpus_per_replica,
            resources=self.resources,
            patience=self.patience,
        )

    @property
    def _addresses(self) -> Addresses:
        return Addresses(self.base_url, self.api_key_env)

    async def start(self, policy: Engine) -> VerifierInfo:
        """Load the model. Raises ModelError in one line where that fails."""
        self._check_settings()
        try:
            # Importing transformers takes seconds; the event loop stays free.
            manner, loading = await asyncio.to_thread(self._prepare)
        except Exception as error:
            raise load_error(self.model, error) from error
        backend = self._new_backend(loading)
        try:
            info = await backend.start()
        except BaseException:
            await backend.close()
            raise
        self.__dict__["_state"] = Running(manner, backend, info)
        # The record counts, not its name: it is what decides the scores.
        return VerifierInfo(f"{self.settings_key()} {manner.form}", info)

    async def close(self) -> None:
        """Free the model; what is still being read fails with VerifierError."""
        running: Running | None = self.__dict__.pop("_state", None)
        if running is not None:
            await running.backend.close()

    @abc.abstractmethod
    def _manner(self, config: Any, tokenizer: Any) -> Manner:
        """How this model is read. Raises ModelError."""

    @property
    def _running(self) -> Running:
        """The running state is no field, so that settings stay settings."""
        running: Running | None = self.__dict__.get("_state")
        if running is None:
            raise VerifierError("the verifier is not started")
        return running

    async def _read(self, readings: Sequence[Reading]) -> list[Outputs]:
        """Read texts. Raises VerifierError if one is too long."""
        longest = self._running.info.max_model_len
        for reading in readings:
            if len(reading.token_ids) > longest:
                raise VerifierError(
                    f"a solution has {len(reading.token_ids)} tokens with its problem, and"
                    f" {self.model} reads {longest} (verifier.max_model_len); lower"
                    " sampling.max_tokens or take a verifier with a longer context"
                )
        return await self._running.backend.read(readings)

    def _check_settings(self) -> None:
        check_model_exists(self.model)
        for name in ("batch_tokens", "max_model_len", "threads", "tensor_parallel_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ModelError(f"verifier.{name} is {value}; it must be at least 1")
        self.urls()
        if self.options and self.backend not in ("vllm", "ray"):
            raise ModelError("verifier.options are vLLM's: set backend: vllm")
        if "_state" in self.__dict__:
            raise VerifierError("the verifier is started already")

    def _prepare(self) -> tuple[Manner, Loading]:
        import transformers

        place = local_path(self.model)
        source = {"revision": self.revision, "trust_remote_code": self.trust_remote_code}
        config = transformers.AutoConfig.from_pretrained(place, **source)
        # Not the one of the backend's thread: a fast tokenizer serves one thread.
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **source)
        manner = self._manner(config, tokenizer)
        loading = Loading(
            model=self.model,
            source=source,
            config=config,
            tokenizer=tokenizer,
            head=manner.form.head,
            token_ids=manner.token_ids,
            dtype=self.dtype,
            max_model_len=self._longest(config),
            threads=self.threads,
            last_only=self.last_only,
        )
        return manner, loading

    def _longest(self, config: Any) -> int:
        text = config.get_text_config(decoder=True)
        made_for: int | None = getattr(text, "max_position_embeddings", None)
        if self.max_model_len is None:
            if made_for is None:
                raise ModelError(
                    f"{self.model} does not say how long a text may be: set max_model_len"
                )
            return made_for
        if made_for is not None and self.max_model_len > made_for:
            raise ModelError(
                f"verifier.max_model_len is {self.max_model_len}, but {self.model} was made for"
                f" {made_for} tokens"
            )
        return self.max_model_len

    def _new_backend(self, loading: Loading) -> Backend:
        of_vllm: dict[str, Any] = {
            "gpu_memory_utilization": self.gpu_memory_utilization,
            "kv_cache_gb": self.kv_cache_gb,
            "tensor_parallel_size": self.tensor_parallel_size,
            "options": self.options,
        }
        if self.backend == "vllm":
            from tts_bench.verifier.vllm_backend import VLLMBackend

            return VLLMBackend(loading, **of_vllm)
        if (where := self.placement) is not None:
            from tts_bench.verifier.ray_backend import RayBackend

            restarts = self.upkeep.restarts
            return RayBackend(loading, where, of_vllm, restarts=restarts, say=self.say)
        if self.backend == "server":
            from tts_bench.verifier.server_backend import ServerBackend

            return ServerBackend(
                loading,
                self._addresses,
                served_model=self.served_model or self.model,
                max_in_flight=self.max_in_flight,
                answer_timeout=self.answer_timeout,
                patience=self.patience,
            )
        from tts_bench.verifier.transformers_backend import TransformersBackend

        return TransformersBackend(
            loading,
            device=self.device,
            batch_tokens=self.batch_tokens,
            cache_tokens=self.cache_tokens,
        )


def charge(reading: Reading, outputs: Outputs) -> Call:
    """What a reading costs: a reward head computes none of the vocabulary's logits."""
    return Call(reading.token_ids, 0, outputs.cached_tokens, logits=0)
