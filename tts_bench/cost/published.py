"""Shapes of published models that the shipped suites name: for forecasts before a download.

The sizes are those of the models' `config.json`. A run never reads this table: it takes the shape
of the model that was loaded.
"""

from __future__ import annotations

from tts_bench.cost.flops import ModelShape

_QWEN_0_5B = ModelShape(24, 896, 14, 2, 64, 4864, 151936, tied=True)
_QWEN_1_5B = ModelShape(28, 1536, 12, 2, 128, 8960, 151936, tied=True)
_QWEN_7B = ModelShape(28, 3584, 28, 4, 128, 18944, 152064)
_QWEN_32B = ModelShape(64, 5120, 40, 8, 128, 27648, 152064)
_LLAMA_1B = ModelShape(16, 2048, 32, 8, 64, 8192, 128256, tied=True)
_LLAMA_8B = ModelShape(32, 4096, 32, 8, 128, 14336, 128256)
_MISTRAL_7B = ModelShape(32, 4096, 32, 8, 128, 14336, 32000)

SHAPES = {
    "Qwen/Qwen2.5-0.5B-Instruct": _QWEN_0_5B,
    "Qwen/Qwen2.5-1.5B-Instruct": _QWEN_1_5B,
    "Qwen/Qwen2.5-Math-1.5B-Instruct": _QWEN_1_5B,
    "Qwen/Qwen2.5-7B-Instruct": _QWEN_7B,
    "Qwen/Qwen2.5-Math-7B-Instruct": _QWEN_7B,
    "Qwen/Qwen2.5-Math-PRM-7B": _QWEN_7B,
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": _LLAMA_8B,
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B": _QWEN_1_5B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": ModelShape(28, 1536, 12, 2, 128, 8960, 151936),
    "meta-llama/Llama-3.2-1B-Instruct": _LLAMA_1B,
    "meta-llama/Meta-Llama-3-8B-Instruct": _LLAMA_8B,
    "peiyi9979/math-shepherd-mistral-7b-prm": _MISTRAL_7B,
    "simplescaling/s1-32B": _QWEN_32B,
}
"""Shape by hub id; norms and biases, less than 0.1 % of the weights, are left out."""
