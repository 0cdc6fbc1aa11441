"""The nouns that every layer shares: plain, frozen values without behaviour.

A *problem* is an item of a data set, a *candidate* one sampled solution, an *attempt* one run
of a strategy on one problem. The word "sample" is never used as a noun alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen

Count = Annotated[int, Ge(1), Le(10**9)]
"""A setting that counts: tokens, requests, GPUs."""
Tries = Annotated[int, Ge(1), Le(10_000)]
"""Model calls for one thing."""
NoneOrMore = Annotated[int, Ge(0), Le(10**9)]
Word = Annotated[str, MinLen(1)]
Threads = Annotated[int, Ge(1), Le(4096)]
Seed = Annotated[int, Ge(0), Le(2**63 - 1)]
"""As engines and stores hold it: a signed integer of 64 bits."""
Share = Annotated[float, Gt(0), Le(1)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

FinishReason = Literal["stop", "length"]
"""`stop`: the model ended its turn or wrote a stop string; `length`: it was cut off."""

Status = Literal["ok", "no_answer", "budget", "error"]
"""How an attempt ended; only `ok` has an answer, and anything else counts as wrong."""

Need = Literal["exact_tokens", "logprobs", "chosen_logprobs", "scores"]
"""What some strategies and verifiers cannot do without, and some engines cannot give.

Going on from the exact tokens of a text (or finding stop strings in it), log-probabilities of what
was drawn, those of chosen tokens; and the verifier's opinion, which may need something itself.
"""
CUT = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for a character of which not all bytes are there."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One item of a data set, as a strategy sees it: without its reference answer."""

    id: str
    text: str
    level: int | None = None
    """Difficulty as the data set states it, 1 = easiest; None if it states none."""
    subject: str | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Names and meanings are those of vLLM's SamplingParams.

    `max_tokens` has no default on purpose: a silent one truncates answers unseen.
    `temperature` 0 is greedy; `top_k` 0 means no limit. Generation ends at a `stop` string,
    which stays in the text, and at a token of `stop_token_ids`. Repetition is punished in prompt
    and output, presence and frequency in the output alone; a continuation is an output of its own.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    stop: tuple[str, ...] = ()
    min_p: float = 0.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    stop_token_ids: tuple[int, ...] = ()
    bad_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Equal settings must be equal to the letter: they are hashed into seeds and keys.
        for name in ("temperature", "top_p", *_FURTHER_NUMBERS):
            object.__setattr__(self, name, float(getattr(self, name)))
        words = (self.bad_words,) if isinstance(self.bad_words, str) else self.bad_words
        object.__setattr__(self, "bad_words", tuple(sorted(set(words))))
        object.__setattr__(self, "stop_token_ids", tuple(sorted(set(self.stop_token_ids))))
        stop = (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)
        object.__setattr__(self, "stop", stop)
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, not {self.max_tokens}")
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or more, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 (no limit) or more, not {self.top_k}")
        if "" in self.stop:
            raise ValueError("a stop string must not be empty")
        for name, (least, most) in _FURTHER_NUMBERS.items():
            if not least <= getattr(self, name) <= most:
                value = getattr(self, name)
                raise ValueError(f"{name} must be from {least:g} to {most:g}, not {value}")
        if any(not word.strip() for word in self.bad_words):
            raise ValueError("a bad word must not be empty")
        if any(token < 0 for token in self.stop_token_ids):
            raise ValueError(f"stop_token_ids must be 0 or more, not {self.stop_token_ids[0]}")

    @property
    def further(self) -> dict[str, Any]:
        """The fields after `stop` that change something, and they alone.

        They count in seeds and keys only then: what was drawn without them stays what it is.
        """
        found = {name: getattr(self, name) for name in NEUTRAL}
        return {name: value for name, value in found.items() if value != NEUTRAL[name]}

    @property
    def settings(self) -> dict[str, Any]:
        """The fields as a manifest records them."""
        first = ("max_tokens", "temperature", "top_p", "top_k", "stop")
        return {name: getattr(self, name) for name in first} | self.further

    @property
    def distribution(self) -> tuple[Any, ...]:
        """What decides how the next token is drawn: no length, and nothing at which a text ends."""
        ends = ("stop_token_ids",)
        further = ((name, value) for name, value in self.further.items() if name not in ends)
        return (self.temperature, self.top_p, self.top_k, *further)


_FURTHER_NUMBERS: Mapping[str, tuple[float, float]] = {
    "min_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (0.01, 100.0),
}
"""Further numbers of a `Sampling`, and their least and greatest values."""
NEUTRAL: Mapping[str, Any] = {
    "min_p": 0.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "repetition_penalty": 1.0,
    "stop_token_ids": (),
    "bad_words": (),
}
"""The fields after `stop`, as they change nothing."""


@dataclass(frozen=True, slots=True)
class Score:
    """A verifier's opinion of a candidate: the higher, the better.

    `value` is the number that selects; `steps` holds one score for each reasoning step, where
    the verifier gives them.
    """

    value: float
    steps: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # What numpy's and torch's numbers would be when they are written is not left to chance.
        object.__setattr__(self, "value", _number(self.value))
        object.__setattr__(self, "steps", tuple(map(_number, self.steps)))


def _number(value: Any) -> float:
    """A score as a plain float. Raises ValueError unless it is a finite number."""
    is_number = isinstance(value, Real) or hasattr(value, "__float__")
    if not is_number or not math.isfinite(value):
        raise ValueError(f"a score must be a finite number, not {ascii(value)[:200]}")
    return float(value)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One solution, whole or partial: the problem's prompt and the tokens that follow it."""

    id: int
    """Running number within the attempt, in the order in which candidates were asked for."""
    prompt_ids: tuple[int, ...] = field(repr=False)
    token_ids: tuple[int, ...] = field(repr=False)
    """Every token after the prompt, generated or injected; what `extend` continues from."""
    text: str
    """The text of `token_ids`, stop strings included."""
    answer: str | None
    """The answer as written in the text, or None if none is found."""
    answer_class: str | None
    """Canonical form of the answer: equal answers have equal forms. None never votes."""
    logprob: float
    """Sum of the log-probabilities (nats) of all `generated_tokens` under the policy; NaN where the
    engine gives none."""
    generated_tokens: int
    """How many tokens the policy generated on the way here: not those that were injected, but
    also those that were taken back (`Session.extend(drop_stop=True)`)."""
    finish_reason: FinishReason
    stop: str | None = None
    """The stop string that ended it; None if the model ended its turn or was cut off."""
    parent: int | None = None
    path: tuple[int, ...] = ()
    """Draw indices from the root: the candidate's place in the tree of all possible draws."""
    generation: str = field(default="", repr=False)
    """Key of the completion (of its last part) in the generation store."""
    counted: bool = True
    """Whether `generated_tokens` is known; it is 0 if an API did not count them."""

    @property
    def mean_logprob(self) -> float:
        """Log-probability per generated token (nats); 0 if nothing was generated."""
        return self.logprob / self.generated_tokens if self.generated_tokens else 0.0

    @property
    def finished(self) -> bool:
        """Whether the model ended its turn: neither cut off nor paused at a stop string."""
        return self.finish_reason == "stop" and self.stop is None


@dataclass(frozen=True, slots=True)
class Node:
    """One step of a search: the candidate that it led to, and what that was thought worth."""

    candidate: Candidate
    score: Score
    open: bool
    """Whether the search may go on from here; not if the solution has ended or was cut off."""


@dataclass(frozen=True, slots=True)
class Solution:
    """What a strategy returns: its candidates and which of them it chose.

    `chosen` is an index into `candidates`, or None if the strategy has no answer to give.
    `scores` holds the score that the selection used for each candidate, or nothing if
    candidates were not scored. `tree` holds every step that a search took, parents before
    children; it is for reports, and empty if there was no search.
    """

    candidates: tuple[Candidate, ...]
    chosen: int | None
    scores: tuple[Score, ...] = ()
    tree: tuple[Node, ...] = field(default=(), repr=False)
    facts: Mapping[str, float] = field(default_factory=dict)
    """Numbers about this attempt that reports may show, under names of the strategy's own."""

    def __post_init__(self) -> None:
        if self.chosen is not None and not 0 <= self.chosen < len(self.candidates):
            raise ValueError(
                f"chosen={self.chosen} is no index of {len(self.candidates)} candidates"
            )
        if self.scores and len(self.scores) != len(self.candidates):
            raise ValueError(f"{len(self.scores)} scores for {len(self.candidates)} candidates")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one model (policy or verifier) was asked to do in one attempt.

    Three ways to count prompt tokens, and so FLOPs, stand beside each other: *logical* pays
    every request's whole prompt; *ideal* pays each distinct prefix token once; *measured*
    (in `Measurement`) pays what the engine did not report as cached. Completion tokens are the
    same in all three. FLOPs are None if the model's shape is unknown, tokens if a recording does
    not tell them.
    """

    requests: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_logical: int | None = 0
    prompt_tokens_ideal: int | None = 0
    flops_logical: float | None = 0.0
    flops_ideal: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What this machine did for one attempt; unlike everything else, it varies between runs.

    Token counts and FLOPs are the *measured* column of policy and verifier; `seconds` is the
    wall time from the attempt's start to its end, waiting for others in the batch included.
    """

    seconds: float | None = 0.0
    policy_cached_tokens: int = 0
    policy_flops: float | None = 0.0
    verifier_cached_tokens: int = 0
    verifier_flops: float | None = 0.0


@dataclass(frozen=True, slots=True)
class Pool:
    """The graded candidates of an attempt, column by column; all columns have one length.

    `answer_class` numbers the equivalence classes of answers in order of first appearance; -1
    marks a candidate without an answer; a recording that has verdicts alone has None for every
    answer, and a class for each. `correct` is None if grading timed out (or no verdict was
    recorded), which counts as wrong. `score` and `steps` are empty if candidates were not scored.
    """

    answer: tuple[str | None, ...] = ()
    answer_class: tuple[int, ...] = ()
    correct: tuple[bool | None, ...] = ()
    score: tuple[float, ...] = ()
    steps: tuple[tuple[float, ...], ...] = ()
    logprob: tuple[float, ...] = ()
    """Summed log-probability (nats) of each candidate's generated tokens."""
    tokens: tuple[int | None, ...] = ()
    """Generated tokens of each candidate, None where a recording does not tell."""
    finish_reason: tuple[FinishReason | None, ...] = ()
    """None where a recording does not tell."""
    parent: tuple[int | None, ...] = ()
    generation: tuple[str, ...] = ()
    """Keys into the generation store, where the texts are."""
    text: tuple[str | None, ...] = ()
    """Whole texts of the candidates that continue others, which the generation store has in
    parts only; None for all others, and for those of a search, whose tree has them."""
    node: tuple[int | None, ...] = ()
    """Index of the step of the attempt's tree with which each candidate ends."""

    def __len__(self) -> int:
        return len(self.answer)


@dataclass(frozen=True, slots=True)
class SearchTree:
    """Every step that a search took, column by column, parents before children."""

    parent: tuple[int | None, ...] = ()
    """Index of the step that each one continues; None if it is a first step."""
    step: tuple[int, ...] = ()
    """Number of the step within its solution, from 1."""
    text: tuple[str, ...] = ()
    """What each step adds to the text of its parent."""
    score: tuple[float, ...] = ()
    """What the search thought of the solution up to and with this step."""

    def __len__(self) -> int:
        return len(self.parent)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One strategy's graded attempt at one problem: a row of `attempts.jsonl`.

    A function of suite, model and seeds alone, as far as the engine repeats its bits: it holds
    nothing that varies from run to run.
    """

    cell: str
    problem: str
    seed: int
    status: Status
    answer: str | None = None
    correct: bool = False
    chosen: int | None = None
    prompt_tokens: int | None = 0
    """Length of the problem's prompt; None if a recording does not tell."""
    pool: Pool = field(default_factory=Pool)
    policy: Usage = field(default_factory=Usage)
    verifier: Usage = field(default_factory=Usage)
    error: str | None = None
    tree: SearchTree | None = None
    """The search that led to the pool, where there was one."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """What the strategy noted of it (see `Solution.facts`)."""
    expected: tuple[tuple[int, float, float], ...] = ()
    """For a rule of the strategy's own, at each n of its sweep: n, the probability that the choice
    among n of the candidates is right, and its Monte Carlo error. Other rules need no such note."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes an attempt unique within a run."""
        return self.cell, self.problem, self.seed
