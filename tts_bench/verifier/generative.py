"""A verifier that reasons in words before it decides: GenRM (2408.15240), ThinkPRM (2504.16828)."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.cost.ledger import Call
from tts_bench.engine.base import Completion, Engine, Request
from tts_bench.errors import ModelError, VerifierError
from tts_bench.steps import split_steps
from tts_bench.types import Candidate, NotNegative, Positive, Problem, Sampling, Score, Tries
from tts_bench.verifier.asking import ChatVerifier, charge, draw_seed, fill
from tts_bench.verifier.backend import probability
from tts_bench.verifier.base import Scoring, VerifierInfo

PROMPT = """Check a solution of a problem in mathematics.

Problem:
{problem}

Solution, cut into steps:
{steps}

Go through the steps in order. For each, say what it does and redo its calculation. Close every \
step with a line of its own, "Verdict: right" or "Verdict: wrong". Stop at the first wrong step."""
AGAIN = "\n\nI will check all of this once more, from the first step on.\n\n"
DECISION = "\n\nIs the solution correct? Answer:"


@dataclass(frozen=True, slots=True)
class Rationale:
    """One chain of thought: its probability of yes, its texts round by round, its cost."""

    yes: float
    rounds: tuple[str, ...]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class GenerativeVerifier(ChatVerifier):
    """Writes a rationale, then takes P(yes) / (P(yes) + P(no)) at the decision as the score.

    `n` rationales are drawn independently and their probabilities averaged; or one rationale
    is continued `rounds` - 1 times after the words `again`. `max_tokens` 0 decides without a
    rationale. Where `yes` and `no` are several tokens, the first one in which they differ
    decides; those before it are given.

    `score.steps` holds, for each step, the share of rationales that call it right, of those
    that give a verdict on every step; it is empty if no rationale does.

    An engine that takes messages and no tokens is asked for more rounds and for the decision in
    turns of their own, and the first letter of its answer decides.
    """

    engine_needs: ClassVar[Collection[str]] = ("chosen_logprobs",)

    prompt: str = PROMPT
    """May hold `{problem}`, `{solution}` (as it was written) and `{steps}` (numbered)."""
    temperature: NotNegative = 0.6
    n: Tries = 1
    """Rationales, side by side."""
    rounds: Tries = 1
    """Rationales, one after the other."""
    again: str = AGAIN
    """What makes the model check once more."""
    decision: str = DECISION
    """What follows the rationale; yes or no comes next."""
    yes: str = " Yes"
    no: str = " No"
    decision_temperature: Positive = 1.0
    """Divides the difference of the two log-probabilities."""
    delimiter: str = "\n\n"
    """What ends a step of a solution."""
    right: str = "Verdict: right"
    """How a rationale says that a step is right; upper and lower case are alike."""
    wrong: str = "Verdict: wrong"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n < 1 or self.rounds < 1 or self.max_tokens < 0:
            raise ValueError("n and rounds must be at least 1, and max_tokens 0 or more")
        if self.n > 1 and self.rounds > 1:
            raise ValueError("n and rounds exclude each other: set one of them to 1")
        if self.n > 1 and (not self.temperature or not self.max_tokens):
            raise ValueError("n above 1 needs a temperature and max_tokens above 0")
        if self.rounds > 1 and not self.max_tokens:
            raise ValueError("rounds above 1 need max_tokens above 0")
        if not self.decision_temperature > 0:
            raise ValueError(f"decision_temperature must be positive: {self.decision_temperature}")
        if not (self.delimiter and self.right and self.wrong) or self.right == self.wrong:
            raise ValueError("delimiter, right and wrong must not be empty, nor right as wrong")

    async def start(self, policy: Engine) -> VerifierInfo:
        """As `ChatVerifier`'s. Raises ModelError if no token tells `yes` from `no`."""
        info = await super().start(policy)
        _, *letters = self._decision()
        if self._by_turns:  # whether such an engine tells enough is known when it is asked
            trial = self.encode(f"1 + 1 = 2.{self.decision}")
            try:
                await self.write(Request(trial, Sampling(1, 0.0), 0, tuple(letters)))
            except VerifierError as error:
                raise ModelError(f"{type(self).__name__} cannot decide: {error}") from error
        return info

    async def score(self, problem: Problem, candidates: Sequence[Candidate]) -> list[Scoring]:
        """One scoring for each candidate; every first request goes out at once."""
        return await in_flight(self._score(problem, candidate) for candidate in candidates)

    async def _score(self, problem: Problem, candidate: Candidate) -> Scoring:
        steps = split_steps(candidate.text, self.delimiter)
        numbered = "\n\n".join(f"Step {i}: {step.strip()}" for i, step in enumerate(steps, 1))
        parts = {"problem": problem.text, "solution": candidate.text, "steps": numbered}
        text = fill(self.prompt, parts)
        if self._by_turns and not self.max_tokens:
            text += self.decision  # there is no turn of the model's to put it after
        ids = self.encode(text)
        chains = [self._think(problem, candidate, ids, index) for index in range(self.n)]
        rationales = await in_flight(chains)
        found = [self._verdicts(one.rounds, len(steps)) for one in rationales]
        return Scoring(
            Score(
                math.fsum(one.yes for one in rationales) / len(rationales),
                mean_by_step([verdicts for verdicts in found if verdicts]),
            ),
            tuple(call for one in rationales for call in one.calls),
        )

    async def _think(
        self, problem: Problem, candidate: Candidate, ids: tuple[int, ...], index: int
    ) -> Rationale:
        again = self._put(self.again) if self.rounds > 1 else ()
        opening, yes, no = self._decision()
        if self._by_turns and not self.max_tokens:
            opening = ()
        texts: list[str] = []
        calls: list[Call] = []
        known = 0
        for turn in range(self.rounds if self.max_tokens else 0):
            ids += again if turn else ()
            seed = draw_seed(self.seed, problem, candidate, index, turn)
            room = self.room(ids, len(opening) + 1)
            request = Request(ids, Sampling(room, self.temperature, self.top_p), seed)
            done = await self.write(request)
            calls.append(charge(request, done, known))
            texts.append(done.text)
            # The last token that was written has not been read by the model yet.
            known = len(ids) + len(done.token_ids) - 1
            ids += self._body(ids, done)
        request = Request(ids + opening, Sampling(1, 0.0), 0, (yes, no))
        done = await self.write(request)
        calls.append(charge(request, done, known))
        logits = tuple(value / self.decision_temperature for value in done.first_logprobs)
        return Rationale(probability(logits, right=0), tuple(texts), tuple(calls))

    @property
    def _by_turns(self) -> bool:
        """Whether the engine goes on by new messages only."""
        return "exact_tokens" in self.asked.lacks()

    def _put(self, text: str) -> tuple[int, ...]:
        """The ids of a text that is put after what the model wrote."""
        spelt = self.asked.tokenizer
        return spelt.encode_turn(text.strip(), {}) if self._by_turns else spelt.encode(text)

    def _decision(self) -> tuple[tuple[int, ...], int, int]:
        """What is put after the rationale, and the tokens that decide: (ids, yes, no)."""
        if self._by_turns:
            letters = [word.strip()[:1] for word in (self.yes, self.no)]
            if "" in letters or letters[0].casefold() == letters[1].casefold():
                raise ModelError(f"{self.yes!r} and {self.no!r} begin with the same letter")
            return self._put(self.decision), ord(letters[0]), ord(letters[1])
        yes = self.asked.tokenizer.encode(self.decision + self.yes)
        no = self.asked.tokenizer.encode(self.decision + self.no)
        pairs = zip(yes, no, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if at is None:
            raise ModelError(
                f"{self.yes!r} and {self.no!r} begin with the same tokens: choose other words"
            )
        return yes[:at], yes[at], no[at]

    def _body(self, prompt: tuple[int, ...], done: Completion) -> tuple[int, ...]:
        """The ids of what was written, without the token that ended the turn."""
        if done.finish_reason == "length":
            return done.token_ids
        left = self.asked.tokenizer.reopen(prompt, done.token_ids, (), True)
        return done.token_ids[: left.tokens]

    def _verdicts(self, rounds: Sequence[str], steps: int) -> tuple[float, ...]:
        """Of the last round that has a verdict on every step, else nothing."""
        found = (verdicts(text, self.right, self.wrong, steps) for text in reversed(rounds))
        return next((one for one in found if one), ())


def verdicts(text: str, right: str, wrong: str, steps: int) -> tuple[float, ...]:
    """1 for a step that is called right, 0 for one that is called wrong; () if one is missing.

    Verdicts count in the order in which they stand. What follows the first wrong step rests on
    it: it counts as wrong, and may go without a verdict.

    >>> verdicts("Fine. Right. Hm. WRONG.", "right", "wrong", 3)
    (1.0, 0.0, 0.0)
    """
    either = f"(?P<right>{re.escape(right)})|{re.escape(wrong)}"
    found = [match["right"] is not None for match in re.finditer(either, text, re.IGNORECASE)]
    if len(found) > steps or (len(found) < steps and (not found or found[-1])):
        return ()
    first = found.index(False) if False in found else steps
    return tuple(float(i < first) for i in range(steps))


def mean_by_step(rows: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Means of columns; () if there are no rows."""
    return tuple(math.fsum(column) / len(column) for column in zip(*rows, strict=True))
