from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tts_bench.training.deepen import deepen

library: Any = transformers


def test_a_deeper_copy_computes_the_same_and_can_learn(tiny_model_dir: Path, tmp_path: Path):
    deepen(str(tiny_model_dir), tmp_path / "deep", 2)
    shallow, deep = (
        library.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        for folder in (tiny_model_dir, tmp_path / "deep")
    )
    assert deep.config.num_hidden_layers == shallow.config.num_hidden_layers + 2
    ids = torch.tensor([[5, 9, 77, 300, 12]])
    torch.testing.assert_close(deep(ids).logits, shallow(ids).logits)
    deep(ids, labels=ids).loss.backward()
    assert deep.model.layers[-1].mlp.down_proj.weight.grad.abs().max() > 0
    assert library.AutoTokenizer.from_pretrained(tmp_path / "deep").eos_token == "<|end|>"


def test_at_least_one_layer(tiny_model_dir: Path, tmp_path: Path):
    with pytest.raises(ValueError, match="layers must be at least 1, not 0"):
        deepen(str(tiny_model_dir), tmp_path, 0)
