"""Which of several equal places a request goes to: where its beginning is cached, or the idlest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

BLOCK = 64
"""Token ids that are looked at together to find the place that has seen a prompt's beginning."""
REMEMBERED = 100_000
"""Beginnings of prompts whose place is remembered."""
SLACK = 8
"""Requests that a place may have more than the idlest one and still get what it has cached."""


class Place(Protocol):
    """A server, or a replica, and how much it has to do."""

    outstanding: int

    @property
    def name(self) -> str:
        """What tells it from the others."""
        ...


P = TypeVar("P", bound=Place)


@dataclass
class Affinity:
    """Remembers who has seen the beginnings of prompts."""

    _seen: OrderedDict[int, str] = field(default_factory=OrderedDict, repr=False)

    def nearest(self, prompt: Sequence[int], places: Sequence[P]) -> P:
        """The place that has seen the longest beginning of the prompt, or the idlest."""
        beginnings = _beginnings(prompt)
        by_name = {place.name: place for place in places}
        idlest = min(places, key=lambda place: place.outstanding)
        chosen = idlest
        for beginning in reversed(beginnings):
            known = by_name.get(self._seen.get(beginning, ""))
            if known and known.outstanding <= idlest.outstanding + SLACK:
                chosen = known
                break
        for beginning in beginnings:
            self._seen[beginning] = chosen.name
            self._seen.move_to_end(beginning)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return chosen


def _beginnings(prompt: Sequence[int]) -> list[int]:
    """A number for each beginning of the prompt that is a whole number of blocks long."""
    found, last = [], 0
    for end in range(BLOCK, len(prompt) + 1, BLOCK):
        last = hash((last, tuple(prompt[end - BLOCK : end])))
        found.append(last)
    return found or [hash(tuple(prompt))]
