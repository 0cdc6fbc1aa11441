"""Reads a `ModelShape` from a Hugging Face `config.json`, for architectures that are known.

An architecture that is not in the tables below raises `UnknownShape`, as does a config that
lacks a size: a wrong count of operations is worse than none. Give the complete config
(`AutoConfig.from_pretrained(...).to_dict()`) where the file leaves sizes to class defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tts_bench.cost.flops import ModelShape, UnknownShape

Config = Mapping[str, Any]


def shape_from_config(config: Config) -> ModelShape:
    """The shape of the (text) model that a config describes. Raises UnknownShape."""
    text = config.get("text_config")
    config = text if isinstance(text, Mapping) else config
    kind = str(config.get("model_type", ""))
    try:
        if kind in _FAMILIES:
            return _decoder(config, _FAMILIES[kind])
        if kind in _UNGATED:
            return _UNGATED[kind](config)
    except KeyError as missing:
        raise UnknownShape(
            f"the config of a {kind!r} model lacks {missing}; give its complete config"
        ) from missing
    raise UnknownShape(_why_unknown(kind))


def _why_unknown(kind: str) -> str:
    if not kind:
        return "the config has no model_type, so its FLOPs cannot be counted"
    reason = next((note for start, note in _NOTES.items() if kind.startswith(start)), "")
    return f"FLOPs of model_type {kind!r} are not known{': ' + reason if reason else ''}"


_NOTES = {
    "deepseek": "its latent attention (MLA) needs a formula of its own",
    "kimi": "its latent attention (MLA) needs a formula of its own",
    "mamba": "state-space layers have no keys to attend to",
    "falcon_mamba": "state-space layers have no keys to attend to",
    "jamba": "it mixes state-space layers with attention",
    "qwen3_next": "it mixes linear attention with attention",
    "rwkv": "recurrent layers have no keys to attend to",
}


def _sliding_never(_: Config) -> int:
    return 0


def _sliding_everywhere(config: Config) -> int:
    """Mistral, Mixtral, Phi-3: a window, if one is set, holds in every layer."""
    return _size(config, "num_hidden_layers") if config["sliding_window"] is not None else 0


def _sliding_if_switched_on(config: Config) -> int:
    """Qwen and SmolLM3: nothing slides unless `use_sliding_window` says so."""
    return _sliding_listed(config) if config.get("use_sliding_window", False) else 0


def _sliding_everywhere_if_switched_on(config: Config) -> int:
    """Qwen3-MoE: one switch for all layers."""
    return _sliding_everywhere(config) if config.get("use_sliding_window", False) else 0


def _sliding_listed(config: Config) -> int:
    """How many entries of `layer_types` slide."""
    kinds = config.get("layer_types")
    if kinds is None:
        raise KeyError("layer_types")
    strange = set(kinds) - {"full_attention", "sliding_attention"}
    if strange:
        raise UnknownShape(f"FLOPs of layers of type {', '.join(sorted(strange))} are not known")
    return int(sum(kind == "sliding_attention" for kind in kinds))


def _sliding_gemma2(config: Config) -> int:
    """Every other layer slides, the first one included."""
    if config.get("layer_types") is not None:
        return _sliding_listed(config)
    return (_size(config, "num_hidden_layers") + 1) // 2


def _sliding_gemma3(config: Config) -> int:
    """Every sixth layer, or as `sliding_window_pattern` says, attends to all keys."""
    if config.get("use_bidirectional_attention"):
        raise UnknownShape("bidirectional attention is not that of a causal decoder")
    if config.get("layer_types") is not None:
        return _sliding_listed(config)
    layers = _size(config, "num_hidden_layers")
    return layers - layers // int(config.get("sliding_window_pattern", 6))


@dataclass(frozen=True, slots=True)
class _Family:
    """In what a gated, RMS-normed decoder differs from Llama."""

    sliding: Callable[[Config], int] = _sliding_never
    norms: int = 2
    """RMS norms of one layer."""
    qk_norm: bool = False
    qkv_bias: bool = False
    """Biases on queries, keys and values that no key of the config announces."""
    own_head_dim: bool = False
    """Whether `head_dim` must be given; elsewhere it may be hidden / heads."""
    own_kv_heads: bool = True
    """Whether `num_key_value_heads` must be given; elsewhere it may be the heads."""
    tied: bool = False
    """`tie_word_embeddings` where the config leaves it out."""


_FAMILIES = {
    "llama": _Family(own_kv_heads=False),
    "mistral": _Family(sliding=_sliding_everywhere),
    "mixtral": _Family(sliding=_sliding_everywhere),
    "phi3": _Family(sliding=_sliding_everywhere, own_kv_heads=False),
    "smollm3": _Family(sliding=_sliding_if_switched_on, tied=True),
    "qwen2": _Family(sliding=_sliding_if_switched_on, qkv_bias=True),
    "qwen2_moe": _Family(sliding=_sliding_if_switched_on, qkv_bias=True),
    "qwen3": _Family(sliding=_sliding_if_switched_on, qk_norm=True, own_head_dim=True),
    "qwen3_moe": _Family(sliding=_sliding_everywhere_if_switched_on, qk_norm=True),
    "gemma": _Family(own_head_dim=True, tied=True),
    "gemma2": _Family(sliding=_sliding_gemma2, norms=4, own_head_dim=True, tied=True),
    "gemma3_text": _Family(
        sliding=_sliding_gemma3, norms=4, qk_norm=True, own_head_dim=True, tied=True
    ),
}


def _decoder(config: Config, family: _Family) -> ModelShape:
    layers, hidden = _size(config, "num_hidden_layers"), _size(config, "hidden_size")
    heads = _size(config, "num_attention_heads")
    head_dim = _size(config, "head_dim", None if family.own_head_dim else hidden // heads)
    kv_heads = _size(config, "num_key_value_heads", None if family.own_kv_heads else heads)
    intermediate = _size(config, "intermediate_size")
    sliding = family.sliding(config)
    qkv = head_dim * (heads + 2 * kv_heads)
    per_layer = family.norms * hidden + (2 * head_dim if family.qk_norm else 0)
    if config.get("attention_bias", False):
        per_layer += qkv + hidden
    elif family.qkv_bias and config.get("qkv_bias", True):
        per_layer += qkv
    if config.get("mlp_bias", False):
        per_layer += 2 * intermediate + hidden
    shape = ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        intermediate=intermediate,
        vocab=_size(config, "vocab_size"),
        sliding_window=_size(config, "sliding_window") if sliding else None,
        sliding_layers=sliding,
        tied=bool(config.get("tie_word_embeddings", family.tied)),
        other_parameters=layers * per_layer + hidden,
    )
    return _with_experts(shape, config)


def _with_experts(shape: ModelShape, config: Config) -> ModelShape:
    """The shape with its mixture of experts, where the architecture has one."""
    kind = config["model_type"]
    if kind == "mixtral":
        experts, width = _size(config, "num_local_experts"), shape.intermediate
        mixed, shared = shape.layers, 0
    elif kind in ("qwen2_moe", "qwen3_moe"):
        # The file says `num_experts`, which newer classes write back as `num_local_experts`.
        experts = _size(config, "num_experts" if "num_experts" in config else "num_local_experts")
        width = _size(config, "moe_intermediate_size")
        dense, step = set(config.get("mlp_only_layers") or ()), _size(config, "decoder_sparse_step")
        mixed = sum(i not in dense and (i + 1) % step == 0 for i in range(shape.layers))
        shared = _size(config, "shared_expert_intermediate_size") if kind == "qwen2_moe" else 0
    else:
        return shape
    return replace(
        shape,
        experts=experts,
        experts_per_token=_size(config, "num_experts_per_tok"),
        expert_intermediate=width,
        shared_expert_intermediate=shared,
        moe_layers=mixed,
    )


def _size(config: Config, key: str, otherwise: int | None = None) -> int:
    """A size; it may be left out or null only if `otherwise` gives it."""
    value = config.get(key)
    if value is not None:
        return int(value)
    if otherwise is None:
        raise KeyError(key)
    return otherwise


def _gpt2(config: Config) -> ModelShape:
    hidden, layers = _size(config, "n_embd"), _size(config, "n_layer")
    inner = _size(config, "n_inner", 4 * hidden)
    positions = _size(config, "n_positions") * hidden
    tied = bool(config.get("tie_word_embeddings", True))
    vocab, heads = _size(config, "vocab_size"), _size(config, "n_head")
    return _ungated(layers, hidden, heads, inner, vocab, tied=tied, extra=positions)


def _gpt_neox(config: Config) -> ModelShape:
    hidden, layers = _size(config, "hidden_size"), _size(config, "num_hidden_layers")
    if not config.get("attention_bias", True):
        raise UnknownShape("gpt_neox without attention biases is not in the tables")
    heads, inner = _size(config, "num_attention_heads"), _size(config, "intermediate_size")
    tied = bool(config.get("tie_word_embeddings", False))
    return _ungated(layers, hidden, heads, inner, _size(config, "vocab_size"), tied=tied)


def _ungated(
    layers: int, hidden: int, heads: int, inner: int, vocab: int, *, tied: bool, extra: int = 0
) -> ModelShape:
    """Multi-head attention, a two-matrix MLP, biases everywhere and two layer norms."""
    biases_and_norms = layers * (4 * hidden + inner + hidden + 4 * hidden) + 2 * hidden
    return ModelShape(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=heads,
        head_dim=hidden // heads,
        intermediate=inner,
        vocab=vocab,
        gated=False,
        tied=tied,
        other_parameters=biases_and_norms + extra,
    )


_UNGATED: Mapping[str, Callable[[Config], ModelShape]] = {"gpt2": _gpt2, "gpt_neox": _gpt_neox}
