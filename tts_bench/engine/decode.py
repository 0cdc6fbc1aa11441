"""A causal model and the rows it decodes together: their keys and values, and one step of all.

Rows end at the same slot of a buffer that is longer and wider than needed, so that a step
writes one slot, a row leaves by moving the last one into its place, and a row that joins is
written beside the others. (A cache that concatenates copies everything at every step.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicLayer
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from tts_bench.engine.memory import available_memory

ATTENTION = "tts_bench_rows"
SPARE_SLOTS = 64
WORTH_A_CHECK = 64 << 20
"""Bytes from which a growing buffer looks at what is free."""
PREFILL_TOKENS = 8192
"""Tokens, padding included, that are computed together when rows join."""


class RowsLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values of one layer: [capacity, heads, slots, head dimension], each."""

    def __init__(self, rows: Rows, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows, self.key_slots, self.value_slots = rows, keys, values
        self.is_initialized = True

    @property
    def buffers(self) -> tuple[Tensor, Tensor]:
        """Keys and values, whole."""
        return self.key_slots, self.value_slots

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the slot after the last one; return every row's slots up to it."""
        rows = self.rows
        window = slice(0, rows.count), slice(None), slice(rows.low, rows.high + 1)
        self.key_slots[: rows.count, :, rows.high] = key_states[:, :, 0]
        self.value_slots[: rows.count, :, rows.high] = value_states[:, :, 0]
        return self.key_slots[window], self.value_slots[window]

    def get_seq_length(self) -> int:
        """Slots in use, before this step."""
        return self.rows.high - self.rows.low


class Rows:
    """Which slots each row uses: row i those from `starts[i]` to `high`, exclusively."""

    def __init__(self, like: Any) -> None:
        """An empty buffer with the heads, dimensions, type and device of the cache `like`."""
        self.starts: list[int] = []
        self.high = 0
        self.layers = [
            RowsLayer(self, _zeros(layer.keys, 0, 0), _zeros(layer.values, 0, 0))
            for layer in like.layers
        ]
        self.cache = transformers.Cache(layers=list(self.layers))

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(self.starts)

    @property
    def low(self) -> int:
        """First slot that any row uses."""
        return min(self.starts, default=self.high)

    def add(self, prefix: Any, row: int, length: int) -> None:
        """Append a row: the last `length` slots of a row of the cache `prefix`."""
        self.reserve(1, length)
        window = self.count, slice(None), slice(self.high - length, self.high)
        for layer, other in zip(self.layers, prefix.layers, strict=True):
            first = other.keys.shape[2] - length
            layer.key_slots[window] = other.keys[row, :, first:]
            layer.value_slots[window] = other.values[row, :, first:]
        self.starts.append(self.high - length)

    def fork(self, row: int, length: int, copies: int) -> None:
        """Append rows that begin with the first `length` slots of a row."""
        self.reserve(copies, length)
        start, count = self.starts[row], self.count
        target = slice(count, count + copies), slice(None), slice(self.high - length, self.high)
        source = row, slice(None), slice(start, start + length)
        for layer in self.layers:
            for buffer in layer.buffers:
                buffer[target] = buffer[source].clone()
        self.starts.extend([self.high - length] * copies)

    def remove(self, row: int) -> None:
        """Drop a row; the last one takes its place."""
        last = self.count - 1
        if row != last:
            window = slice(None), slice(self.starts[last], self.high)
            for layer in self.layers:
                for buffer in layer.buffers:
                    buffer[row][window] = buffer[last][window]
        self.starts[row] = self.starts[last]
        self.starts.pop()

    def clear(self) -> None:
        """Drop every row, and free the memory."""
        self.starts, self.high = [], 0
        for layer in self.layers:
            layer.key_slots, layer.value_slots = (_zeros(b, 0, 0) for b in layer.buffers)

    def reserve(self, more: int = 0, length: int = 0) -> None:
        """Make room for `more` rows of `length` slots that end at `high`, and for a step's slot."""
        capacity, _, slots, _ = self.layers[0].key_slots.shape
        wide = self.count + more <= capacity
        if not self.count and length < slots:
            self.high = length
        if wide and length <= self.high < slots:
            return
        rows = capacity if wide else max(self.count + more, 2 * self.count)
        used = self.high - self.low
        high = max(used, length)
        size = high + max(SPARE_SLOTS, high // 4)
        self._check_memory(rows * size - capacity * slots)
        old = slice(0, self.count), slice(None), slice(self.low, self.high)
        new = slice(0, self.count), slice(None), slice(high - used, high)
        for layer in self.layers:
            wider = tuple(_zeros(buffer, rows, size) for buffer in layer.buffers)
            for buffer, copy in zip(layer.buffers, wider, strict=True):
                copy[new] = buffer[old]
            layer.key_slots, layer.value_slots = wider
        self.starts = [start + high - self.high for start in self.starts]
        self.high = high

    def _check_memory(self, slots: int) -> None:
        """Raise MemoryError if so many more slots do not fit; devices raise by themselves."""
        buffers = [buffer for layer in self.layers for buffer in layer.buffers]
        needed = slots * sum(b.shape[1] * b.shape[3] * b.element_size() for b in buffers)
        if needed > WORTH_A_CHECK and buffers[0].device.type == "cpu":
            free = available_memory()
            if free is not None and needed > free:
                raise MemoryError(f"keys and values need {needed} more bytes, {free} are free")


class Decoder:
    """A model with the rows it is decoding; to be made and used in `torch.inference_mode`."""

    def __init__(self, model: Any) -> None:
        self.model, self.device = model, model.device
        transformers.AttentionInterface.register(ATTENTION, attention)
        model.set_attn_implementation(ATTENTION)
        self.rows = Rows(self._prefill([(0, 0)]))

    def join(self, prompts: Sequence[Sequence[int]]) -> None:
        """Append a row for each prompt and compute all but its last token."""
        for group in prefill_groups([prompt[:-1] for prompt in prompts]):
            cache = self._prefill(group if any(group) else [(0,)] * len(group))
            self.rows.reserve(len(group), max(map(len, group)))
            for row, prompt in enumerate(group):
                self.rows.add(cache, row, len(prompt))

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Append one token to each row; the logits of what follows [rows, vocabulary]."""
        rows = self.rows
        rows.reserve()
        starts = torch.tensor(rows.starts, device=self.device)[:, None]
        slots = torch.arange(rows.low, rows.high + 1, device=self.device)
        ragged = len(set(rows.starts)) > 1
        logits: Tensor = self.model(
            input_ids=torch.tensor(tokens, device=self.device)[:, None],
            position_ids=rows.high - starts,
            attention_mask=(slots >= starts)[:, None, None] if ragged else None,
            past_key_values=rows.cache,
            use_cache=True,
        ).logits[:, -1]
        rows.high += 1
        return logits

    def deviation(self) -> float:
        """How far decoding here is from the model's own forward pass, on a few tokens.

        Total variation distance of the next token's distributions (0: none, 1: they have
        nothing in common), the larger of two rows of unequal length. Drops all rows.
        """
        vocabulary = self.model.get_input_embeddings().num_embeddings
        prompts = [[i % vocabulary for i in ids] for ids in (range(1, 25), range(3, 12))]
        self.join(prompts)
        decoded = self.step([prompt[-1] for prompt in prompts])
        self.rows.clear()
        self.model.set_attn_implementation("eager")
        try:
            own = [self.model(torch.tensor([p], device=self.device)).logits[0, -1] for p in prompts]
        finally:
            self.model.set_attn_implementation(ATTENTION)
        ours, theirs = decoded.float().softmax(-1), torch.stack(own).float().softmax(-1)
        return float((ours - theirs).abs().sum(-1).max() / 2)

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> transformers.Cache:
        longest = max(map(len, prompts))
        padding = torch.tensor([longest - len(p) for p in prompts], device=self.device)[:, None]
        ids = [[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        slots = torch.arange(longest, device=self.device)
        mask = None
        if int(padding.max()):
            causal = slots[:, None] >= slots
            own = torch.eye(longest, dtype=torch.bool, device=self.device)
            # Padding sees itself: a row of attention without any key is not a number.
            mask = ((causal & (slots >= padding)[:, None]) | own)[:, None]
        cache = transformers.DynamicCache()
        self.model(
            input_ids=torch.tensor(ids, device=self.device),
            position_ids=(slots - padding).clamp(min=0),
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return cache


def prefill_groups(prompts: Sequence[Sequence[int]]) -> Iterator[list[Sequence[int]]]:
    """Cut prompts, in order, into groups that are computed together, padded to the longest."""
    group: list[Sequence[int]] = []
    longest = 0
    for prompt in prompts:
        longest = max(longest, len(prompt))
        if group and longest * (len(group) + 1) > PREFILL_TOKENS:
            yield group
            group, longest = [], len(prompt)
        group.append(prompt)
    if group:
        yield group


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention over rows that are padded on the left; `query` [rows, heads, queries, dim].

    A single query does without copying keys and values for each head that shares them: the
    heads of a group take the place of queries. The last query belongs to the last key.
    """
    if sliding_window is not None and key.shape[2] > sliding_window:
        attention_mask = _within(sliding_window, attention_mask, query.shape[2], key)
    rows, heads, queries, dimension = query.shape
    if queries > 1:
        kwargs.pop("is_causal", None)
        output, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return output, None
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], dimension)
    output = functional.scaled_dot_product_attention(
        grouped, key, value, attn_mask=attention_mask, scale=scaling
    )
    return output.reshape(rows, 1, heads, -1), None


def _within(window: int, mask: Tensor | None, queries: int, key: Tensor) -> Tensor:
    keys = torch.arange(key.shape[2], device=key.device)
    distance = keys[-queries:, None] - keys
    near = ((distance >= 0) & (distance < window))[None, None]
    return near if mask is None else near & mask


def _zeros(like: Tensor, rows: int, slots: int) -> Tensor:
    """Zeros, as what is masked still takes part in products and must be finite."""
    return like.new_zeros(rows, like.shape[1], slots, like.shape[3])
