"""Process reward models: a score for each step of a solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tts_bench.steps import Aggregate, aggregate, split_steps
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.backend import probability
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.formats import FORMATS, Format, check_name, find_format
from tts_bench.verifier.rendering import Renderer
from tts_bench.verifier.reward_model import Manner, RewardModel, charge


@dataclass(frozen=True)
class ProcessRewardModel(RewardModel):
    """P(right) of each step, given the problem and the steps before it; then one number of all.

    A candidate without any step (an empty text) scores 0 and is not read.
    """

    format: str | Format | None = None
    """A family's name, or a record of its own; by default known from the model."""
    aggregate: Aggregate = "last"
    """How the steps' scores become the candidate's: last, min, prod, mean, gmean or max."""
    delimiter: str = "\n\n"
    """What ends a step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name(self.format, FORMATS)
        if not self.delimiter:
            raise ValueError("delimiter must not be empty")

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate, with the score of each of its steps."""
        form, render = self._running.manner.form, self._running.manner.renderer.render
        assert isinstance(form, Format)
        solutions = [split_steps(candidate.text, self.delimiter) for candidate in candidates]
        readings = [render(problem.text, steps) for steps in solutions if steps]
        outputs = await self._read(readings)
        read = iter(zip(readings, outputs, strict=True))
        scorings = []
        for steps in solutions:
            if not steps:
                scorings.append(Scoring(Score(0.0)))
                continue
            reading, output = next(read)
            scores = tuple(probability(numbers, form.right) for numbers in output.values)
            value = aggregate(scores, self.aggregate)
            scorings.append(Scoring(Score(value, scores), (charge(reading, output),)))
        return scorings

    def _manner(self, config: Any, tokenizer: Any) -> Manner:
        form = find_format(self.format, self.model, config.architectures or ())
        renderer = Renderer(form, tokenizer, self.delimiter)
        if form.head != "tokens":
            return Manner(form, renderer)
        pair = renderer.token(form.wrong_token), renderer.token(form.right_token)
        return Manner(form, renderer, pair)
