"""What a transformer's tokens cost: floating-point operations from shapes and token counts.

One multiply-add is two operations. Counted: the projections, the (gated) MLP, the scores and
values of attention, the router, the LM head where logits are needed. Left out, below 1 % in
sum: norms, rotary embedding, softmax, activations, biases, sampling; the input embedding is a
lookup and costs nothing. See docs/flops.md.

A token whose query sees t keys, its own among them, costs

    F(t) = 2B + 4·n_h·d_h·(keys seen, summed over the layers) + 2H if its logits are needed

with B the active weights of all layers and H = hidden·vocab (Kaplan et al., arXiv:2001.08361,
with the attention of every token counted at its own position).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Tokens = TypeVar("Tokens", float, NDArray[Any])
"""A count of tokens, or an array of counts: a float gives a float, an array an array."""


class UnknownShape(ValueError):
    """The architecture is not one whose operations this package can count."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """The sizes of a decoder-only transformer that decide what a token costs.

    Sizes are counts of units. Layers are alike but for two things: `sliding_layers` of them
    attend to the last `sliding_window` keys only, and in `moe_layers` of them a router picks
    `experts_per_token` of `experts` MLPs (beside one shared MLP where its size is not 0).
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    """Inner width of a dense layer's MLP."""
    vocab: int
    gated: bool = True
    """Whether an MLP has three matrices (gate, up, down) or two."""
    sliding_window: int | None = None
    sliding_layers: int = 0
    experts: int = 0
    experts_per_token: int = 0
    expert_intermediate: int = 0
    shared_expert_intermediate: int = 0
    moe_layers: int = 0
    tied: bool = False
    """Whether the LM head is the input embedding; it costs the same either way."""
    other_parameters: int = 0
    """Weights without counted operations: norms, biases, position embeddings."""

    def __post_init__(self) -> None:
        if not 0 <= self.moe_layers <= self.layers or not 0 <= self.sliding_layers <= self.layers:
            raise ValueError("moe_layers and sliding_layers count some of the layers")
        if self.sliding_layers and not self.sliding_window:
            raise ValueError("sliding layers need a sliding_window of at least 1")
        if self.moe_layers and not 0 < self.experts_per_token <= self.experts:
            raise ValueError("experts_per_token must lie between 1 and experts")

    @property
    def body_per_token(self) -> float:
        """2B: operations of one token in all layers, without attention over keys."""
        return 2.0 * _layer_weights(self, self.experts_per_token)

    @property
    def head_per_token(self) -> float:
        """2H: operations of one token's logits over the vocabulary."""
        return 2.0 * self.hidden * self.vocab

    @property
    def attention_per_key(self) -> float:
        """Operations for each key that a token attends to in every layer: 4·L·n_h·d_h.

        Grouped queries do not lower it: each query head has its own scores and weighted sum.
        """
        return 4.0 * self.layers * self.heads * self.head_dim

    def prefill(self, prompt: Tokens, cached: Tokens | int = 0) -> Tokens:
        """Operations to read a prompt of which the first `cached` tokens are in the KV cache.

        Logits are computed at the last position only; a prompt that is cached as a whole costs
        nothing. Raises ValueError unless 0 <= cached <= prompt.
        """
        operations: Tokens = self.scoring(prompt, cached, logits=prompt > cached)
        return operations

    def decode(self, prompt: Tokens, completion: Tokens) -> Tokens:
        """Operations to write `completion` tokens after a prompt that has been read.

        The prompt's last position gives the first token and the last token is not fed back,
        so D tokens take D - 1 passes, each with its logits.
        """
        start = _counts(prompt)
        passes = _larger(_counts(completion) - 1.0, 0.0)
        per_pass = self.body_per_token + self.head_per_token
        operations: Tokens = passes * per_pass + self._attention(start + passes, start)
        return operations

    def completion(self, prompt: Tokens, completion: Tokens, cached: Tokens | int = 0) -> Tokens:
        """Operations of one request: `prefill` and `decode` together."""
        operations: Tokens = self.prefill(prompt, cached) + self.decode(prompt, completion)
        return operations

    def scoring(
        self, tokens: Tokens, cached: Tokens | int = 0, *, logits: Tokens | int = 0
    ) -> Tokens:
        """Operations of one forward pass over a text, as a discriminative verifier makes it.

        `logits` is the number of positions at which the vocabulary's logits are computed: 0
        for a reward head (hidden·labels, left out), the number of steps where a causal model
        is read at its step tokens, `tokens - cached` where the library computes them all.
        Raises ValueError unless 0 <= cached <= tokens.
        """
        end, start = _counts(tokens), _counts(cached)
        if _any(start > end):
            raise ValueError(f"more tokens cached than there are: {cached} of {tokens}")
        layers = (end - start) * self.body_per_token + self._attention(end, start)
        operations: Tokens = layers + _counts(logits) * self.head_per_token
        return operations

    def _attention(self, end: Any, start: Any) -> Any:
        """Attention of the tokens at positions start+1 ... end, each to the keys up to it."""
        full = _keys_up_to(end, None) - _keys_up_to(start, None)
        keys = (self.layers - self.sliding_layers) * full
        if self.sliding_layers:
            seen = _keys_up_to(end, self.sliding_window) - _keys_up_to(start, self.sliding_window)
            keys = keys + self.sliding_layers * seen
        return keys * (4.0 * self.heads * self.head_dim)


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many weights a model has, and how many of them one token passes through."""

    total: int
    active: int


def parameters(shape: ModelShape) -> Parameters:
    """Parameter counts, tied weights once; both counts hold embedding and head."""
    outside = shape.vocab * shape.hidden * (1 if shape.tied else 2) + shape.other_parameters
    return Parameters(
        total=outside + _layer_weights(shape, shape.experts),
        active=outside + _layer_weights(shape, shape.experts_per_token),
    )


@lru_cache(maxsize=64)
def _layer_weights(shape: ModelShape, experts: int) -> int:
    """Matrix weights of all layers when `experts` experts of each mixture are counted."""
    attention = 2 * shape.hidden * shape.head_dim * (shape.heads + shape.kv_heads)
    matrices = 3 if shape.gated else 2
    mlp = matrices * shape.hidden * shape.intermediate
    routed = experts * shape.expert_intermediate + shape.shared_expert_intermediate
    router = shape.experts + (1 if shape.shared_expert_intermediate else 0)
    mixture = shape.hidden * (matrices * routed + router)
    dense_layers = shape.layers - shape.moe_layers
    return shape.layers * attention + dense_layers * mlp + shape.moe_layers * mixture


def _keys_up_to(position: Any, window: int | None) -> Any:
    """Keys seen by the tokens 1 ... position together: the sum of min(t, window)."""
    if window is None:
        return position * (position + 1) / 2
    ramp = _smaller(position, float(window))
    return ramp * (ramp + 1) / 2 + (position - ramp) * window


# Counts are a float, or an array of floats. Few calls are priced one by one: on numbers, numpy
# takes a hundred times as long as Python, to the same bit.


def _counts(tokens: Any) -> Any:
    """Token counts as float64: exact to 2^53, and no product of them can overflow."""
    one = isinstance(tokens, int | float) or np.ndim(tokens) == 0
    counts = float(tokens) if one else np.asarray(tokens, dtype=np.float64)
    if _any(counts < 0):
        raise ValueError(f"a count of tokens cannot be negative: {tokens}")
    return counts


def _any(condition: Any) -> bool:
    return condition if isinstance(condition, bool) else bool(condition.any())


def _larger(a: Any, b: float) -> Any:
    return max(a, b) if isinstance(a, float) else np.maximum(a, b)


def _smaller(a: Any, b: float) -> Any:
    return min(a, b) if isinstance(a, float) else np.minimum(a, b)
