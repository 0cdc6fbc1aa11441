"""Reward models as they are published: a backbone of transformers and the head on top of it.

Heads for which transformers has no class are two matrices or one: their weights are read from the
safetensors files, without running code that comes with a model.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor, nn

from tts_bench.errors import ModelError
from tts_bench.verifier.formats import HEAD_NUMBERS, Head

CLASSES = {
    "labels": ("AutoModelForTokenClassification", "ForTokenClassification"),
    "scalar": ("AutoModelForSequenceClassification", "ForSequenceClassification"),
    "tokens": ("AutoModelForCausalLM", "ForCausalLM"),
}
"""How transformers loads a head that it knows, and what the model must call itself."""
STORED: dict[Head, tuple[str, ...]] = {
    "process_reward": ("score.0", "score.2"),
    "reward": ("score.0", "score.2"),
    "value": ("v_head.summary",),
}
"""Names of a head's layers in the weights, where transformers has no class for it."""


def load_model(
    model: str, head: Head, token_ids: tuple[int, int] | None, config: Any, options: dict[str, Any]
) -> tuple[Any, nn.Module]:
    """Backbone and head on the CPU; `token_ids` are those of wrong and right for head `tokens`.

    `options` go to `from_pretrained`. Raises ModelError if the model has no such head.
    """
    if head in STORED:
        backbone = _load("AutoModel", model, options)
        layers = _stored_head(model, head, options.get("revision"))
        return backbone, layers.to(backbone.dtype)
    loader, suffix = CLASSES[head]
    _check_class(model, suffix, config)
    whole = _load(loader, model, options)
    backbone = getattr(whole, whole.base_model_prefix)
    if head == "tokens":
        assert token_ids is not None
        return backbone, _token_head(model, whole, token_ids)
    layer = getattr(whole, "score", None) or getattr(whole, "classifier", None)
    if not isinstance(layer, nn.Module):
        raise ModelError(f"{model} ({type(whole).__name__}) has no head that is known")
    check_labels(model, head, int(whole.config.num_labels))
    return backbone, layer


def check_labels(model: str, head: Head, labels: int) -> None:
    """Raise ModelError unless the head has as many classes as its kind is read with."""
    if labels != HEAD_NUMBERS[head]:
        raise ModelError(
            f"{model} has {labels} labels, and a head of kind {head!r} has {HEAD_NUMBERS[head]}"
        )


def _check_class(model: str, suffix: str, config: Any) -> None:
    found = list(config.architectures or ())
    if not any(name.endswith(suffix) for name in found):
        raise ModelError(
            f"{model} is a {', '.join(found) or 'model of no known class'}, and its format needs"
            f" a model ...{suffix}"
        )


def _load(loader: str, model: str, options: dict[str, Any]) -> Any:
    with _quiet():
        loaded, info = getattr(transformers, loader).from_pretrained(
            model, **options, output_loading_info=True
        )
    if missing := sorted(info["missing_keys"]):
        raise ModelError(f"{model}: its weights lack {missing[0]} ({len(missing)} are missing)")
    return loaded


def _token_head(model: str, whole: Any, token_ids: tuple[int, int]) -> nn.Module:
    """The two rows of the LM head that are read: the others need not be computed."""
    if getattr(whole.config.get_text_config(decoder=True), "final_logit_softcapping", None):
        raise ModelError(f"{model} caps its logits, which this format does not know")
    full = whole.get_output_embeddings()
    rows = list(token_ids)
    head = nn.Linear(full.in_features, len(rows), bias=full.bias is not None)
    head.weight = nn.Parameter(full.weight[rows].detach().clone())
    if full.bias is not None:
        head.bias = nn.Parameter(full.bias[rows].detach().clone())
    return head


def _stored_head(model: str, head: Head, revision: str | None) -> nn.Module:
    names = [f"{layer}.{part}" for layer in STORED[head] for part in ("weight", "bias")]
    weights = _read_tensors(model, names, revision)
    if lacking := [name for name in names if name not in weights]:
        raise ModelError(f"{model} has no head of kind {head!r}: its weights lack {lacking[0]}")
    layers = [_linear(weights, layer) for layer in STORED[head]]
    check_labels(model, head, layers[-1].out_features)
    return layers[0] if len(layers) == 1 else nn.Sequential(layers[0], nn.ReLU(), layers[1])


def _linear(weights: dict[str, Tensor], layer: str) -> nn.Linear:
    matrix = weights[f"{layer}.weight"]
    linear = nn.Linear(matrix.shape[1], matrix.shape[0])
    linear.weight = nn.Parameter(matrix)
    linear.bias = nn.Parameter(weights[f"{layer}.bias"])
    return linear


def _read_tensors(model: str, names: Sequence[str], revision: str | None) -> dict[str, Tensor]:
    """Those of the named tensors that the safetensors files hold. Raises ModelError."""
    from safetensors import safe_open

    index = _file(model, "model.safetensors.index.json", revision)
    files = {"model.safetensors"}
    if index is not None:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
        files = {places[name] for name in names if name in places}
    found: dict[str, Tensor] = {}
    for name in sorted(files):
        path = _file(model, name, revision)
        if path is None:
            raise ModelError(f"{model} has no {name}: its head is read from safetensors only")
        with safe_open(path, framework="pt") as file:
            held = set(file.keys())
            found |= {key: file.get_tensor(key) for key in names if key in held}
    return found


def _file(model: str, name: str, revision: str | None) -> Path | None:
    from transformers.utils.hub import cached_file

    path = cached_file(model, name, revision=revision, _raise_exceptions_for_missing_entries=False)
    return None if path is None else Path(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor a report of weights that another part of the code reads."""
    logging: Any = transformers.utils.logging
    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def dtype_of(name: str, device: str) -> str:
    """`auto` resolved: float32 on a CPU, elsewhere what the weights are stored in."""
    return "float32" if name == "auto" and device == "cpu" else name
