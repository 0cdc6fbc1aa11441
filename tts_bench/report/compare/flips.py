"""The problems that two runs differ on, with what each of them answered: for reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tts_bench.report.compare.paired import Compared, Comparison
from tts_bench.report.points.point import Point, RunPoints
from tts_bench.store.files import write_atomically
from tts_bench.store.texts import RunTexts, texts_of
from tts_bench.types import Attempt

_NO_TEXT = "(no text: the generation store is not there)"


def write_flips(path: Path, a: RunPoints, b: RunPoints, comparison: Comparison) -> None:
    """Write, as Markdown, the chosen solutions of both runs to every problem they differ on.

    Of a strategy that draws one pool for a whole sweep this is what it chose from the largest,
    with the first seed. Raises StoreError if a file cannot be read or written.
    """
    ours = _Chosen(a, [pair.a for pair in comparison.pairs])
    theirs = _Chosen(b, [pair.b for pair in comparison.pairs])
    parts = [part for pair in comparison.pairs for part in _pair(pair, ours, theirs)]
    write_atomically(path, "\n".join(parts) + "\n")


class _Chosen:
    """Choices of a run, cell by cell and problem by problem, with their texts."""

    def __init__(self, run: RunPoints, points: list[Point]) -> None:
        cells, seed = {one.cell.id for one in points}, run.scope.seeds[0]
        self._attempts = {
            (attempt.cell, attempt.problem): attempt
            for attempt in run.run.attempts()
            if attempt.cell in cells and attempt.seed == seed
        }
        keys = {key for one in self._attempts.values() if (key := _generation(one))}
        with RunTexts(run.run) as texts:
            self._texts = texts.stored(keys) if texts.is_stored else {}

    def show(self, cell: str, problem: str) -> str:
        attempt = self._attempts.get((cell, problem))
        if attempt is None:
            return "no attempt"
        if attempt.chosen is None:
            return f"no answer ({attempt.status})"
        verdict = "correct" if attempt.correct else "wrong"
        text = texts_of(attempt)[attempt.chosen] or self._texts.get(_generation(attempt), _NO_TEXT)
        return f"answer `{attempt.answer}` ({verdict})\n\n{_fenced(text)}"


def _generation(attempt: Attempt) -> str:
    """Key of the text of the chosen candidate; empty if there is none in the store."""
    if attempt.chosen is None or not attempt.pool.generation:
        return ""
    return attempt.pool.generation[attempt.chosen]


def _pair(pair: Compared, ours: _Chosen, theirs: _Chosen) -> Iterator[str]:
    yield f"# {pair.a.full_name} (A) and {pair.b.full_name} (B)\n"
    for better, problems in (("A", pair.only_a), ("B", pair.only_b)):
        for problem in problems:
            yield f"## {problem}: {better} is better\n"
            yield f"**A**: {ours.show(pair.a.cell.id, problem)}\n"
            yield f"**B**: {theirs.show(pair.b.cell.id, problem)}\n"


def _fenced(text: str) -> str:
    """The text in a fence that is longer than any within it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text}\n{fence}"
