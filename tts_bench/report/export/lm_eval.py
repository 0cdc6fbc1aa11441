"""A run as lm-evaluation-harness logs its samples: one JSON line for each problem of a cell."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.prompt import PLACEHOLDER
from tts_bench.store.files import new_folder, write_atomically
from tts_bench.store.manifest import CellEntry, ProblemEntry, RunManifest
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import RunTexts
from tts_bench.types import Attempt

FOLDER = "lm-eval"


def write_samples(run: RunStore, folder: Path | None = None) -> list[Path]:
    """Write `samples_<cell>_<start>.jsonl` for every cell; returns the paths.

    A run of several seeds gives a file for each of them, since readers take `doc_id` for unique
    within a file. Raises StoreError if the run has no attempts, or the generation store that
    has its texts is gone.
    """
    manifest = run.read_manifest()
    groups: dict[tuple[str, int], list[Attempt]] = defaultdict(list)
    for attempt in run.attempts():
        groups[attempt.cell, attempt.seed].append(attempt)
    if not groups:
        raise StoreError(f"{run.folder}: no attempts to export")
    folder = new_folder(folder or run.folder / FOLDER)
    # The harness' own names: what stands between the underscores is the task, then the time.
    started = manifest.started.rstrip("Z").replace(":", "-")
    places = {row.id: place for place, row in enumerate(manifest.problems)}
    written = []
    with RunTexts(run) as texts:
        for (cell, seed), attempts in groups.items():
            task = re.sub(r"[^\w.=-]+", "-", f"{manifest.suite}-{cell}")
            if len(manifest.seeds) > 1:
                task += f"-seed{seed}"
            path = folder / f"samples_{task}_{started}.jsonl"
            known = sorted((one for one in attempts if one.problem in places), key=_place(places))
            rows = _rows(texts, manifest, known, places)
            write_atomically(path, "".join(f"{_dumped(row)}\n" for row in rows))
            written.append(path)
    return written


def _place(places: Mapping[str, int]) -> Any:
    return lambda attempt: places[attempt.problem]


def _rows(
    texts: RunTexts,
    manifest: RunManifest,
    attempts: list[Attempt],
    places: Mapping[str, int],
) -> Iterator[dict[str, Any]]:
    cells = {row.id: row for row in manifest.cells}
    for attempt in attempts:
        place = places[attempt.problem]
        problem = manifest.problems[place]
        told = [text or "" for text in texts.of(attempt)]
        yield _row(place, problem, manifest, cells[attempt.cell], attempt, told)


def _row(
    place: int,
    problem: ProblemEntry,
    manifest: RunManifest,
    cell: CellEntry,
    attempt: Attempt,
    texts: list[str],
) -> dict[str, Any]:
    doc = {
        "id": problem.id,
        "problem": problem.text,
        "answer": problem.reference,
        "level": problem.level,
        "subject": problem.subject,
    }
    prompt, target = _user_turn(manifest, problem), str(problem.reference)
    settings = {**cell.sampling, "until": list(cell.sampling.get("stop", ()))}
    settings |= {"do_sample": settings.get("temperature", 0) > 0, "repeats": len(texts)}
    correct = attempt.pool.correct
    metrics = {"exact_match": float(attempt.correct), "pass@n": float(True in correct)}
    return {
        "doc_id": place,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": settings}},
        # One request, answered as often as the strategy has candidates.
        "resps": [texts],
        "filtered_resps": [attempt.answer or ""],
        "filter": cell.strategy,
        "metrics": list(metrics),
        "doc_hash": _hash(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(prompt),
        "target_hash": _hash(target),
        **metrics,
        "status": attempt.status,
        "seed": attempt.seed,
        "completion_tokens": attempt.policy.completion_tokens,
    }


def _user_turn(manifest: RunManifest, problem: ProblemEntry) -> str:
    """What the user says to the model, before any chat template."""
    prompt = manifest.resolved.get("prompt") or {}
    template: str = prompt.get("template", PLACEHOLDER)
    return template.replace(PLACEHOLDER, problem.text or "")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _dumped(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False)
