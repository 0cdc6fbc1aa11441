"""Policy and verifier one after the other, where one GPU does not hold both.

In the first phase only the engine is loaded, and every pool is drawn into the generation store.
Then it is closed, and the second phase is the run itself: the verifier is loaded, and the engine
only answers from the store. What a strategy draws must not depend on scores: it may ask for
them once it has drawn everything, as flat strategies do.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.dataset.base import Item
from tts_bench.engine.base import Completion, Request
from tts_bench.engine.cached import CachedEngine
from tts_bench.errors import UsageError
from tts_bench.progress import Progress
from tts_bench.run.attempt import AttemptContext
from tts_bench.store.models import open_models
from tts_bench.strategy.base import AllocatingStrategy
from tts_bench.strategy.known_answers import KnownAnswers
from tts_bench.suite.cells import Cell
from tts_bench.suite.load import Suite
from tts_bench.types import Attempt, Candidate, Measurement, Problem, Score
from tts_bench.verifier.asking import AskingVerifier
from tts_bench.verifier.base import Scoring, Verifier, VerifierInfo

Job = tuple[Cell, Item, int]


@dataclass(frozen=True)
class FirstPhase:
    """What the first phase came to."""

    failed: Sequence[tuple[Attempt, Measurement]]
    """Attempts that are over because a draw failed."""
    generated_tokens: int
    """Tokens that the engine generated, not counting those from the store."""


@dataclass
class _Attempting:
    """The attempt that a task is at."""

    cell: str
    scored: bool = False


_now: contextvars.ContextVar[_Attempting] = contextvars.ContextVar("attempting")


class _DrawingEngine(CachedEngine):
    """Refuses to draw for an attempt that has asked for scores: they are not the real ones."""

    async def generate_all(self, requests: Sequence[Request]) -> list[Completion]:
        if _now.get().scored:
            raise UsageError(
                f"--phases: {_now.get().cell} draws after it has seen scores, so both models must"
                " be loaded; leave it out (--strategy), or give each model its share of the GPU"
                " (gpu_memory_utilization)"
            )
        return await super().generate_all(requests)


class _Unscored(Verifier):
    """Scores nothing: the second phase does."""

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        _now.get().scored = True
        return [Scoring(Score(0.0)) for _ in candidates]


class _Ungraded:
    """Grades nothing: the second phase does."""

    async def grade(
        self, reference: str, answers: list[str | None], problem: str = ""
    ) -> list[bool | None]:
        return [None] * len(answers)


def check_phases(suite: Suite) -> None:
    """Raise UsageError if a suite cannot be run in phases."""
    shared = [cell.id for cell in suite.cells if isinstance(cell.strategy, AllocatingStrategy)]
    if shared:
        raise UsageError(
            f"--phases: {shared[0]} looks at all problems before it solves one; leave it out"
            " (--strategy)"
        )
    if isinstance(suite.verifier, AskingVerifier) and suite.verifier.engine is None:
        raise UsageError(
            "--phases: the verifier asks the policy's own engine, so there is one model only"
        )


async def draw_pools(
    suite: Suite, jobs: Iterator[Job], generations: Path, salt: str, progress: Progress
) -> FirstPhase:
    """Draw what the attempts need, with nothing but the engine loaded; it is closed at the end."""
    failed: list[tuple[Attempt, Measurement]] = []
    async with open_models(generations, progress, salt=salt) as models:
        engine = await models.engine(suite.engine, kind=_DrawingEngine, stage="phase 1 of 2: ")
        info = engine.info
        context = AttemptContext(
            engine,
            info.shape,
            _Unscored(),
            VerifierInfo("unscored"),
            _Ungraded(),
            _as_written,
            suite.budget,
            suite.prompt,
            info.max_model_len,
            info.exact_tokens,
            answers=KnownAnswers(suite.answers),
        )

        async def draw(cell: Cell, item: Item, seed: int) -> None:
            _now.set(_Attempting(cell.id))
            attempt, measurement = await context.attempt(cell, item, seed)
            if attempt.status == "error":
                failed.append((attempt, measurement))

        async with progress.heartbeat("phase 1 of 2: drawing", lambda: engine.generated_tokens):
            await in_flight((draw(*job) for job in jobs), suite.concurrency)
    return FirstPhase(failed, engine.generated_tokens)


async def _as_written(answers: Sequence[str]) -> list[str]:
    return list(answers)
