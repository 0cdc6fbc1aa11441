"""The tree of a search: which nodes go on, and what is kept of it for reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tts_bench.types import CUT, Candidate, Node, SearchTree


def top(nodes: Sequence[Node], k: int) -> list[Node]:
    """The `k` nodes with the highest scores, best first; ties go to what was drawn first."""
    return sorted(nodes, key=lambda node: -node.score.value)[:k]


def distinct(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The first of each set of twins: candidates with equal tokens, drawn from one prompt."""
    found: dict[tuple[tuple[int, ...], ...], Candidate] = {}
    for candidate in candidates:
        found.setdefault((candidate.prompt_ids, candidate.token_ids), candidate)
    return list(found.values())


def columns(nodes: Sequence[Node]) -> SearchTree:
    """What is stored of a search.

    A character within which a step was cut off stands in the steps after it, which complete it
    or not. Raises ValueError if a node stands there twice, or before what it continues.
    """
    places: dict[int | None, int] = {}
    parents: list[int | None] = []
    texts: list[str] = []
    for place, node in enumerate(nodes):
        candidate = node.candidate
        parent = places.get(candidate.parent)
        above = "" if parent is None else nodes[parent].candidate.text.rstrip(CUT)
        lost = parent is None and candidate.parent is not None
        if candidate.id in places or lost or not candidate.text.startswith(above):
            raise ValueError(f"candidate {candidate.id} does not fit into the tree of the search")
        places[candidate.id] = place
        parents.append(parent)
        texts.append(candidate.text[len(above) :])
    goes_on = set(parents)
    return SearchTree(
        parent=tuple(parents),
        step=tuple(len(node.candidate.path) for node in nodes),
        text=tuple(
            text.rstrip(CUT) if place in goes_on else text for place, text in enumerate(texts)
        ),
        score=tuple(node.score.value for node in nodes),
    )


def whole_texts(tree: SearchTree) -> list[str]:
    """Text of the solution up to and with each step."""
    texts: list[str] = []
    for parent, text in zip(tree.parent, tree.text, strict=True):
        texts.append(text if parent is None else texts[parent] + text)
    return texts
