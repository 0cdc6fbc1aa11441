"""Models and tokenizers to begin a training with, and how sequences become token ids."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.weights import check_model_exists, load_error, local_path
from tts_bench.errors import ModelError
from tts_bench.prompt import Prompt
from tts_bench.training.config import Architecture, TrainingConfig
from tts_bench.training.layers import deeper, freeze, silence
from tts_bench.types import Problem

library: Any = transformers  # not all of it is typed

PROBE = (
    "Compute (37 + 85) * 3 - 46.\n\n<think>37 + 85 = 122\n\nWait, check: it's 1/2 or  0.5\t"
    "</think>\\boxed{x^2 + \u00e4\u4e2d}\r\n don't"
)
"""Texts that tokenizers cut up differently: digits, spaces, line ends, quotes, LaTeX, scripts."""


def load_tokenizer(config: TrainingConfig) -> Any:
    """The tokenizer of the model. Raises ModelError if there is none."""
    name = config.model.tokenizer if isinstance(config.model, Architecture) else config.model
    if isinstance(config.model, str):
        name = local_path(name)
        check_model_exists(name)
    elif not (Path(name) / "tokenizer.json").is_file() and Path(name).is_dir():
        raise ModelError(f"{name} is no tokenizer's folder: it has no tokenizer.json")
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(name)
    except Exception as error:  # whatever the hub, the parser or the author's code raises
        raise load_error(name, error) from error
    if tokenizer.eos_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no end-of-turn token (eos_token)")
    return tokenizer


def load_model(config: TrainingConfig, tokenizer: Any, auto_class: str, **settings: Any) -> Any:
    """A model in float32; `settings` are entries of its configuration.

    New weights (all of them from scratch, else those of the head and of added layers) follow
    from the seed alone. Raises ModelError if it cannot be loaded.
    """
    library.set_seed(config.seed)
    factory = getattr(library, auto_class)
    if isinstance(config.model, Architecture):
        fresh = _fresh(config.model, tokenizer, settings)
        _check_round_trip(fresh, tokenizer)
        model = factory.from_config(fresh)
    else:
        model = _load(config, local_path(config.model), factory, settings)
    if config.frozen_layers:
        freeze(model, config.frozen_layers, config.added_layers)
    return model


def _load(config: TrainingConfig, name: str, factory: Any, settings: Mapping[str, Any]) -> Any:
    try:
        shape = library.AutoConfig.from_pretrained(name)
        depth = shape.num_hidden_layers
        if config.added_layers:
            shape = deeper(shape, config.added_layers)
        for key, value in settings.items():
            setattr(shape, key, value)  # from_pretrained refuses what the class does not know
        # A head of another kind of model is replaced by a new one.
        model = factory.from_pretrained(
            name, config=shape, dtype=torch.float32, ignore_mismatched_sizes=True
        )
    except Exception as error:  # as above
        raise load_error(name, error) from error
    if config.added_layers:
        silence(model, depth)
    return model


def _fresh(shape: Architecture, tokenizer: Any, settings: Mapping[str, Any]) -> Any:
    return library.AutoConfig.for_model(
        shape.architecture,
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size or 4 * shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads or shape.heads,
        max_position_embeddings=shape.max_length,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_theta},
        tie_word_embeddings=shape.tie_embeddings,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **settings,
    )


def _check_round_trip(fresh: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that is another one once it lies beside this model's configuration.

    By the model's type transformers (and so vLLM) may build a tokenizer of another class from the
    same files, with its own rules for where words end; the model would be fed other tokens than
    it was trained on.
    """
    with tempfile.TemporaryDirectory() as folder:
        fresh.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        again = library.AutoTokenizer.from_pretrained(folder)
    same = len(again) == len(tokenizer) and again(PROBE).input_ids == tokenizer(PROBE).input_ids
    if not same:
        raise ModelError(
            f"architecture {fresh.model_type}: transformers reads this tokenizer back as "
            f"{type(again).__name__}, which encodes differently; use architecture llama or qwen3"
        )


def context_of(config: TrainingConfig, model: Any) -> int:
    """Longest sequence that is trained on. Raises ModelError if the model has no room."""
    room: int | None = getattr(model.config, "max_position_embeddings", None)
    if room is not None and (config.max_length or 0) > room:
        raise ModelError(f"max_length {config.max_length} exceeds the model's context of {room}")
    return config.max_length or room or 2048


def pad_id(tokenizer: Any) -> int:
    """What fills batches up; hidden by the attention mask, so that any token will do."""
    found = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if found is None else found)


class PromptEncoder:
    """Problems to prompt token ids, by the very rule with which a suite's run encodes them."""

    def __init__(self, tokenizer: Any, prompt: Prompt | None) -> None:
        self.tokenizer = HuggingFaceTokenizer(tokenizer)
        self._prompt = prompt or Prompt(chat=bool(tokenizer.chat_template))
        self._known: dict[str, tuple[int, ...]] = {}

    def __call__(self, problem: str) -> tuple[int, ...]:
        """Token ids of the prompt, up to where the solution begins."""
        if problem not in self._known:
            self._known[problem] = self._prompt.encode(Problem("", problem), self.tokenizer)
        return self._known[problem]


def encode_texts(tokenizer: Any, texts: Sequence[str], offsets: bool = False) -> Any:
    """Token ids of many plain texts at once, special tokens not added.

    With `offsets` also if each token begins and ends in its text (`offset_mapping`).
    """
    return tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_offsets_mapping=offsets,
        verbose=False,
    )
