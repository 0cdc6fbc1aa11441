"""A run as lm-evaluation-harness logs its samples: one JSON line for each problem of a cell."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.prompt import PLACEHOLDER
from tts_bench.report.points.scope import read_scope
from tts_bench.report.spool import Spool, spool_attempts
from tts_bench.store.files import new_folder, staged
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
    seen: dict[tuple[str, int], None] = {}
    with spool_attempts(
        run, read_scope(run), lambda one: seen.setdefault((one.cell, one.seed))
    ) as spool:
        if not seen:
            raise StoreError(f"{run.folder}: no attempts to export")
        folder = new_folder(folder or run.folder / FOLDER)
        # The harness' own names: what stands between the underscores is the task, then the time.
        started = manifest.started.rstrip("Z").replace(":", "-")
        written = []
        with RunTexts(run) as texts:
            for cell, seed in seen:
                task = re.sub(r"[^\w.=-]+", "-", f"{manifest.suite}-{cell}")
                if len(manifest.seeds) > 1:
                    task += f"-seed{seed}"
                path = folder / f"samples_{task}_{started}.jsonl"
                _write(path, _rows(texts, manifest, spool, cell, seed))
                written.append(path)
    return written


def _write(path: Path, rows: Iterator[Mapping[str, Any]]) -> None:
    with staged(path) as beside, beside.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{_dumped(row)}\n" for row in rows)


def _rows(
    texts: RunTexts, manifest: RunManifest, spool: Spool, cell: str, seed: int
) -> Iterator[dict[str, Any]]:
    [entry] = (row for row in manifest.cells if row.id == cell)
    for place, problem in enumerate(manifest.problems):
        attempt = spool.at(problem.id, cell, seed)
        if attempt is not None:
            told = [text or "" for text in texts.of(attempt)]
            yield _row(place, problem, manifest, entry, attempt, told)


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
