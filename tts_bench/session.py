"""The one door through which a strategy reaches the models.

Three verbs, list in and list out. The session seeds every draw before its first await, charges
every token to the ledger and stops at the budget, so a strategy can neither miscount nor cheat,
and neither concurrency nor completion order changes a result.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from tts_bench import answers
from tts_bench.engine.base import Completion, Engine, Request
from tts_bench.ledger import Call, Ledger
from tts_bench.types import Candidate, Problem, Sampling, Score, Usage
from tts_bench.verifier.base import Verifier

Canonicalize = Callable[[Sequence[str]], Awaitable[list[str]]]
"""Canonical forms of answers, in order (see `answers.canonical`)."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """One completion to ask for: where it continues from, and its place in the tree."""

    parent: Candidate | None
    injected_ids: tuple[int, ...]
    injected_text: str
    path: tuple[int, ...]
    request: Request


class Session:
    """One attempt's access to the policy and the verifier."""

    def __init__(
        self,
        problem: Problem,
        prompt_ids: tuple[int, ...],
        *,
        engine: Engine,
        verifier: Verifier,
        ledger: Ledger,
        sampling: Sampling,
        seed: int,
        canonicalize: Canonicalize,
    ) -> None:
        self._problem = problem
        self._prompt_ids = prompt_ids
        self._engine = engine
        self._verifier = verifier
        self._ledger = ledger
        self._sampling = sampling
        self._seed = seed
        self._canonicalize = canonicalize
        self._drawn: dict[tuple[object, ...], int] = {}
        self._asked = 0
        self._issued: dict[int, Candidate] = {}

    @property
    def spent(self) -> Usage:
        """What the policy has been asked to do so far."""
        return self._ledger.policy.usage

    @property
    def left(self) -> int | None:
        """Completion tokens that the budget has left; None without a limit."""
        return self._ledger.left

    async def sample(self, n: int = 1, **sampling: Any) -> list[Candidate]:
        """Draw `n` fresh candidates from the problem's prompt.

        Keyword arguments replace fields of the suite's `Sampling`. The budget may grant fewer
        or shorter candidates; raises BudgetExhausted where it grants none.
        """
        return await self._draw([(None, (), "")] * n, sampling)

    async def extend(
        self, candidates: Sequence[Candidate], n: int = 1, inject: str = "", **sampling: Any
    ) -> list[Candidate]:
        """Continue each candidate `n` times, from its exact tokens and then `inject`'s.

        Returns the continuations in order, `n` for each candidate; a continuation holds the
        whole solution so far and names its parent. Raises ValueError for a candidate that did
        not come from this session.
        """
        self.check(candidates)
        injected = self._engine.encode(inject) if inject else ()
        places = [(parent, injected, inject) for parent in candidates for _ in range(n)]
        for parent in candidates:
            self._ledger.policy.note_computed(parent.prompt_ids + parent.token_ids[:-1])
        return await self._draw(places, sampling)

    async def score(self, candidates: Sequence[Candidate]) -> list[Score]:
        """The verifier's opinion of each candidate, in order.

        Raises ValueError for a candidate that did not come from this session.
        """
        self.check(candidates)
        scorings = await self._verifier.score(self._problem, candidates)
        self._ledger.verifier.charge([call for scoring in scorings for call in scoring.calls])
        return [scoring.score for scoring in scorings]

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Raise ValueError unless every candidate is one that this session has given out.

        A candidate made up by a strategy would be neither drawn nor paid for.
        """
        for candidate in candidates:
            if self._issued.get(candidate.id) is not candidate:
                raise ValueError(f"candidate {candidate.id} did not come from this session")

    async def _draw(
        self,
        places: Sequence[tuple[Candidate | None, tuple[int, ...], str]],
        overrides: dict[str, Any],
    ) -> list[Candidate]:
        sampling = replace(self._sampling, **overrides)
        granted, max_tokens = self._ledger.grant(len(places), sampling.max_tokens)
        sampling = replace(sampling, max_tokens=max_tokens)
        draws = [self._place(*place, sampling) for place in places[:granted]]
        first = self._asked
        self._asked += len(draws)
        try:
            completions = await self._engine.generate_all([draw.request for draw in draws])
            self._charge(draws, completions)
        finally:
            self._ledger.settle(granted, max_tokens)
        return await self._candidates(first, draws, completions)

    def _charge(self, draws: Sequence[_Draw], completions: Sequence[Completion]) -> None:
        self._ledger.policy.charge(
            [
                Call(draw.request.prompt_ids, len(done.token_ids), done.cached_prompt_tokens)
                for draw, done in zip(draws, completions, strict=True)
            ]
        )

    async def _candidates(
        self, first: int, draws: Sequence[_Draw], completions: Sequence[Completion]
    ) -> list[Candidate]:
        texts = [
            (draw.parent.text if draw.parent else "") + draw.injected_text + done.text
            for draw, done in zip(draws, completions, strict=True)
        ]
        found = [_find_answer(text, done) for text, done in zip(texts, completions, strict=True)]
        forms = iter(await self._canonicalize([answer for answer in found if answer is not None]))
        made = [
            self._candidate(
                first + i, draw, done, text, answer, None if answer is None else next(forms)
            )
            for i, (draw, done, text, answer) in enumerate(
                zip(draws, completions, texts, found, strict=True)
            )
        ]
        self._issued.update((candidate.id, candidate) for candidate in made)
        return made

    def _place(
        self,
        parent: Candidate | None,
        injected_ids: tuple[int, ...],
        injected_text: str,
        sampling: Sampling,
    ) -> _Draw:
        """Fix the seed of the next draw at this place of the tree."""
        prompt_ids = self._prompt_ids
        if parent is not None:
            prompt_ids = parent.prompt_ids + parent.token_ids + injected_ids
        above = parent.path if parent else ()
        # Not `max_tokens` and not `stop`: where a draw ends does not change how it begins, so
        # the same draw cut at different lengths stays comparable.
        law = (sampling.temperature, sampling.top_p, sampling.top_k)
        place = (prompt_ids, above, law)
        index = self._drawn.get(place, 0)
        self._drawn[place] = index + 1
        path = (*above, index)
        seed = 0
        if sampling.temperature > 0:
            seed = draw_seed(self._seed, self._problem.id, prompt_ids, law, path)
        return _Draw(parent, injected_ids, injected_text, path, Request(prompt_ids, sampling, seed))

    @staticmethod
    def _candidate(
        number: int,
        draw: _Draw,
        done: Completion,
        text: str,
        answer: str | None,
        answer_class: str | None,
    ) -> Candidate:
        parent = draw.parent
        before = parent.token_ids + draw.injected_ids if parent else ()
        return Candidate(
            id=number,
            prompt_ids=parent.prompt_ids if parent else draw.request.prompt_ids,
            token_ids=before + done.token_ids,
            text=text,
            answer=answer,
            answer_class=answer_class,
            logprob=(parent.logprob if parent else 0.0) + done.logprob,
            generated_tokens=(parent.generated_tokens if parent else 0) + len(done.token_ids),
            finish_reason=done.finish_reason,
            stop=done.stop,
            parent=parent.id if parent else None,
            path=draw.path,
            generation=done.key,
        )


def _find_answer(text: str, done: Completion) -> str | None:
    """The answer; of a text that was cut off, only one in a box.

    The last number of an unfinished calculation is nobody's answer, and "the answer is 1" may
    have been about to become 12.
    """
    return answers.boxed(text) if done.finish_reason == "length" else answers.extract(text)


def draw_seed(
    run_seed: int,
    problem_id: str,
    prompt_ids: tuple[int, ...],
    law: tuple[float, float, int],
    path: tuple[int, ...],
) -> int:
    """Seed of one draw, in [0, 2**63): a hash of all that identifies it.

    The strategy's name is not among it, so every strategy that asks for draw `i` of a prompt
    gets the same one (common random numbers), and draws 0..15 of N=64 are those of N=16.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((run_seed, problem_id, law, path)).encode())
    digest.update(_ids_digest(prompt_ids))
    return int.from_bytes(digest.digest(), "big") >> 1


@lru_cache(maxsize=1024)
def _ids_digest(ids: tuple[int, ...]) -> bytes:
    return hashlib.blake2b(array("q", ids).tobytes(), digest_size=16).digest()
