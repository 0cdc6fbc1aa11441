"""One attempt: a strategy solves a problem through its session, and the grader judges it."""

from __future__ import annotations

import asyncio
import math
import operator
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any

from tts_bench.answers.grader import Grading
from tts_bench.answers.kinds import MATH
from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.dataset.base import Item
from tts_bench.engine.base import Engine
from tts_bench.errors import BudgetExhausted, ModelLost, NotGiven, ReplayMiss, UsageError, quoted
from tts_bench.prompt import Dialogue, Prompt
from tts_bench.run.failure import described
from tts_bench.run.own_rule import expect_choices
from tts_bench.strategy.base import AllocatingStrategy, answer_classes
from tts_bench.strategy.known_answers import KnownAnswers
from tts_bench.strategy.session import Canonicalize, Session
from tts_bench.strategy.tree import columns
from tts_bench.suite.cells import Cell
from tts_bench.types import Attempt, Candidate, Measurement, Pool, Score, Solution, Status
from tts_bench.verifier.base import Verifier, VerifierInfo


@dataclass(frozen=True)
class AttemptContext:
    """What all attempts of a run share."""

    engine: Engine
    shape: ModelShape | None
    verifier: Verifier
    verifier_info: VerifierInfo
    grader: Grading
    canonicalize: Canonicalize
    budget: Budget
    prompt: Prompt
    max_model_len: int | None = None
    exact_tokens: bool = True
    """Whether the engine's token ids are the model's own, and their number that of its tokens."""
    on_failure: Callable[[BaseException], None] = lambda _: None
    """Is told of whatever a strategy's failure is."""
    answers: KnownAnswers = field(default_factory=lambda: KnownAnswers(MATH))

    async def attempt(self, cell: Cell, item: Item, seed: int) -> tuple[Attempt, Measurement]:
        """Let the cell's strategy attempt the problem, grade it and add up what it took.

        Whatever the strategy raises becomes an attempt that counts as wrong; only what concerns
        the whole run (a full disk, a lost model, a request that a replay lacks) is raised.
        """
        began = time.monotonic()
        ledger = self._ledger()
        dialogue = self.prompt.dialogue(item.problem, self.engine.tokenizer)
        session = self._session(cell, dialogue, seed, ledger)
        solution, tree, error = None, None, None
        status: Status = "error"
        try:
            found = await _held(cell.strategy.solve(item.problem, session), session)
            tree = columns(found.tree) if found.tree else None
            solution = found
            status = "no_answer" if _answer(solution) is None else "ok"
        except ReplayMiss as miss:
            raise miss.at(f"{cell.id} on {item.problem.id}, seed {seed}") from miss
        except NotGiven as lacking:
            raise UsageError(f"{cell.id}: {lacking}") from lacking
        except (UsageError, ModelLost):
            raise
        except BudgetExhausted as raised:
            status, error = "budget", str(raised)
        # The one place where a strategy's failure is caught; leaving by `sys.exit` is one too.
        except (Exception, SystemExit) as raised:
            error = described(raised, cell.strategy)
            self.on_failure(raised)
        except asyncio.CancelledError:
            if _being_cancelled():
                raise
            error = "CancelledError: the strategy or the engine cancelled itself"
        pool = await self._grade(solution, item) if solution else Pool()
        expected: tuple[tuple[int, float, float], ...] = ()
        if solution is not None:
            try:
                expected = expect_choices(cell, solution, pool.correct, item.problem.id, seed)
            except (Exception, SystemExit) as raised:  # the strategy's, as in `solve`
                status, error = "error", described(raised, cell.strategy)
                self.on_failure(raised)
        chosen = solution.chosen if solution and status == "ok" else None
        attempt = Attempt(
            cell=cell.id,
            problem=item.problem.id,
            seed=seed,
            status=status,
            answer=pool.answer[chosen] if chosen is not None else None,
            correct=chosen is not None and pool.correct[chosen] is True,
            chosen=chosen,
            prompt_tokens=len(dialogue.prompt_ids) if self.exact_tokens else None,
            pool=pool,
            policy=ledger.policy.usage,
            verifier=ledger.verifier.usage,
            error=error,
            tree=tree,
            facts=dict(solution.facts) if solution else {},
            expected=expected,
        )
        return attempt, _measure(ledger, time.monotonic() - began)

    async def probe(self, cell: Cell, item: Item, seed: int) -> Solution | None:
        """Let a suite-wide strategy look at the problem; None if that fails.

        Nothing is recorded: the attempt that follows draws the same, and fails the same.
        """
        assert isinstance(cell.strategy, AllocatingStrategy)
        dialogue = self.prompt.dialogue(item.problem, self.engine.tokenizer)
        session = self._session(cell, dialogue, seed, self._ledger())
        try:
            return await _held(cell.strategy.probe_problem(item.problem, session), session)
        except ReplayMiss as miss:
            raise miss.at(f"{cell.id} on {item.problem.id}, seed {seed}") from miss
        except (UsageError, ModelLost):
            raise
        except (Exception, SystemExit):  # as in `attempt`, if it is told
            return None

    def _ledger(self) -> Ledger:
        scorer = Meter(self.verifier_info.shape, has_model=self.verifier_info.model is not None)
        return Ledger(Meter(self.shape), scorer, self.budget)

    def _session(self, cell: Cell, dialogue: Dialogue, seed: int, ledger: Ledger) -> Session:
        return Session(
            dialogue,
            engine=self.engine,
            verifier=self.verifier,
            ledger=ledger,
            sampling=cell.sampling,
            seed=seed,
            canonicalize=self.canonicalize,
            max_model_len=self.max_model_len,
            answers=self.answers,
        )

    async def _grade(self, solution: Solution, item: Item) -> Pool:
        candidates = solution.candidates
        answers = [one.answer for one in candidates]
        verdicts = await self.grader.grade(item.reference, answers, item.problem.text)
        numbers = {candidate.id: i for i, candidate in enumerate(candidates)}
        return Pool(
            answer=tuple(one.answer for one in candidates),
            answer_class=tuple(answer_classes(list(candidates))),
            correct=tuple(verdicts),
            score=tuple(score.value for score in solution.scores),
            steps=_steps(solution),
            logprob=_logprobs(candidates),
            tokens=tuple(one.generated_tokens if one.counted else None for one in candidates),
            finish_reason=tuple(one.finish_reason for one in candidates),
            parent=tuple(
                None if one.parent is None else numbers.get(one.parent) for one in candidates
            ),
            generation=tuple(one.generation for one in candidates),
            **_continued(solution),
        )


async def _held(solving: Awaitable[object], session: Session) -> Solution:
    """What the strategy returns, checked; raises what ends the whole run though it was caught."""
    try:
        solution = _checked(await solving, session)
    except (Exception, SystemExit):
        if session.broken is not None:
            raise session.broken from None
        raise
    if session.broken is not None:
        raise session.broken
    return solution


def _checked(solution: object, session: Session) -> Solution:
    """What `solve` returned, if it is a Solution made of the session's own candidates."""
    if not isinstance(solution, Solution):
        raise TypeError(f"solve returned {type(solution).__name__}, not Solution")
    session.check([*solution.candidates, *(node.candidate for node in solution.tree)])
    for score in (*solution.scores, *(node.score for node in solution.tree)):
        if not isinstance(score, Score):
            raise TypeError(f"a score of the Solution is {type(score).__name__}, not Score")
    chosen = solution.chosen
    return replace(
        solution,
        candidates=tuple(solution.candidates),
        chosen=None if chosen is None else operator.index(chosen),
        facts={_name(name): _fact(name, value) for name, value in solution.facts.items()},
    )


def _name(name: object) -> str:
    if not isinstance(name, str) or not _is_unicode(name):
        raise TypeError(f"the name of a fact must be a string, not {quoted(name)}")
    return name


def _fact(name: object, value: object) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise TypeError(f"fact {quoted(name)} must be a finite number, not {quoted(value)}")
    return value if isinstance(value, int) else float(value)


def _is_unicode(text: str) -> bool:
    """Whether it can be written: a lone surrogate cannot."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _answer(solution: Solution) -> str | None:
    return None if solution.chosen is None else solution.candidates[solution.chosen].answer


def _being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _logprobs(candidates: Sequence[Candidate]) -> tuple[float, ...]:
    """Log-probabilities of the candidates, or nothing at all if one has none."""
    if any(math.isnan(one.logprob) for one in candidates):
        return ()
    return tuple(round(one.logprob, 6) for one in candidates)


def _steps(solution: Solution) -> tuple[tuple[float, ...], ...]:
    """Step scores, or nothing at all if no candidate has any."""
    steps = tuple(score.steps for score in solution.scores)
    return steps if any(steps) else ()


def _continued(solution: Solution) -> dict[str, tuple[Any, ...]]:
    """Columns of candidates that continue others: their texts, or where the tree has these."""
    nodes = {node.candidate.id: i for i, node in enumerate(solution.tree)}
    told = tuple(nodes.get(one.id) for one in solution.candidates)
    texts = tuple(
        one.text if one.parent is not None and node is None else None
        for one, node in zip(solution.candidates, told, strict=True)
    )
    return {
        "text": texts if any(text is not None for text in texts) else (),
        "node": told if nodes else (),
    }


def _measure(ledger: Ledger, seconds: float) -> Measurement:
    return Measurement(
        seconds=round(seconds, 3),
        policy_cached_tokens=ledger.policy.cached_tokens,
        policy_flops=ledger.policy.measured_flops,
        verifier_cached_tokens=ledger.verifier.cached_tokens,
        verifier_flops=ledger.verifier.measured_flops,
    )
