"""Token sequences of different lengths as the tensors of one batch, padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tts_bench.training.data import Example
from tts_bench.training.losses import IGNORED


def inputs(batch: Sequence[Example], pad: int) -> dict[str, Tensor]:
    """`input_ids` and `attention_mask`, both [batch, length]."""
    ids = _rows([example.input_ids for example in batch], pad, np.int64)
    mask = _rows([np.ones(len(example)) for example in batch], 0, np.int64)
    return {"input_ids": ids, "attention_mask": mask}


def labels(batch: Sequence[Example], dtype: type[np.generic]) -> Tensor:
    """The label of each position [batch, length]; IGNORED in the padding."""
    return _rows([example.labels for example in batch], IGNORED, dtype)


def _rows(rows: Sequence[Any], fill: float, dtype: type[np.generic]) -> Tensor:
    filled = np.full((len(rows), max(map(len, rows))), fill, dtype=dtype)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return torch.from_numpy(filled)
