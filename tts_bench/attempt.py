"""One attempt: a strategy solves a problem through its session, and the grader judges it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Protocol

from tts_bench.cells import Cell
from tts_bench.dataset.base import Item
from tts_bench.engine.base import Engine
from tts_bench.errors import BudgetExhausted, ReplayMiss, UsageError
from tts_bench.flops import ModelShape
from tts_bench.ledger import Budget, Ledger, Meter
from tts_bench.session import Canonicalize, Session
from tts_bench.strategy import answer_classes
from tts_bench.types import Attempt, Measurement, Pool, Solution, Status
from tts_bench.verifier.base import Verifier, VerifierInfo


class Grading(Protocol):
    """What is needed of the grader: a verdict for each answer, None where it timed out."""

    async def grade(self, reference: str, answers: list[str | None]) -> list[bool | None]: ...


@dataclass(frozen=True)
class Bench:
    """What all attempts of a run share."""

    engine: Engine
    shape: ModelShape | None
    verifier: Verifier
    opinion: VerifierInfo
    grader: Grading
    canonicalize: Canonicalize
    budget: Budget

    async def attempt(
        self, cell: Cell, item: Item, prompt_ids: tuple[int, ...], seed: int
    ) -> tuple[Attempt, Measurement]:
        """Let the cell's strategy attempt the problem, grade it and add up what it took.

        Whatever the strategy raises becomes an attempt that counts as wrong; only what concerns
        the whole run (a full disk, a request that a replay lacks) is raised.
        """
        began = time.monotonic()
        scorer = Meter(self.opinion.shape, has_model=self.opinion.model is not None)
        ledger = Ledger(Meter(self.shape), scorer, self.budget)
        session = Session(
            item.problem,
            prompt_ids,
            engine=self.engine,
            verifier=self.verifier,
            ledger=ledger,
            sampling=cell.sampling,
            seed=seed,
            canonicalize=self.canonicalize,
        )
        solution, error = None, None
        status: Status = "error"
        try:
            solution = _checked(await cell.strategy.solve(item.problem, session), session)
            status = "no_answer" if _answer(solution) is None else "ok"
        except (UsageError, ReplayMiss):
            raise
        except BudgetExhausted as raised:
            status, error = "budget", str(raised)
        # The one place where a strategy's failure is caught; leaving by `sys.exit` is one too.
        except (Exception, SystemExit) as raised:
            error = f"{type(raised).__name__}: {raised}"
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            error = "CancelledError: the strategy or the engine cancelled itself"
        pool = await self._grade(solution, item.reference) if solution else Pool()
        chosen = solution.chosen if solution and status == "ok" else None
        attempt = Attempt(
            cell=cell.id,
            problem=item.problem.id,
            seed=seed,
            status=status,
            answer=pool.answer[chosen] if chosen is not None else None,
            correct=chosen is not None and pool.correct[chosen] is True,
            chosen=chosen,
            prompt_tokens=len(prompt_ids),
            pool=pool,
            policy=ledger.policy.usage,
            verifier=ledger.verifier.usage,
            error=error,
        )
        return attempt, _measure(ledger, time.monotonic() - began)

    async def _grade(self, solution: Solution, reference: str) -> Pool:
        candidates = solution.candidates
        verdicts = await self.grader.grade(reference, [one.answer for one in candidates])
        numbers = {candidate.id: i for i, candidate in enumerate(candidates)}
        return Pool(
            answer=tuple(one.answer for one in candidates),
            answer_class=tuple(answer_classes(list(candidates))),
            correct=tuple(verdicts),
            score=tuple(score.value for score in solution.scores),
            steps=_steps(solution),
            logprob=tuple(round(one.logprob, 6) for one in candidates),
            tokens=tuple(one.generated_tokens for one in candidates),
            finish_reason=tuple(one.finish_reason for one in candidates),
            parent=tuple(
                None if one.parent is None else numbers.get(one.parent) for one in candidates
            ),
            generation=tuple(one.generation for one in candidates),
        )


def _checked(solution: object, session: Session) -> Solution:
    """What `solve` returned, if it is a Solution made of the session's own candidates."""
    if not isinstance(solution, Solution):
        raise TypeError(f"solve returned {type(solution).__name__}, not Solution")
    session.check(solution.candidates)
    return solution


def _answer(solution: Solution) -> str | None:
    return None if solution.chosen is None else solution.candidates[solution.chosen].answer


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _steps(solution: Solution) -> tuple[tuple[float, ...], ...]:
    """Step scores, or nothing at all where no candidate has any."""
    steps = tuple(score.steps for score in solution.scores)
    return steps if any(steps) else ()


def _measure(ledger: Ledger, seconds: float) -> Measurement:
    return Measurement(
        seconds=round(seconds, 3),
        policy_cached_tokens=ledger.policy.cached_tokens,
        policy_flops=ledger.policy.measured_flops,
        verifier_cached_tokens=ledger.verifier.cached_tokens,
        verifier_flops=ledger.verifier.measured_flops,
    )
