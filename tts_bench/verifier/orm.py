"""Outcome reward models: one score for a whole solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.backend import DECIMALS, Numbers, probability
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.formats import (
    OUTCOME_FORMATS,
    OutcomeFormat,
    check_name,
    find_outcome_format,
)
from tts_bench.verifier.rendering import OutcomeRenderer
from tts_bench.verifier.reward_model import Manner, RewardModel, charge


@dataclass(frozen=True)
class OutcomeRewardModel(RewardModel):
    """A scalar head, read at the last token of problem and solution.

    Its sigmoid is P(right) where the head was trained with binary cross-entropy.
    """

    last_only: ClassVar[bool] = True
    format: str | OutcomeFormat | None = None
    """A format's name, or a record of its own; by default known from the model's class."""
    activation: Literal["sigmoid", "none"] = "sigmoid"
    """`none` gives the head's own number: for rewards so far from 0 that all their sigmoids are 1.
    Such scores may be negative, and then cannot weigh votes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.format, OUTCOME_FORMATS)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate, without scores of steps."""
        render = self._running.manner.renderer.render
        readings = [render(problem.text, candidate.text) for candidate in candidates]
        outputs = await self._read(readings)
        return [
            Scoring(Score(self._value(output.values[0])), (charge(reading, output),))
            for reading, output in zip(readings, outputs, strict=True)
        ]

    def _value(self, numbers: Numbers) -> float:
        if self.activation == "none":
            return round(numbers[0], DECIMALS)
        return probability(numbers)

    def _manner(self, config: Any, tokenizer: Any) -> Manner:
        form = find_outcome_format(self.format, self.model, config.architectures or ())
        return Manner(form, OutcomeRenderer(form, tokenizer))
