"""A deeper copy of a model that computes the same: room for a head that must compare and count.

    python -m tts_bench.training.deepen MODEL OUTPUT LAYERS

A reward model judges a token after it has been written, where a language model predicts it one
position before. Layers on top of the language model can look back at its prediction and compare.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ATTENTION_AND_MLP_OUTPUTS = ("self_attn.o_proj", "mlp.down_proj")
"""What a layer adds to the residual stream comes from these; at zero it adds nothing."""


def deepen(model: str, output: Path, layers: int, seed: int = 0) -> None:
    """Write the causal language model with `layers` more layers, each the identity at first.

    Their other weights are random (normal, by the seed), so that the first gradient reaches the
    zeroed matrices. The tokenizer is copied.
    """
    import torch
    import transformers

    library: Any = transformers  # not all of it is typed
    if layers < 1:
        raise ValueError(f"layers must be at least 1, not {layers}")
    shallow = library.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    settings = shallow.config.to_dict()
    depth = settings.pop("num_hidden_layers")
    settings.pop("layer_types", None)  # one entry for each layer: made anew
    settings.pop("max_window_layers", None)
    shape = type(shallow.config)(**settings, num_hidden_layers=depth + layers)
    library.set_seed(seed)
    deep = library.AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    deep.load_state_dict(shallow.state_dict(), strict=False)
    with torch.no_grad():
        for layer in deep.model.layers[depth:]:
            for name in ATTENTION_AND_MLP_OUTPUTS:
                layer.get_submodule(name).weight.zero_()
    deep.save_pretrained(output)
    library.AutoTokenizer.from_pretrained(model).save_pretrained(output)


if __name__ == "__main__":
    deepen(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
