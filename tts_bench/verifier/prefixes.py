"""What a model has computed, by prefix: a radix tree of token ids with tensors on its edges.

A search sends a text again with every step that it appends. Each distinct prefix is kept once,
whichever of its continuations asked for it, up to a number of tokens; beyond it the prefix that
was used longest ago goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

from tts_bench.cost.ledger import common_prefix

Tensors: TypeAlias = tuple[Tensor, ...]
"""What is kept of some tokens; each tensor has one entry for each of them in dimension -2."""


@dataclass(eq=False, slots=True)
class _Edge:
    ids: tuple[int, ...]
    tensors: Tensors
    parent: _Edge | None
    children: dict[int, _Edge] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class KeptPrefix:
    """The longest known prefix of a text: how long it is, and its tensors piece by piece."""

    length: int
    pieces: tuple[Tensors, ...]


class PrefixStore:
    """Keeps at most `capacity` tokens."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._root = _Edge((), (), None)
        # From the one used longest ago; a parent always stands after its children.
        self._edges: dict[int, _Edge] = {}
        self.tokens = 0

    def known(self, ids: tuple[int, ...]) -> int:
        """How many leading tokens are there; counts as no use."""
        return sum(length for _, length in self._walk(ids))

    def find(self, ids: tuple[int, ...]) -> KeptPrefix:
        """The longest known prefix; it counts as used."""
        path = self._walk(ids)
        for edge, _ in reversed(path):
            self._use(edge)
        pieces = tuple(
            edge.tensors if length == len(edge.ids) else _cut(edge.tensors, 0, length)
            for edge, length in path
        )
        return KeptPrefix(sum(length for _, length in path), pieces)

    def add(self, ids: tuple[int, ...], start: int, tensors: Tensors) -> None:
        """Keep the tensors of the tokens from `start` on.

        Nothing is kept where the tokens before `start` are no longer there.
        """
        path = self._walk(ids)
        known = sum(length for _, length in path)
        if known < start or known == len(ids) or len(ids) > self._capacity:
            return
        parent = self._root
        if path:
            parent, length = path[-1]
            if length < len(parent.ids):
                parent = self._split(parent, length)
        # A copy: what is handed over may be part of a larger tensor.
        kept = _cut(tensors, known - start, len(ids) - start)
        edge = _Edge(ids[known:], kept, parent)
        parent.children[ids[known]] = edge
        self.tokens += len(edge.ids)
        above: _Edge | None = edge
        while above is not None and above is not self._root:
            self._use(above)
            above = above.parent
        self._forget()

    def clear(self) -> None:
        """Forget everything."""
        self._root.children.clear()
        self._edges.clear()
        self.tokens = 0

    def _walk(self, ids: tuple[int, ...]) -> list[tuple[_Edge, int]]:
        """The edges of the longest known prefix, each with how many of its tokens are shared."""
        path, edge, at = [], self._root, 0
        while at < len(ids) and (edge := edge.children.get(ids[at], self._root)) is not self._root:
            shared = common_prefix(edge.ids, ids[at : at + len(edge.ids)])
            path.append((edge, shared))
            at += shared
            if shared < len(edge.ids):
                break
        return path

    def _split(self, edge: _Edge, at: int) -> _Edge:
        """Put an edge with the first `at` tokens above the rest of it."""
        upper = _Edge(edge.ids[:at], _cut(edge.tensors, 0, at), edge.parent)
        assert edge.parent is not None
        edge.parent.children[edge.ids[0]] = upper
        edge.tensors = _cut(edge.tensors, at, len(edge.ids))
        edge.ids, edge.parent = edge.ids[at:], upper
        upper.children[edge.ids[0]] = edge
        return upper

    def _use(self, edge: _Edge) -> None:
        self._edges.pop(id(edge), None)
        self._edges[id(edge)] = edge

    def _forget(self) -> None:
        while self.tokens > self._capacity:
            edge = self._edges.pop(next(iter(self._edges)))
            assert edge.parent is not None
            del edge.parent.children[edge.ids[0]]
            self.tokens -= len(edge.ids)


def _cut(tensors: Sequence[Tensor], start: int, end: int) -> Tensors:
    """Copies, so that no part keeps the whole in memory."""
    return tuple(tensor[..., start:end, :].clone() for tensor in tensors)
