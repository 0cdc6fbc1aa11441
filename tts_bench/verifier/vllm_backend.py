"""Reward models on vLLM: its pooling runner, read at every token.

vLLM can give the head's numbers at marked tokens only (its pooling of type STEP), but computes
every text from the beginning then. Read at all tokens it may begin after the prefix that its
cache holds, and gives the numbers of the tokens after it: the earlier ones are kept here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tts_bench.engine.base import EngineInfo
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.vllm_library import prepare_environment
from tts_bench.engine.vllm_worker import RequestCodec, VLLMWorker
from tts_bench.errors import (
    EngineDied,
    EngineError,
    MissingExtra,
    ModelError,
    VerifierDied,
    VerifierError,
)
from tts_bench.verifier.backend import Backend, Loading, Numbers, Outputs, Reading

if TYPE_CHECKING:
    from vllm import PoolingParams

    from tts_bench.verifier.prefixes import PrefixStore

KEPT_TOKENS = 1 << 22
"""Tokens whose numbers are kept: two floats each."""


@dataclass(frozen=True, slots=True)
class _Ask:
    prompt_ids: tuple[int, ...]
    afresh: bool = False
    """Whether to compute all of it, whatever the cache holds."""


class VLLMBackend(Backend):
    """One vLLM engine with the pooling runner."""

    def __init__(
        self,
        loading: Loading,
        *,
        gpu_memory_utilization: float,
        kv_cache_gb: float | None,
        tensor_parallel_size: int,
        options: dict[str, Any],
    ) -> None:
        self._loading = loading
        self._engine_settings: dict[str, Any] = {
            "gpu_memory_utilization": gpu_memory_utilization,
            "kv_cache_gb": kv_cache_gb,
            "tensor_parallel_size": tensor_parallel_size,
        }
        self._options = options
        self._worker: VLLMWorker | None = None
        self._store: PrefixStore | None = None

    async def start(self) -> EngineInfo:
        loading = self._loading
        if loading.head == "value":
            raise ModelError(
                f"vLLM has no class for a value head as that of {loading.model}: set backend:"
                " transformers"
            )
        if importlib.util.find_spec("vllm") is None:
            raise MissingExtra("backend 'vllm'", "vllm")
        prepare_environment()
        # Imports torch and vLLM, which takes seconds.
        self._store = await asyncio.to_thread(_new_store)
        pooling = await asyncio.to_thread(_pooling_options, loading)
        engine = VLLMEngine(
            model=loading.model,
            revision=loading.source["revision"],
            trust_remote_code=loading.source["trust_remote_code"],
            dtype=loading.dtype,
            max_model_len=loading.max_model_len,
            options=pooling | self._options,
            **self._engine_settings,
        )
        self._worker = engine.new_worker(RequestCodec(_parameters, _outcome))
        info = await self._worker.start()
        given = "".join(f" {name}={value}" for name, value in sorted(self._options.items()))
        return replace(info, engine=f"{' '.join(info.engine.split()[:2])} pooling{given}")

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker.close()

    async def read(self, readings: Sequence[Reading]) -> list[Outputs]:
        return list(await asyncio.gather(*map(self._read, readings)))

    async def _read(self, reading: Reading) -> Outputs:
        ids = reading.token_ids
        numbers = await self._ask(_Ask(ids))
        cached = len(ids) - len(numbers)
        if cached:
            before = self._known(ids)
            if len(before) < cached:  # what the cache begins with was never read, or is forgotten
                numbers, cached = await self._ask(_Ask(ids, afresh=True)), 0
            numbers = [*before[:cached], *numbers]
        if len(numbers) != len(ids):
            raise VerifierError(f"vLLM read {len(numbers)} of {len(ids)} tokens")
        self._keep(ids, numbers)
        values = tuple(numbers[at] for at in reading.positions)
        if not all(math.isfinite(number) for value in values for number in value):
            raise VerifierError("the reward model's output is not a number: damaged weights?")
        return Outputs(values, cached)

    async def _ask(self, request: _Ask) -> list[Numbers]:
        if self._worker is None:
            raise VerifierError("the verifier is not started")
        try:
            numbers: list[Numbers] = await self._worker.ask(request)
        except EngineDied as error:
            raise VerifierDied(str(error)) from error
        except EngineError as error:
            raise VerifierError(str(error)) from error
        return numbers

    def _known(self, ids: tuple[int, ...]) -> list[Numbers]:
        assert self._store is not None
        pieces = self._store.find(ids).pieces
        return [tuple(row) for (piece,) in pieces for row in piece.tolist()]

    def _keep(self, ids: tuple[int, ...], numbers: Sequence[Numbers]) -> None:
        import torch

        assert self._store is not None
        self._store.add(ids, 0, (torch.tensor(numbers, dtype=torch.float64),))


def _new_store() -> PrefixStore:
    from tts_bench.verifier.prefixes import PrefixStore

    return PrefixStore(KEPT_TOKENS)


def _pooling_options(loading: Loading) -> dict[str, Any]:
    """What makes vLLM load the model as one that is read at every token."""
    from vllm.config import PoolerConfig

    options: dict[str, Any] = {
        "runner": "pooling",
        "pooler_config": PoolerConfig(tok_pooling_type="ALL"),
    }
    if loading.token_ids is not None:
        causal = str(loading.config.architectures[0])
        options["hf_overrides"] = {
            "architectures": [causal.replace("ForCausalLM", "ForSequenceClassification")],
            "classifier_from_token": loading.tokenizer.convert_ids_to_tokens(
                list(loading.token_ids)
            ),
            "method": "from_2_way_softmax",
        }
    return options


def _parameters(request: _Ask, _: Any) -> PoolingParams:
    from vllm import PoolingParams

    return PoolingParams(
        task="token_classify",
        use_activation=False,
        skip_reading_prefix_cache=request.afresh,
    )


def _outcome(_: _Ask, output: Any, __: Any) -> list[Numbers]:
    return [tuple(row) for row in output.outputs.data.float().tolist()]
