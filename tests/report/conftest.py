"""Builders of run folders: tiny ones to count by hand, and one as large as a real small run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tts_bench.cost.flops import ModelShape
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore
from tts_bench.strategy.select import SELECTORS
from tts_bench.types import Attempt, Measurement, Pool, Usage

SHAPE = ModelShape(
    layers=28,
    hidden=1536,
    heads=12,
    kv_heads=2,
    head_dim=128,
    intermediate=8960,
    vocab=151936,
)
_KEYS = count()
SAMPLING = {"max_tokens": 512, "temperature": 0.8, "top_p": 1.0, "top_k": 0, "stop": []}


@dataclass
class Builder:
    """What the tests make runs of."""

    folder: Path

    def cell(self, strategy: str, at: Sequence[int] = (), selector: str | None = None, **rest: Any):
        return cell(strategy, at, selector, **rest)

    def pool(self, answers: Sequence[str | None], right: str | None = "1", **columns: Any) -> Pool:
        return pool_of(answers, right, **columns)

    def usage(self, prompt: int, tokens: Sequence[int], known: bool = True) -> Usage:
        return usage_of(prompt, tokens, SHAPE if known else None)

    def attempt(self, cell_id: str, problem: str, pool: Pool | None = None, **rest: Any) -> Attempt:
        """An attempt that chose its first candidate, unless told otherwise."""
        pool = pool if pool is not None else Pool()
        first = pool.correct[0] is True if len(pool) else False
        found = {"seed": 0, "status": "ok", "correct": first, "pool": pool}
        if len(pool):
            found |= {"chosen": 0, "answer": pool.answer[0], "policy": usage_of(50, pool.tokens)}
        return Attempt(cell_id, problem, **{**found, **rest})

    def run(self, cells: Sequence[Any], attempts: Sequence[Attempt], **manifest: Any) -> RunStore:
        return write_run(self.folder / "run", cells, attempts, **manifest)

    def realistic(self, **options: Any) -> RunStore:
        return write_realistic(self.folder / "realistic", **options)


@pytest.fixture
def make(tmp_path: Path) -> Builder:
    """Builds cells, pools, attempts and whole run folders."""
    return Builder(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """A realistic run that tests of one module may read, but not change."""
    folder = tmp_path_factory.mktemp("shared") / "realistic"
    return write_realistic(folder, problems=20, sweep=(1, 4, 16))


def cell(strategy: str, at: Sequence[int] = (), selector: str | None = None, **params: Any) -> Any:
    """A cell as the manifest has it."""
    shown = {**params, **({"n": max(at)} if at else {})}
    name = "&".join(f"{key}={value}" for key, value in shown.items())
    return {
        "id": f"{strategy}?{name}" if name else strategy,
        "strategy": strategy,
        "params": shown,
        "sampling": dict(SAMPLING),
        "pooled": bool(at),
        "selector": selector,
        "at": list(at),
    }


def pool_of(answers: Sequence[str | None], right: str | None, **columns: Any) -> Pool:
    """A pool from its answers; `right` is the correct one."""
    numbers: dict[str, int] = {}
    size = len(answers)
    found = {
        "answer": tuple(answers),
        "answer_class": tuple(
            -1 if a is None else numbers.setdefault(a, len(numbers)) for a in answers
        ),
        "correct": tuple(a is not None and a == right for a in answers),
        "logprob": (-1.0,) * size,
        "tokens": (10,) * size,
        "finish_reason": ("stop",) * size,
        "parent": (None,) * size,
        "generation": tuple(f"key-{next(_KEYS)}" for _ in answers),
    }
    return Pool(**{**found, **columns})


def usage_of(prompt: int, tokens: Sequence[int], shape: ModelShape | None = SHAPE) -> Usage:
    """What the ledger charges for draws of these lengths from one prompt."""
    size = len(tokens)
    if not size:
        return Usage()
    lengths, first = np.array(tokens), np.arange(size) == 0
    prompts = np.full(size, prompt)
    logical = ideal = None
    if shape is not None:
        logical = float(np.sum(shape.completion(prompts, lengths, np.zeros(size, int))))
        ideal = float(np.sum(shape.completion(prompts, lengths, np.where(first, 0, prompt))))
    return Usage(size, int(lengths.sum()), prompt * size, prompt, logical, ideal)


def write_run(
    folder: Path,
    cells: Sequence[Any],
    attempts: Sequence[Attempt],
    problems: Sequence[Any] | None = None,
    seconds: float = 2.0,
    **manifest: Any,
) -> RunStore:
    run = RunStore(folder)
    run.open()
    for attempt in attempts:
        run.append(attempt, Measurement(seconds, 0, attempt.policy.flops_logical, 0, 0.0))
    run.close()
    if problems is None:
        names = dict.fromkeys(attempt.problem for attempt in attempts)
        problems = [{"id": name, "level": None, "subject": None} for name in names]
    whole = {
        "format_version": 1,
        "status": "complete",
        "partial": False,
        "suite": "tiny",
        "suite_hash": "0" * 64,
        "dataset": {"name": "toy", "source": "toy", "revision": "", "size": len(problems)},
        "problems": list(problems),
        "cells": list(cells),
        "seeds": [0],
        "engine": {"engine": "scripted", "model": "toy-1.5B", "shape": {}, "shape_note": ""},
        "verifier": {"name": "toy", "shape": None},
        "generations": "../generations.sqlite",
    }
    run.write_manifest(RunManifest.model_validate({**whole, **manifest}))
    return run


def write_realistic(
    folder: Path, problems: int = 40, sweep: Sequence[int] = (1, 4, 16, 64), **manifest: Any
) -> RunStore:
    cells = [
        cell("greedy"),
        cell("best_of_n", sweep, "best"),
        cell("self_consistency", sweep, "majority"),
        cell("weighted_vote", sweep, "weighted"),
        cell("logprob_ranking", sweep, "best", normalize="mean"),
        cell("logprob_ranking", sweep, "best", normalize="sum"),
    ]
    rng = random.Random(7)
    rows = [
        {
            "id": f"p{i}",
            "level": 1 + i % 5,
            "subject": rng.choice(["algebra", "geometry", "number theory"]),
        }
        for i in range(problems)
    ]
    attempts: list[Attempt] = []
    for row in rows:
        attempts += _attempts_at(row["id"], row["level"], cells, max(sweep), rng)
    return write_run(folder, cells, attempts, rows, suite="math-demo", **manifest)


def _attempts_at(
    problem: str, level: int, cells: Sequence[Any], draws: int, rng: random.Random
) -> list[Attempt]:
    """Draws that are right more often on easy levels, and a verifier that is right mostly."""
    skill = min(0.98, max(0.01, rng.betavariate(1.2, 1.2) * (1.5 - 0.25 * level)))
    wrong = [str(number) for number in range(2, 8)]
    answers: list[str | None] = []
    for _ in range(draws):
        answers.append("1" if rng.random() < skill else rng.choice([*wrong, "2", None]))
    tokens = tuple(max(20, int(rng.gauss(220 + 40 * level, 60))) for _ in answers)
    logprob = tuple(-0.35 * t * rng.uniform(0.7, 1.3) for t in tokens)
    scores = {
        "best_of_n": tuple(rng.gauss(1.2 if a == "1" else 0.0, 1.0) for a in answers),
        "sum": logprob,
        "mean": tuple(total / t for total, t in zip(logprob, tokens, strict=True)),
    }
    scores["weighted_vote"] = tuple(1 / (1 + np.exp(-s)) for s in scores["best_of_n"])
    keys = tuple(f"{problem}/{i}" for i in range(draws))
    found = []
    for row in cells:
        size = draws if row["pooled"] else 1
        score = scores.get(row["params"].get("normalize", row["strategy"]), ())
        pool = pool_of(
            answers[:size],
            "1",
            score=score[:size],
            tokens=tokens[:size],
            logprob=logprob[:size],
            finish_reason=tuple("length" if t > 480 else "stop" for t in tokens[:size]),
            generation=keys[:size],
        )
        chosen = 0
        if row["pooled"]:
            chosen = SELECTORS[row["selector"]].choose(pool.answer_class, pool.score)
        scored = row["strategy"] in ("best_of_n", "weighted_vote")
        found.append(
            Attempt(
                row["id"],
                problem,
                0,
                "ok" if chosen is not None else "no_answer",
                answer=None if chosen is None else pool.answer[chosen],
                correct=chosen is not None and pool.correct[chosen] is True,
                chosen=chosen,
                prompt_tokens=120,
                pool=pool,
                policy=usage_of(120, tokens[:size]),
                verifier=usage_of(120, tokens) if scored else Usage(),
            )
        )
    return found
