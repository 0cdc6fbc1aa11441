"""The settings of vLLM that every engine has which runs it, here or elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from tts_bench.engine.base import FURTHER, Engine
from tts_bench.types import Count, Positive, Seed, Share, Word


@dataclass(frozen=True)
class VLLMSettings(Engine):
    """vLLM's own settings under their own names."""

    speed_only: ClassVar[frozenset[str]] = frozenset(
        {
            "tensor_parallel_size",
            "gpu_memory_utilization",
            "max_num_seqs",
            "max_num_batched_tokens",
            "enforce_eager",
            "kv_cache_gb",
            "seed",
        }
    )
    draws_with: ClassVar[frozenset[str]] = FURTHER

    model: Word
    """Hub id, or a folder with config.json, weights and tokenizer."""
    revision: str | None = None
    dtype: str = "auto"
    """`auto` is the weights' own type on a GPU and float32 on a CPU."""
    max_model_len: Count | None = None
    """Longest prompt plus completion in tokens; None takes the model's own."""
    tensor_parallel_size: Count = 1
    gpu_memory_utilization: Share = 0.9
    """Share of each GPU's memory for weights and KV cache."""
    max_num_seqs: Count = 256
    """Most requests that share one step."""
    max_num_batched_tokens: Count | None = None
    """Most tokens in one step. On a CPU it must be at least `max_model_len`."""
    enforce_eager: bool | None = None
    """None: eager on a CPU, compiled and with CUDA graphs on a GPU."""
    kv_cache_gb: Positive | None = None
    """KV cache in GiB. None: what `gpu_memory_utilization` leaves on a GPU; on a CPU 2 GiB, or
    half of the free memory if that is less."""
    seed: Seed = 0
    """Seeds what no request seeds; completions do not depend on it."""
    quantization: str | None = None
    trust_remote_code: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    """Further fields of vLLM's EngineArgs, passed on as they are."""
