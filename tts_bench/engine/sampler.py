"""Drawing tokens: temperature, min-p, top-k, top-p, and noise that belongs to one request alone.

Tokens are drawn as an exponential race: with weights w and independent e ~ Exp(1), the arg-max
of w/e is an exact draw from w / sum(w) (the same as adding Gumbel noise to the logits). Unlike
an inverted cumulative sum, rounding errors of a whole batch move it only if two tokens tie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tts_bench.engine.past import Past
from tts_bench.types import Sampling

SORTED_HEAD = 1024
"""Largest logits that are sorted at first; nearly always enough to reach top_p."""


class Noise(Protocol):
    """An endless stream of Exp(1) numbers for one request."""

    def fill(self, out: Tensor) -> None:
        """Overwrite `out` [vocabulary], float64, with the next numbers."""


class HostNoise:
    """Noise on the CPU; numpy's generator is several times quicker than torch's there."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def fill(self, out: Tensor) -> None:
        """See `Noise`."""
        self._generator.standard_exponential(out=out.numpy())


class DeviceNoise:
    """Noise where the logits are, so that none has to be copied there."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self._generator = torch.Generator(device=device).manual_seed(seed % (1 << 63))

    def fill(self, out: Tensor) -> None:
        """See `Noise`."""
        out.exponential_(generator=self._generator)


def noise(seed: int, device: torch.device) -> Noise:
    """The noise of a request with this seed; its numbers depend on the kind of device."""
    return HostNoise(seed) if device.type == "cpu" else DeviceNoise(seed, device)


class SamplingMetadata:
    """The sampling settings of the rows of a batch, as tensors."""

    def __init__(self, samplings: Sequence[Sampling], device: torch.device) -> None:
        def column(values: Sequence[float], dtype: torch.dtype) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        self.random = [s.temperature > 0 for s in samplings]
        self.greedy = column([s.temperature == 0 for s in samplings], torch.bool)
        self.temperature = column([s.temperature or 1.0 for s in samplings], torch.float32)[:, None]
        self.top_k = column([s.top_k for s in samplings], torch.int64)
        self.top_p = column([s.top_p for s in samplings], torch.float64)
        filtered = [i for i, s in enumerate(samplings) if s.temperature and s.min_p]
        self.filtered = column(filtered, torch.int64)
        # Of the likeliest token's weight, which is 1: less than this share is left out.
        least = [math.log(samplings[i].min_p) for i in filtered]
        self.least = column(least, torch.float32)[:, None]
        cut = [i for i, s in enumerate(samplings) if s.temperature and (s.top_k or s.top_p < 1)]
        self.cut = column(cut, torch.int64)
        tempered = any(s.temperature not in (0, 1) for s in samplings)
        self.unchanged = not (cut or filtered or tempered)


def draw(
    logits: Tensor, metadata: SamplingMetadata, exponentials: Tensor, past: Past | None = None
) -> tuple[Tensor, Tensor]:
    """One token for each row, and its log-probability under the unmodified distribution.

    `logits` [rows, vocabulary]; `exponentials` the same shape in float64 (rows that are greedy
    are not read); `past` changes the logits by what stood before. Returns ids [rows] and
    log-probabilities in nats [rows], float64.
    """
    logits = logits.float()
    top, likeliest = logits.max(dim=-1, keepdim=True)
    weights = torch.exp(logits - top)
    log_total = weights.sum(dim=-1, keepdim=True, dtype=torch.float64).log()
    own, peak = logits, top
    if past is not None:
        own = past.changed(logits)
        peak, likeliest = own.max(dim=-1, keepdim=True)
    tokens = likeliest
    if any(metadata.random):
        if past is not None or not metadata.unchanged:
            scaled = (own - peak) / metadata.temperature
            if len(metadata.filtered):
                rows = metadata.filtered
                few = scaled[rows] < metadata.least
                scaled[rows] = scaled[rows].masked_fill(few, -torch.inf)
            if len(metadata.cut):
                rows = metadata.cut
                scaled[rows] = truncate(scaled[rows], metadata.top_k[rows], metadata.top_p[rows])
            weights = torch.exp(scaled)
        drawn = (weights / exponentials).argmax(dim=-1, keepdim=True)
        tokens = torch.where(metadata.greedy[:, None], likeliest, drawn)
    logprobs = (logits.gather(-1, tokens) - top).double() - log_total
    return tokens[:, 0], logprobs[:, 0]


def truncate(logits: Tensor, top_k: Tensor, top_p: Tensor, head: int = SORTED_HEAD) -> Tensor:
    """Set to -inf what top-k (0: no limit) and then top-p leave out; equal logits stay together.

    `logits` [rows, vocabulary] with the temperature applied and 0 as each row's maximum. Top-p
    keeps the most likely tokens up to the one with which their share reaches `top_p`.
    """
    vocabulary = logits.shape[-1]
    top_k = torch.where(top_k > 0, top_k.clamp(max=vocabulary), vocabulary)
    limited = top_k[top_k < vocabulary]
    width = min(vocabulary, max(head, int(limited.max()) if len(limited) else 0))
    ordered = logits.topk(width, dim=-1).values
    kth = ordered.gather(-1, (top_k - 1).clamp(max=width - 1)[:, None])
    floor = torch.where((top_k < vocabulary)[:, None], kth, -torch.inf)
    kept = torch.where(logits >= floor, logits, -torch.inf)
    if bool((top_p >= 1).all()):
        return kept
    goal = top_p[:, None] * torch.exp(kept).sum(dim=-1, keepdim=True, dtype=torch.float64)
    shares = torch.where(ordered >= floor, torch.exp(ordered), 0.0).double()
    reached = shares.cumsum(dim=-1)
    if width < vocabulary and bool((reached[:, -1:] < goal)[top_p < 1].any()):
        return truncate(logits, top_k, top_p, head=vocabulary)
    count = (reached - shares < goal).sum(dim=-1, keepdim=True).clamp(min=1)
    last = ordered.gather(-1, count - 1)
    return torch.where((logits >= last) | (top_p >= 1)[:, None], kept, -torch.inf)
