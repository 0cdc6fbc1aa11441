"""The port of a reward model's backend: token ids and positions in, the head's numbers out."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tts_bench.engine.base import EngineInfo
from tts_bench.verifier.formats import Head

Numbers = tuple[float, ...]
"""What a head gives at one position: one logit (right or not), or two (one for each class)."""
DECIMALS = 6
"""Scores are rounded: a forward pass's rounding errors depend on what else was in the batch, and
then rarely reach a score, so that equal runs select alike."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A text, and the positions at which the model's head is read (in ascending order)."""

    token_ids: tuple[int, ...] = field(repr=False)
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the head gave at each position of a reading, and what a cache had saved."""

    values: tuple[Numbers, ...]
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Loading:
    """What a backend needs to load a reward model."""

    model: str
    source: dict[str, Any]
    """Where from: `revision` and `trust_remote_code`."""
    config: Any
    """The model's own configuration."""
    tokenizer: Any
    head: Head
    token_ids: tuple[int, int] | None
    """Ids of the tokens for wrong and right, where the head is `tokens`."""
    dtype: str
    max_model_len: int
    threads: int | None = None
    last_only: bool = False
    """Whether texts are read at their last token and nowhere else."""


class Backend(abc.ABC):
    """One loaded reward model. `start` loads, `close` frees; both may take long."""

    @abc.abstractmethod
    async def start(self) -> EngineInfo:
        """Load the model. Raises ModelError, or MissingExtra if the library is absent."""

    @abc.abstractmethod
    async def close(self) -> None:
        """Free the model; readings in flight fail with VerifierError."""

    @abc.abstractmethod
    async def read(self, readings: Sequence[Reading]) -> list[Outputs]:
        """The outputs of each reading, in order. Raises VerifierError."""


def probability(numbers: Numbers, right: int = 1) -> float:
    """P(right), from two logits (softmax) or one (sigmoid); an underflow is 0, not nothing.

    Rounded here and nowhere else.
    """
    logit = numbers[0] if len(numbers) == 1 else numbers[right] - numbers[1 - right]
    return round(1 / (1 + math.exp(-logit)) if logit >= 0 else _small(logit), DECIMALS)


def _small(logit: float) -> float:
    grown = math.exp(logit)
    return grown / (1 + grown)
