from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tts_bench.cost.flops import ModelShape, Parameters, UnknownShape, parameters
from tts_bench.cost.shapes import shape_from_config

LLAMA_1B = {
    "model_type": "llama",
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 8192,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
QWEN_1B5 = {
    "model_type": "qwen2",
    "num_hidden_layers": 28,
    "hidden_size": 1536,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "sliding_window": 32768,
}
LLAMA_8B = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
TERA = 1e12


@pytest.mark.parametrize(
    ("config", "total"),
    [(LLAMA_1B, 1_235_814_400), (QWEN_1B5, 1_543_714_304), (LLAMA_8B, 8_030_261_248)],
)
def test_parameter_totals_are_the_published_ones(config: dict[str, Any], total: int) -> None:
    assert parameters(shape_from_config(config)) == Parameters(total=total, active=total)


@pytest.mark.parametrize(
    ("config", "body", "head", "per_key"),
    [
        (LLAMA_1B, 973_078_528, 262_668_288, 131_072),
        (QWEN_1B5, 1_310_195_712, 233_373_696, 172_032),
        (LLAMA_8B, 6_979_321_856, 525_336_576, 524_288),
    ],
)
def test_costs_per_token_match_hand_counts(
    config: dict[str, Any], body: int, head: int, per_key: int
) -> None:
    shape = shape_from_config(config)
    assert shape.body_per_token == 2 * body
    assert shape.head_per_token == 2 * head
    assert shape.attention_per_key == per_key


@pytest.mark.parametrize(
    ("config", "shared", "repeated", "prefill", "decode"),
    [(LLAMA_1B, 21.26, 28.80, 0.503, 1.297), (QWEN_1B5, 26.64, 36.79, 0.677, 1.623)],
)
def test_worked_example_of_best_of_16(
    config: dict[str, Any], shared: float, repeated: float, prefill: float, decode: float
) -> None:
    shape = shape_from_config(config)
    assert shape.prefill(256) / TERA == pytest.approx(prefill, abs=5e-4)
    assert shape.decode(256, 512) / TERA == pytest.approx(decode, abs=5e-4)
    assert (shape.prefill(256) + 16 * shape.decode(256, 512)) / TERA == pytest.approx(
        shared, abs=5e-3
    )
    assert 16 * shape.completion(256, 512) / TERA == pytest.approx(repeated, abs=5e-3)


def test_worked_example_of_a_verifier_over_768_tokens() -> None:
    shape = shape_from_config(LLAMA_8B)
    assert shape.scoring(768) / TERA == pytest.approx(10.88, abs=5e-3)
    assert shape.scoring(768, logits=768) / TERA == pytest.approx(11.68, abs=5e-3)


SLIDING = ModelShape(
    layers=3,
    hidden=8,
    heads=2,
    kv_heads=1,
    head_dim=4,
    intermediate=16,
    vocab=32,
    sliding_window=5,
    sliding_layers=2,
)


def by_token(shape: ModelShape, first: int, last: int, logits: bool) -> float:
    """Operations of the tokens at positions first ... last, one by one."""
    total = 0.0
    for position in range(first, last + 1):
        keys = (shape.layers - shape.sliding_layers) * position
        keys += shape.sliding_layers * min(position, shape.sliding_window or position)
        total += shape.body_per_token + 4 * shape.heads * shape.head_dim * keys
        total += shape.head_per_token if logits else 0.0
    return total


@pytest.mark.parametrize("shape", [SLIDING, replace(SLIDING, sliding_layers=0)])
@pytest.mark.parametrize(("prompt", "cached"), [(3, 0), (12, 0), (12, 3), (12, 7), (12, 11)])
def test_closed_forms_equal_the_sum_over_tokens(
    shape: ModelShape, prompt: int, cached: int
) -> None:
    read = by_token(shape, cached + 1, prompt, logits=False)
    assert shape.prefill(prompt, cached) == read + shape.head_per_token
    assert shape.scoring(prompt, cached) == read
    for completion in (1, 2, 9):
        written = by_token(shape, prompt + 1, prompt + completion - 1, logits=True)
        assert shape.decode(prompt, completion) == written
        assert shape.completion(prompt, completion, cached) == (
            read + shape.head_per_token + written
        )


def test_arrays_give_what_scalars_give() -> None:
    prompts, cached, written = np.array([3, 12, 12]), np.array([0, 5, 12]), np.array([1, 0, 9])
    expected = [
        SLIDING.completion(int(p), int(d), int(s))
        for p, s, d in zip(prompts, cached, written, strict=True)
    ]
    assert SLIDING.completion(prompts, written, cached).tolist() == expected
    assert type(SLIDING.prefill(12)) is float


def test_a_prompt_cached_as_a_whole_costs_nothing() -> None:
    assert SLIDING.prefill(12, 12) == 0.0
    assert SLIDING.prefill(0) == 0.0


def test_nothing_written_costs_nothing() -> None:
    assert SLIDING.decode(12, 0) == 0.0
    assert SLIDING.decode(12, 1) == 0.0


def test_counts_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="more tokens cached"):
        SLIDING.prefill(3, 4)
    with pytest.raises(ValueError, match="negative"):
        SLIDING.decode(-1, 4)


@pytest.mark.parametrize(
    "fault",
    [
        {"moe_layers": 4},
        {"moe_layers": 1, "experts": 2, "experts_per_token": 3},
        {"sliding_window": None},
    ],
)
def test_shapes_that_contradict_themselves_are_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"experts|layers"):
        replace(SLIDING, **fault)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "deepseek_v3"}, "MLA"),
        ({"model_type": "mamba2"}, "state-space"),
        ({"model_type": "no_such_model"}, "no_such_model"),
        ({}, "no model_type"),
        ({**LLAMA_1B, "hidden_size": None}, "hidden_size"),
        ({k: v for k, v in QWEN_1B5.items() if k != "num_key_value_heads"}, "num_key_value"),
        ({**LLAMA_1B, "model_type": "mistral"}, "sliding_window"),
        ({**QWEN_1B5, "use_sliding_window": True, "layer_types": None}, "layer_types"),
        (
            {**LLAMA_1B, "model_type": "gemma2", "layer_types": ["linear_attention"] * 16},
            "linear_attention",
        ),
    ],
)
def test_what_is_not_known_is_not_guessed(config: dict[str, Any], says: str) -> None:
    with pytest.raises(UnknownShape, match=says):
        shape_from_config(config)


# --- against transformers and torch's own counter ---------------------------------------------

SMALL: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "intermediate_size": 112,
    "vocab_size": 96,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
NO_HEAD_DIM = {key: value for key, value in SMALL.items() if key != "head_dim"}
MIXTURE = {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 48}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": SMALL,
    "llama with biases": {**SMALL, "attention_bias": True, "mlp_bias": True},
    "qwen2": {**NO_HEAD_DIM, "tie_word_embeddings": True},
    "qwen2 sliding": {
        **NO_HEAD_DIM,
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 1,
    },
    "qwen3": SMALL,
    "mistral": {**SMALL, "sliding_window": 8},
    "mixtral": {**SMALL, "num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {
        **NO_HEAD_DIM,
        **MIXTURE,
        "shared_expert_intermediate_size": 80,
        "mlp_only_layers": [1],
    },
    "qwen3_moe": {**SMALL, **MIXTURE, "decoder_sparse_step": 2},
    "gemma": SMALL,
    "gemma2": {**SMALL, "sliding_window": 8},
    "gemma3_text": {**SMALL, "sliding_window": 8, "sliding_window_pattern": 2},
    "phi3": NO_HEAD_DIM,
    "smollm3": NO_HEAD_DIM,
    "gpt_neox": {**NO_HEAD_DIM, "num_key_value_heads": None},
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 96, "n_positions": 128},
}


@pytest.fixture(scope="module")
def torch() -> Any:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import torch

    torch.set_num_threads(1)
    return torch


def small_model(torch: Any, family: str) -> tuple[Any, ModelShape]:
    import transformers

    settings = {key: value for key, value in FAMILIES[family].items() if value is not None}
    config = transformers.AutoConfig.for_model(family.split()[0], **settings)
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return model.eval(), shape_from_config(config.to_dict())


def counted(torch: Any, model: Any, ids: Any, cache: Any, *, logits: bool) -> tuple[int, Any]:
    """Operations of one forward pass by torch's counter, and the cache after it."""
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if logits:
            out = model(ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        else:
            out = model.base_model(ids, past_key_values=cache, use_cache=True)
    return counter.get_total_flops(), out.past_key_values


@pytest.mark.parametrize("family", FAMILIES)
def test_parameter_counts_equal_those_of_the_model(torch: Any, family: str) -> None:
    model, shape = small_model(torch, family)
    assert parameters(shape).total == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_and_writing_token_by_token_agrees_with_torch(torch: Any, family: str) -> None:
    """With one query a pass, eager attention computes just the keys that the causal mask shows."""
    model, shape = small_model(torch, family)
    ids = torch.randint(3, 96, (1, 40))
    prompt, cached, written = 24, 10, 17
    cache: Any = None
    passes = []
    for position in range(prompt + written - 1):
        logits = position >= prompt - 1
        cost, cache = counted(torch, model, ids[:, position : position + 1], cache, logits=logits)
        passes.append(cost)
    assert shape.prefill(prompt) == pytest.approx(sum(passes[:prompt]), rel=1e-3)
    assert shape.prefill(prompt, cached) == pytest.approx(sum(passes[cached:prompt]), rel=1e-3)
    assert shape.decode(prompt, written) == pytest.approx(sum(passes[prompt:]), rel=1e-3)


@pytest.mark.parametrize("family", ["llama", "qwen2", "mixtral", "mistral", "gpt2"])
@pytest.mark.parametrize("cached", [0, 10])
def test_reading_a_prompt_at_once_agrees_with_torch(torch: Any, family: str, cached: int) -> None:
    """In one pass eager attention computes masked keys too; they are taken off torch's count."""
    model, shape = small_model(torch, family)
    ids = torch.randint(3, 96, (1, 24))
    cache: Any = None
    if cached:
        _, cache = counted(torch, model, ids[:, :cached], cache, logits=False)
    measured, _ = counted(torch, model, ids[:, cached:], cache, logits=True)
    window = shape.sliding_window or 24
    keys_given = min(cached, window - 1) + 24 - cached
    seen = sum(min(t, window) for t in range(cached + 1, 25))
    masked = (24 - cached) * keys_given - seen
    assert shape.prefill(24, cached) == pytest.approx(
        measured - masked * shape.attention_per_key, rel=1e-3
    )


def test_a_config_inside_a_multimodal_one_is_read() -> None:
    assert shape_from_config({"model_type": "llava", "text_config": LLAMA_1B}) == (
        shape_from_config(LLAMA_1B)
    )


def test_a_mixture_is_active_in_part() -> None:
    """Mixtral-8x7B by its published sizes: 46.7 billion weights, 12.9 of them active."""
    config = {
        **LLAMA_8B,
        "model_type": "mixtral",
        "vocab_size": 32000,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "sliding_window": None,
    }
    counts = parameters(shape_from_config(config))
    assert counts.total == 46_702_792_704
    assert counts.active == pytest.approx(12.9e9, rel=0.005)


def test_numbers_cost_to_the_bit_what_arrays_of_them_cost() -> None:
    """Numbers are reckoned without numpy, and totals of stored runs may not depend on that."""
    rng = np.random.default_rng(5)
    plain = shape_from_config(LLAMA_8B)
    for shape in (plain, replace(plain, sliding_layers=7, sliding_window=300)):
        prompt = rng.integers(0, 5000, 50)
        cached, written = rng.integers(0, prompt + 1), rng.integers(0, 900, 50)
        whole = shape.completion(prompt, written, cached)
        read = shape.scoring(prompt, cached, logits=written)
        for at in range(50):
            p, c, w = (int(counts[at]) for counts in (prompt, cached, written))
            assert shape.completion(p, w, c) == whole[at]
            assert shape.scoring(p, c, logits=w) == read[at]
            assert type(shape.completion(p, w, c)) is float
