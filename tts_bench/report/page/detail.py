"""Everything about one problem: its attempts with their candidates, texts and trees."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from tts_bench.report.page.tally import FAILED
from tts_bench.steps import NO_ERROR, find_error_step, split_steps
from tts_bench.store.texts import texts_of
from tts_bench.types import Attempt, Pool, SearchTree

_DIGITS = 6
"""Significant digits of scores and log-probabilities, which are shown with fewer."""


def pack(value: Any) -> str:
    """JSON, deflated (zlib format) and in base64: nothing that a parser of HTML could read."""
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(data.encode("utf-8", "replace"))).decode("ascii")


def describe_problem(
    attempts: Sequence[Attempt],
    cells: Mapping[str, int],
    stored: Mapping[str, str],
    delimiter: str,
    texts_too: bool = True,
) -> dict[str, Any]:
    """The attempts at one problem as JSON-ready values, each distinct text once.

    `cells` numbers the cells, `stored` has the texts of the generation store by key, and
    `delimiter` ends a step of a text. Without `texts_too` no text is there.
    """
    texts = _Texts(delimiter, texts_too)
    rows = [_attempt(attempt, cells[attempt.cell], stored, texts) for attempt in attempts]
    return {"attempts": rows, "texts": texts.steps}


class _Texts:
    """Distinct texts, each as its steps: strategies that share a pool share its texts."""

    def __init__(self, delimiter: str, kept: bool) -> None:
        self.steps: list[list[str]] = []
        self._delimiter = delimiter
        self._kept = kept
        self._places: dict[str, int] = {}

    def place(self, text: str | None) -> int | None:
        if text is None or not self._kept:
            return None
        if text not in self._places:
            self._places[text] = len(self.steps)
            self.steps.append(split_steps(text, self._delimiter) or [text])
        return self._places[text]

    def tree(self, tree: SearchTree) -> list[str]:
        return list(tree.text) if self._kept else []


def _attempt(
    attempt: Attempt, cell: int, stored: Mapping[str, str], texts: _Texts
) -> dict[str, Any]:
    tree = attempt.tree
    return {
        "cell": cell,
        "seed": attempt.seed,
        "status": attempt.status,
        "answer": attempt.answer,
        "correct": attempt.correct and attempt.status not in FAILED,
        "chosen": attempt.chosen,
        "error": attempt.error,
        "facts": dict(attempt.facts),
        "tokens": attempt.policy.completion_tokens,
        "pool": _pool(attempt, stored, texts),
        "tree": None
        if tree is None
        else {
            "parent": tree.parent,
            "step": tree.step,
            "score": _rounded(tree.score),
            "text": texts.tree(tree),
        },
    }


def _pool(attempt: Attempt, stored: Mapping[str, str], texts: _Texts) -> dict[str, Any]:
    pool = attempt.pool
    nodes = list(pool.node) or [None] * len(pool)
    whole = texts_of(attempt)
    return {
        "answer": pool.answer,
        "correct": pool.correct,
        "score": _rounded(pool.score),
        "steps": [_rounded(scores) for scores in pool.steps],
        "first_error": [_first_error(scores) for scores in pool.steps],
        "tokens": pool.tokens,
        "logprob": _rounded(pool.logprob),
        "truncated": [reason == "length" for reason in pool.finish_reason],
        "parent": pool.parent,
        "node": nodes,
        # What ends with a step of the tree is put together from the tree.
        "text": [
            None
            if node is not None
            else texts.place(text if text is not None else _stored(pool, i, stored))
            for i, (node, text) in enumerate(zip(nodes, whole, strict=True))
        ],
    }


def _stored(pool: Pool, i: int, stored: Mapping[str, str]) -> str | None:
    return stored.get(pool.generation[i]) if pool.generation else None


def _first_error(scores: Sequence[float]) -> int:
    """Index of the step at which a solution seems to go wrong; only shares of 1 can tell."""
    if not all(0 <= score <= 1 for score in scores):
        return NO_ERROR
    return find_error_step(scores)


def _rounded(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.{_DIGITS}g}") for value in values]
