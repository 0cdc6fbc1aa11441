"""The policy's own confidence as a verifier: the baseline that a real verifier must beat."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tts_bench.errors import NotGiven
from tts_bench.types import Candidate, Problem, Score
from tts_bench.verifier.base import Scoring, Verifier


@dataclass(frozen=True)
class ConfidenceVerifier(Verifier):
    """Geometric mean probability of a candidate's tokens under the policy, in (0, 1].

    That is exp(mean log-prob), the inverse of its perplexity: it ranks candidates as the mean
    log-prob does, and being positive it can weigh votes. It costs nothing, since the engine
    reports log-probs anyway, and it knows nothing that the policy does not know.
    """

    needs: ClassVar[Collection[str]] = ("logprobs",)

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One score for each candidate; no model is called."""
        if any(math.isnan(candidate.logprob) for candidate in candidates):
            raise NotGiven(
                "verifier 'confidence' reads the policy's log-probabilities, which its engine does"
                " not give: name another verifier (judge, orm, prm)"
            )
        return [Scoring(Score(math.exp(candidate.mean_logprob))) for candidate in candidates]
