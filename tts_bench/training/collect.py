"""Solutions of a finished run, as data for an outcome reward model."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_bench.dataset.base import Dataset
from tts_bench.errors import StoreError
from tts_bench.store.files import write_atomically
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import RunTexts
from tts_bench.suite.fields import build
from tts_bench.suite.registry import DATASETS, Registry
from tts_bench.suite.yaml_document import YamlDocument
from tts_bench.types import Attempt


@dataclass(frozen=True)
class Collected:
    """What was written."""

    rows: int
    right: int
    problems: int
    mixed: int
    """Problems with solutions of both kinds: only these teach what tells them apart."""
    copies: int
    ungraded: int
    """Solutions whose grading had timed out; they are left out."""


def collect(
    run: RunStore, output: Path, per_problem: int | None = None, seed: int = 0
) -> Collected:
    """Write `prompt`, `completion`, `label` of a run's solutions to a JSONL file.

    Labels are the grader's verdicts. Every text counts once for each problem, though several
    strategies may have used it; `per_problem` of them are drawn at random. Raises StoreError
    where the run's texts or problems are no longer there.
    """
    problems = _problem_texts(run)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    copies = ungraded = 0
    with RunTexts(run) as texts:
        for attempt in run.attempts():
            own = found.setdefault(attempt.problem, {})
            for text, correct, finish_reason in _solutions(attempt, texts, run):
                if correct is None:
                    ungraded += 1
                elif text in own:
                    copies += 1
                else:
                    own[text] = {
                        "problem_id": attempt.problem,
                        "prompt": problems[attempt.problem],
                        "completion": text,
                        "label": correct,
                        "finish_reason": finish_reason,
                    }
    chosen = [
        _draw(list(own.values()), per_problem, f"{seed}/{name}") for name, own in found.items()
    ]
    rows = [row for group in chosen for row in group]
    if not rows:
        raise StoreError(f"{run.folder}: holds no graded solutions")
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(output, "".join(lines))
    return Collected(
        rows=len(rows),
        right=sum(row["label"] for row in rows),
        problems=sum(bool(group) for group in chosen),
        mixed=sum(len({row["label"] for row in group}) == 2 for group in chosen),
        copies=copies,
        ungraded=ungraded,
    )


def _draw(rows: list[dict[str, Any]], count: int | None, seed: str) -> list[dict[str, Any]]:
    if count is None or len(rows) <= count:
        return rows
    return random.Random(seed).sample(rows, count)


def _solutions(
    attempt: Attempt, texts: RunTexts, run: RunStore
) -> Iterator[tuple[str, bool | None, str]]:
    pool = attempt.pool
    for i, text in enumerate(texts.of(attempt)):
        if text is None:
            raise StoreError(
                f"{run.folder}: the text of {attempt.cell} on {attempt.problem} is not in the "
                "generation store"
            )
        yield text, pool.correct[i], pool.finish_reason[i] or "stop"


def _problem_texts(run: RunStore) -> dict[str, str]:
    """The run's problems by id, read again from its data set."""
    manifest = run.read_manifest()
    block = manifest.resolved["dataset"]
    document = YamlDocument(str(run.manifest_path), block)
    cls = Registry().load(DATASETS, block["name"])
    dataset: Dataset | None = build(cls, block, (), document, skip=("name",))
    if dataset is None:
        raise StoreError("\n".join(document.report()))
    loaded = dataset.load()
    if loaded.content_hash != manifest.dataset.content_hash:
        raise StoreError(f"{run.folder}: the data set {loaded.source} has changed since the run")
    return {item.problem.id: item.problem.text for item in loaded}
