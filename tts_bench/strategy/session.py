"""The one door through which a strategy reaches the models.

Three verbs, list in and list out. The session seeds every draw before its first await, charges
every token to the ledger and stops at the budget, so a strategy can neither miscount nor cheat,
and neither concurrency nor completion order changes which draws are asked for. Whether equal draws
are equal to the bit is up to the engine: on `transformers` log-probabilities differ by up to 6e-5
with the batch, and scores and facts that are made of them follow (docs/engines.md).
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from tts_bench.answers.kinds import MATH
from tts_bench.answers.thinking import opens_thinking
from tts_bench.cost.ledger import Call, Ledger
from tts_bench.engine.base import Completion, Engine, Request
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import ModelLost, ReplayMiss, TtsBenchError, UsageError
from tts_bench.prompt import Dialogue
from tts_bench.strategy.known_answers import KnownAnswers
from tts_bench.strategy.prefix import Prefix
from tts_bench.types import Candidate, Problem, Sampling, Score, Usage
from tts_bench.verifier.base import Verifier

Canonicalize = Callable[[Sequence[str]], Awaitable[list[str]]]
"""Canonical forms of answers, in order (see `canonical`)."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """One completion to ask for: where it begins, and its path in the tree of draws."""

    prefix: Prefix
    path: tuple[int, ...]
    request: Request


@dataclass(frozen=True, slots=True)
class _Place:
    """All token ids before a draw, and a digest of them: put together once for all draws there."""

    prompt_ids: tuple[int, ...]
    digest: bytes

    @classmethod
    def at(cls, prefix: Prefix) -> _Place:
        """The place where this prefix ends."""
        ids = prefix.prompt_ids + prefix.token_ids
        return cls(ids, hashlib.blake2b(array("q", ids).tobytes(), digest_size=16).digest())


@dataclass(frozen=True, slots=True)
class _Issued:
    """A candidate that was given out, and what only the session knows of it."""

    candidate: Candidate
    stops: tuple[str, ...]
    """The strings at which it was to stop."""
    turn: int
    """Where in its text its last turn begins."""


class Session:
    """One attempt's access to the policy and the verifier."""

    def __init__(
        self,
        dialogue: Dialogue,
        *,
        engine: Engine,
        verifier: Verifier,
        ledger: Ledger,
        sampling: Sampling,
        seed: int,
        canonicalize: Canonicalize,
        max_model_len: int | None = None,
        answers: KnownAnswers | None = None,
    ) -> None:
        self._dialogue = dialogue
        self._engine = engine
        self._verifier = verifier
        self._ledger = ledger
        self._sampling = sampling
        self._seed = seed
        self._canonicalize = canonicalize
        self._answers = answers or KnownAnswers(MATH)
        self.max_model_len = max_model_len
        """Longest prompt plus completion of the policy, in tokens; None if it is not known."""
        self._drawn: dict[tuple[object, ...], int] = {}
        self._asked = 0
        self._issued: dict[int, _Issued] = {}
        self._opened: dict[tuple[int, ...], bool] = {}
        self.broken: TtsBenchError | None = None
        """What ends the whole run, once a verb has raised it; a strategy may have caught it."""

    @property
    def sampling(self) -> Sampling:
        """How the suite wants tokens drawn; its `max_tokens` is the length of a solution."""
        return self._sampling

    @cached_property
    def rng(self) -> random.Random:
        """For the strategy's own random choices; seeded by the run's seed and the problem."""
        return random.Random(f"{self._seed}|{self._problem.id}")

    @property
    def _problem(self) -> Problem:
        return self._dialogue.problem

    @property
    def _tokenizer(self) -> Tokenizer:
        return self._dialogue.tokenizer

    @property
    def spent(self) -> Usage:
        """What the policy has been asked to do so far."""
        return self._ledger.policy.usage

    @property
    def left(self) -> int | None:
        """Completion tokens that the budget has left; None without a limit."""
        return self._ledger.left

    async def sample(self, n: int = 1, instruction: str = "", **sampling: Any) -> list[Candidate]:
        """Draw `n` fresh candidates from the problem's prompt, or from it and an instruction.

        Keyword arguments replace fields of the suite's `Sampling`. The budget may grant fewer
        or shorter candidates; raises BudgetExhausted where it grants none.
        """
        return await self._draw([Prefix(self._dialogue.opening(instruction))] * n, sampling)

    async def extend(
        self,
        candidates: Sequence[Candidate],
        n: int = 1,
        inject: str = "",
        reply: str = "",
        drop_stop: bool = False,
        total_tokens: int | None = None,
        **sampling: Any,
    ) -> list[Candidate]:
        """Continue each candidate `n` times, from its exact tokens and then `inject`'s.

        Returns the continuations in order, `n` for each candidate; a continuation holds the
        whole solution so far and names its parent. `drop_stop` takes back what ended the
        candidate (its stop string, the end of its turn, or what it wrote of a stop string when
        it was cut off) and nothing else; what it took to write stays paid, and counts among
        `generated_tokens` and `logprob`. `reply` is a turn of the user's that is put after the
        candidate's, whose answers then no longer count. `total_tokens` bounds the generated tokens
        of whole solutions, as `max_tokens` does those of a continuation. Raises ValueError for
        a candidate that did not come from this session, or that has `total_tokens` already.
        """
        self.check(candidates)
        injected = self._tokenizer.encode(inject) if inject else ()
        after: dict[int, Prefix] = {}
        for parent in candidates:
            if parent.id not in after:  # searches name a parent once for each of its children
                prefix = self._behind(parent, reply, drop_stop)
                after[parent.id] = prefix.then(injected, inject)
                self._ledger.policy.note_computed(parent.prompt_ids + parent.token_ids[:-1])
        prefixes = [after[parent.id] for parent in candidates for _ in range(n)]
        return await self._draw(prefixes, sampling, total_tokens)

    async def score(self, candidates: Sequence[Candidate]) -> list[Score]:
        """The verifier's opinion of each candidate, in order.

        Raises ValueError for a candidate that did not come from this session.
        """
        self.check(candidates)
        with self._noting():
            scorings = await self._verifier.score(self._problem, candidates)
        self._ledger.verifier.charge([call for scoring in scorings for call in scoring.calls])
        return [scoring.score for scoring in scorings]

    def check(self, candidates: Sequence[Candidate]) -> None:
        """Raise ValueError unless every candidate is one that this session has given out.

        A candidate made up by a strategy would be neither drawn nor paid for.
        """
        for candidate in candidates:
            issued = self._issued.get(candidate.id)
            if issued is None or issued.candidate is not candidate:
                raise ValueError(f"candidate {candidate.id} did not come from this session")

    def _behind(self, parent: Candidate, reply: str, drop_stop: bool) -> Prefix:
        issued = self._issued[parent.id]
        prefix = Prefix.after(parent, issued.turn)
        if reply or drop_stop:
            prefix = prefix.without_end(self._tokenizer, issued.stops)
        if reply:
            ids = self._dialogue.reply(reply)
            prefix = prefix.next_turn(ids, self._tokenizer.decode(ids))
        return prefix

    async def _draw(
        self,
        prefixes: Sequence[Prefix],
        overrides: dict[str, Any],
        total_tokens: int | None = None,
    ) -> list[Candidate]:
        sampling = replace(self._sampling, **overrides)
        if why := self._engine.unable(sampling):
            raise UsageError(f"sampling.{why}")
        rooms = [_room(prefix.parent, total_tokens, sampling.max_tokens) for prefix in prefixes]
        granted, max_tokens = self._ledger.grant(len(prefixes), max(rooms, default=1))
        lengths = {room: min(room, max_tokens) for room in set(rooms[:granted])}
        limited = {room: replace(sampling, max_tokens=most) for room, most in lengths.items()}
        distinct = {id(prefix): prefix for prefix in prefixes[:granted]}
        places = {number: _Place.at(prefix) for number, prefix in distinct.items()}
        draws = [
            self._seeded(prefix, places[id(prefix)], limited[room])
            for prefix, room in zip(prefixes[:granted], rooms, strict=False)
        ]
        first = self._asked
        self._asked += len(draws)
        try:
            with self._noting():
                completions = await self._engine.generate_all([draw.request for draw in draws])
            self._charge(draws, completions)
        finally:
            self._ledger.settle(granted, max_tokens)
        return await self._candidates(first, draws, completions)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """Keep what ends the whole run, for a strategy that catches everything."""
        try:
            yield
        except (UsageError, ModelLost, ReplayMiss) as error:
            self.broken = error
            raise

    def _charge(self, draws: Sequence[_Draw], completions: Sequence[Completion]) -> None:
        self._ledger.policy.charge(
            [
                Call(
                    draw.request.prompt_ids,
                    done.written,
                    done.cached_prompt_tokens,
                    prompt_tokens=done.counts.prompt if done.counts else None,
                )
                for draw, done in zip(draws, completions, strict=True)
            ]
        )

    async def _candidates(
        self, first: int, draws: Sequence[_Draw], completions: Sequence[Completion]
    ) -> list[Candidate]:
        pairs = list(zip(draws, completions, strict=True))
        texts = [draw.prefix.text_with(done, self._tokenizer) for draw, done in pairs]
        turns = [text[draw.prefix.turn :] for text, draw in zip(texts, draws, strict=True)]
        found = [
            self._find_answer(turn, draw.prefix, done)
            for turn, (draw, done) in zip(turns, pairs, strict=True)
        ]
        forms = iter(await self._canonicalize([answer for answer in found if answer is not None]))
        made = [
            self._candidate(first + i, *pair, text, answer, None if answer is None else next(forms))
            for i, (pair, text, answer) in enumerate(zip(pairs, texts, found, strict=True))
        ]
        for draw, one in zip(draws, made, strict=True):
            self._issued[one.id] = _Issued(one, draw.request.sampling.stop, draw.prefix.turn)
        return made

    def _find_answer(self, turn: str, prefix: Prefix, done: Completion) -> str | None:
        """The answer in the text of the last turn. What is thought is no answer."""
        thinking = self._thinks(prefix)
        if prefix.text:
            return self._answers.read(turn, done, thinking)
        return self._answers.of(done, thinking)

    def _thinks(self, prefix: Prefix) -> bool:
        """Whether what stands before the policy's present turn opens a thinking for it."""
        if prefix.turn:
            return opens_thinking(prefix.text[: prefix.turn])
        ids = prefix.prompt_ids
        if ids not in self._opened:
            self._opened[ids] = self._tokenizer.opens_thinking(ids)
        return self._opened[ids]

    def _seeded(self, prefix: Prefix, place: _Place, sampling: Sampling) -> _Draw:
        """Fix the seed of the next draw at this place of the tree."""
        above = prefix.parent.path if prefix.parent else ()
        # Not `max_tokens` and no stop: where a draw ends does not change how it begins, so
        # the same draw cut at different lengths stays comparable.
        distribution = sampling.distribution
        drawn = (place.digest, above, distribution)
        index = self._drawn.get(drawn, 0)
        self._drawn[drawn] = index + 1
        path = (*above, index)
        seed = 0
        if sampling.temperature > 0:
            seed = draw_seed(self._seed, self._problem.id, place.digest, distribution, path)
        return _Draw(prefix, path, Request(place.prompt_ids, sampling, seed))

    @staticmethod
    def _candidate(
        number: int,
        draw: _Draw,
        done: Completion,
        text: str,
        answer: str | None,
        answer_class: str | None,
    ) -> Candidate:
        prefix, parent = draw.prefix, draw.prefix.parent
        return Candidate(
            id=number,
            prompt_ids=prefix.prompt_ids,
            token_ids=prefix.token_ids + done.token_ids,
            text=text,
            answer=answer,
            answer_class=answer_class,
            logprob=(parent.logprob if parent else 0.0) + done.logprob,
            generated_tokens=(parent.generated_tokens if parent else 0) + (done.written or 0),
            counted=done.written is not None and (parent is None or parent.counted),
            finish_reason=done.finish_reason,
            stop=done.stop,
            parent=parent.id if parent else None,
            path=draw.path,
            generation=done.key,
        )


def _room(parent: Candidate | None, total_tokens: int | None, max_tokens: int) -> int:
    """How many tokens a draw may have."""
    if parent is None or total_tokens is None:
        return max_tokens
    left = total_tokens - parent.generated_tokens
    if left < 1:
        raise ValueError(f"candidate {parent.id} has {parent.generated_tokens} tokens already")
    return min(max_tokens, left)


def draw_seed(
    run_seed: int,
    problem_id: str,
    prompt: bytes,
    distribution: tuple[Any, ...],
    path: tuple[int, ...],
) -> int:
    """Seed of one draw, in [0, 2**63): a hash of all that identifies it (`prompt`: a digest).

    The strategy's name is not among it, so every strategy that asks for draw `i` of a prompt
    gets the same one (common random numbers), and draws 0..15 of N=64 are those of N=16.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(repr((run_seed, problem_id, distribution, path)).encode())
    digest.update(prompt)
    return int.from_bytes(digest.digest(), "big") >> 1
