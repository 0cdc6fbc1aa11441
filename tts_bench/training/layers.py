"""More layers on top of a model, and layers that keep their weights.

A reward model judges a token after it has been written, where a language model predicts it one
position before. Layers on top of the language model can look back at its prediction and compare,
and need not unlearn anything while the layers below them are frozen.
"""

from __future__ import annotations

from typing import Any

import torch

from tts_bench.errors import ModelError

OUTPUTS = ("self_attn.o_proj", "mlp.down_proj")
"""What a layer adds to the residual stream comes from these; at zero it adds nothing."""


def deeper(shape: Any, layers: int) -> Any:
    """A model's configuration with `layers` more layers."""
    settings = shape.to_dict()
    settings["num_hidden_layers"] += layers
    for name in ("layer_types", "max_window_layers", "model_type"):
        settings.pop(name, None)  # one entry for each layer, or a bound on them: made anew
    return type(shape)(**settings)


def silence(model: Any, first: int) -> None:
    """Let the layers from `first` on compute the identity.

    Only what they write is zero. Their other weights stay random, so that the first gradient
    reaches the zeroed matrices.
    """
    with torch.no_grad():
        for layer in _layers(model)[first:]:
            for name in OUTPUTS:
                layer.get_submodule(name).weight.zero_()


def freeze(model: Any, layers: int, added: int = 0) -> None:
    """Keep the embeddings and the lowest `layers` layers, none of the `added` ones, as they are.

    Raises ModelError if there are not as many.
    """
    own = _layers(model)
    there = len(own) - added
    if layers > there:
        raise ModelError(f"frozen_layers {layers}: the model that is loaded has {there} layers")
    for part in (model.get_input_embeddings(), *own[:layers]):
        part.requires_grad_(False)


def _layers(model: Any) -> Any:
    try:
        return model.base_model.layers
    except AttributeError as error:
        kind = type(model).__name__
        raise ModelError(f"added_layers, frozen_layers: not with {kind}") from error
