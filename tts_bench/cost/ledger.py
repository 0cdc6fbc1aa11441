"""What an attempt has spent, and what it may still spend.

Every model call is charged here by the session, three ways at once (see `types.Usage`):
logical, ideal and measured. Cached draws are charged in full: cost belongs to the method, not
to whoever happened to draw first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add

import numpy as np
from numpy.typing import NDArray

from tts_bench.cost.flops import ModelShape
from tts_bench.errors import BudgetExhausted, UsageError
from tts_bench.types import Usage

_FEW = 8
"""Fewer numbers numpy sums up from the first to the last, more of them in pairs."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one attempt may spend; None means without limit."""

    tokens: int | None = None
    """Completion tokens of the policy."""

    def __post_init__(self) -> None:
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"tokens must be at least 1, not {self.tokens}")


@dataclass(frozen=True, slots=True)
class Call:
    """One model call, as it is charged: the prompt's ids, what was cached, what was written."""

    prompt_ids: tuple[int, ...]
    completion_tokens: int | None
    """None if nobody counted the tokens of this call."""
    cached_prompt_tokens: int = 0
    logits: int | None = None
    """Positions whose vocabulary logits one forward pass computes, if nothing is written:
    0 for a reward head. None for a call that generates."""
    known_prompt_tokens: int = 0
    """Leading prompt tokens that the call before it has left in the cache: its prompt and what
    it wrote, where this one continues that one."""
    shared: bool = False
    """Whether the prompt alone decides what comes (one greedy step): whoever needs the same in
    an attempt reads what is known already, and the attempt pays once."""
    prompt_tokens: int | None = None
    """The prompt's tokens as an API counted them, where its ids are not the model's own. What is
    shared of it then counts in proportion to the ids. None: each id is a token."""


class PrefixIndex:
    """The token sequences that an attempt has computed, as a radix tree."""

    def __init__(self) -> None:
        self._children: dict[int, tuple[tuple[int, ...], PrefixIndex]] = {}

    def add(self, ids: tuple[int, ...]) -> int:
        """Insert a sequence; return how many of its leading tokens were there already."""
        node, known = self, 0
        while known < len(ids):
            edge = node._children.get(ids[known])
            if edge is None:
                node._children[ids[known]] = (ids[known:], PrefixIndex())
                break
            label, child = edge
            part = ids[known : known + len(label)]
            shared = len(label) if part == label else common_prefix(label, part)
            if shared < len(label):
                child = node._split(label, child, shared)
                known += shared
                if known < len(ids):
                    child._children[ids[known]] = (ids[known:], PrefixIndex())
                break
            node, known = child, known + shared
        return known

    def _split(self, label: tuple[int, ...], child: PrefixIndex, at: int) -> PrefixIndex:
        middle = PrefixIndex()
        middle._children[label[at]] = (label[at:], child)
        self._children[label[0]] = (label[:at], middle)
        return middle


def common_prefix(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the longest common prefix, by bisection over slices (which compare in C)."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class Meter:
    """Adds up the calls of one model within one attempt."""

    def __init__(self, shape: ModelShape | None, has_model: bool = True) -> None:
        self._shape = shape
        self._index = PrefixIndex()
        self._read: set[tuple[int, ...]] = set()
        self._added: tuple[int, ...] | None = None
        unknown = has_model and shape is None
        self.usage = Usage(
            flops_logical=None if unknown else 0.0, flops_ideal=None if unknown else 0.0
        )
        self.cached_tokens = 0
        self.measured_flops: float | None = None if unknown else 0.0

    def note_computed(self, ids: tuple[int, ...]) -> None:
        """Tell the ideal count that the keys and values of these tokens exist already."""
        self._index.add(ids)

    def charge(self, calls: Sequence[Call]) -> None:
        """Add calls, in the order in which they were asked for."""
        calls = [call for call in calls if not call.shared or self._is_new(call.prompt_ids)]
        if not calls:
            return
        if self._lost_count(calls):
            return
        shared = [self._share(call) for call in calls]
        prompt = sum(map(_prompt_tokens, calls))
        price = None if self._shape is None else _Operations(self._shape, calls)
        old = self.usage
        self.usage = Usage(
            requests=old.requests + len(calls),
            completion_tokens=(old.completion_tokens or 0)
            + sum(call.completion_tokens or 0 for call in calls),
            prompt_tokens_logical=(old.prompt_tokens_logical or 0) + prompt,
            prompt_tokens_ideal=(old.prompt_tokens_ideal or 0) + prompt - sum(shared),
            flops_logical=_plus(old.flops_logical, price, [0] * len(calls)),
            flops_ideal=_plus(old.flops_ideal, price, shared),
        )
        cached = [call.cached_prompt_tokens for call in calls]
        self.cached_tokens += sum(cached)
        self.measured_flops = _plus(self.measured_flops, price, cached)

    def _lost_count(self, calls: Sequence[Call]) -> bool:
        """Whether tokens of these calls or of earlier ones are unknown: then all sums are."""
        lost = self.usage.completion_tokens is None
        if not lost and all(call.completion_tokens is not None for call in calls):
            return False
        self.usage = Usage(self.usage.requests + len(calls), None, None, None, None, None)
        self.measured_flops = None
        return True

    def _is_new(self, prompt_ids: tuple[int, ...]) -> bool:
        known = len(self._read)
        self._read.add(prompt_ids)
        return len(self._read) > known

    def _share(self, call: Call) -> int:
        """How many leading prompt tokens the ideal count has paid already."""
        if call.known_prompt_tokens:
            self._index.add(call.prompt_ids[: call.known_prompt_tokens])
        if call.prompt_ids is self._added:  # draws side by side share one prompt
            shared = len(call.prompt_ids)
        else:
            shared = self._index.add(call.prompt_ids)
            self._added = call.prompt_ids
        if call.prompt_tokens is None:
            return shared
        return call.prompt_tokens * shared // max(1, len(call.prompt_ids))


def _prompt_tokens(call: Call) -> int:
    return len(call.prompt_ids) if call.prompt_tokens is None else call.prompt_tokens


class _Operations:
    """Operations of calls, by how many leading tokens of each are known already."""

    def __init__(self, shape: ModelShape, calls: Sequence[Call]) -> None:
        self._shape = shape
        self._logits = [call.logits for call in calls]
        self._prompt = [_prompt_tokens(call) for call in calls]
        self._written = [call.completion_tokens or 0 for call in calls]
        self._sums: dict[tuple[int, ...], float] = {}

    def of(self, known: Sequence[int]) -> float:
        """Of all calls together."""
        key = tuple(known)
        if key not in self._sums:
            if len(known) < _FEW:  # one after the other: `sum` would round otherwise
                self._sums[key] = reduce(add, self._each(known), 0.0)
            else:
                self._sums[key] = float(np.sum(self._array(known)))
        return self._sums[key]

    def _each(self, known: Sequence[int]) -> Iterator[float]:
        for prompt, logits, decoding, start in zip(
            self._prompt, self._logits, self._decoding, known, strict=True
        ):
            if logits is None:
                yield self._shape.prefill(prompt, start) + decoding
            else:
                yield self._shape.scoring(prompt, start, logits=logits)

    def _array(self, known: Sequence[int]) -> NDArray[np.float64]:
        prompt, start = np.array(self._prompt), np.array(known)
        generates = np.array([logits is None for logits in self._logits])
        # A call that generates needs the logits of its last position, unless all of it is known.
        given = np.array([logits or 0 for logits in self._logits])
        logits = np.where(generates, prompt > start, given)
        reading: NDArray[np.float64] = self._shape.scoring(prompt, start, logits=logits)
        operations: NDArray[np.float64] = reading + np.array(self._decoding)
        return operations

    @cached_property
    def _decoding(self) -> list[float]:
        """What each call takes to write; 0 for one that only reads."""
        if len(self._prompt) < _FEW:
            pairs = zip(self._prompt, self._written, self._logits, strict=True)
            return [0.0 if x is not None else self._shape.decode(p, w) for p, w, x in pairs]
        written = self._shape.decode(np.array(self._prompt), np.array(self._written))
        return [
            0.0 if x is not None else float(w) for w, x in zip(written, self._logits, strict=True)
        ]


def _plus(total: float | None, price: _Operations | None, known: Sequence[int]) -> float | None:
    return total if total is None or price is None else total + price.of(known)


class Ledger:
    """The account of one attempt: the policy's meter, the verifier's meter and the budget."""

    def __init__(self, policy: Meter, verifier: Meter, budget: Budget) -> None:
        self.policy = policy
        self.verifier = verifier
        self.budget = budget
        self._reserved = 0

    @property
    def left(self) -> int | None:
        """Completion tokens that the policy may still write; None without a limit."""
        if self.budget.tokens is None:
            return None
        if self.policy.usage.completion_tokens is None:
            raise UsageError(
                "budget.tokens cannot be held: the policy's endpoint does not say how many tokens"
                " it wrote (no `usage` in its answers)"
            )
        spent = self.policy.usage.completion_tokens + self._reserved
        return max(0, self.budget.tokens - spent)

    def grant(self, calls: int, max_tokens: int) -> tuple[int, int]:
        """How many of `calls` may be made, and with how many tokens each, within the budget.

        What is granted is reserved until `settle` is called with the same numbers. Where the
        budget does not cover all calls at full length, they share what is left equally; where
        less than a token is left for each, fewer calls are made. Raises BudgetExhausted if
        nothing is left.
        """
        left = self.left
        if left is not None and calls > 0:
            if left == 0:
                raise BudgetExhausted(f"the budget of {self.budget.tokens} tokens is spent")
            calls = min(calls, left)
            max_tokens = min(max_tokens, left // calls)
        self._reserved += calls * max_tokens
        return calls, max_tokens

    def settle(self, calls: int, max_tokens: int) -> None:
        """Give a grant back: its calls are charged by now, or have failed."""
        self._reserved -= calls * max_tokens
