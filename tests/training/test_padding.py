from __future__ import annotations

import numpy as np
import torch

from tts_bench.training import batches
from tts_bench.training.data import Example
from tts_bench.training.losses import IGNORED


def test_padding_is_masked_and_nothing_is_learnt_from_it():
    short = Example(np.array([5, 6], np.int32), np.array([0.5, IGNORED], np.float32), "a:1")
    long = Example(np.array([7, 8, 9], np.int32), np.array([IGNORED, 1.0, 0.0], np.float32), "a:2")
    found = batches.inputs([short, long], pad=3)
    assert found["input_ids"].tolist() == [[5, 6, 3], [7, 8, 9]]
    assert found["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    labels = batches.labels([short, long], np.float32)
    assert labels.tolist() == [[0.5, IGNORED, IGNORED], [IGNORED, 1.0, 0.0]]
    assert (labels.dtype, batches.labels([long], np.int64).dtype) == (torch.float32, torch.int64)
