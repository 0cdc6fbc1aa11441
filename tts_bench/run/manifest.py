"""The manifest of a run that begins, or goes on after an earlier session."""

from __future__ import annotations

import copy
import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tts_bench.engine.base import EngineInfo
from tts_bench.errors import StoreError
from tts_bench.run.plan import Plan, RunOptions
from tts_bench.run.rerun import differences
from tts_bench.store import environment
from tts_bench.store.manifest import (
    MODEL_KEYS,
    CellEntry,
    DatasetEntry,
    EngineEntry,
    ProblemEntry,
    RepeatsEntry,
    RunManifest,
    SessionEntry,
    VerifierEntry,
    now,
)
from tts_bench.store.runs import next_number
from tts_bench.suite.load import Suite
from tts_bench.suite.registry import own_strategies
from tts_bench.verifier.base import VerifierInfo


def begin(
    plan: Plan, options: RunOptions, info: EngineInfo, verifier_info: VerifierInfo
) -> RunManifest:
    """What is known of a session when its models have started.

    Raises StoreError if an earlier session of the run used another model: attempts of two
    models must not stand in one run.
    """
    suite, run = plan.suite, plan.run
    engine = EngineEntry.of(info)
    verifier = VerifierEntry.of(suite.verifier_name, verifier_info)
    sessions: tuple[SessionEntry, ...] = ()
    number = 0
    if run.manifest_path.exists():
        earlier = run.read_manifest()
        _check_same("", earlier.engine, engine)
        if earlier.verifier.model and verifier.model:
            _check_same("verifier ", earlier.verifier.model, verifier.model)
        number = earlier.number
        sessions = (*earlier.earlier_sessions, SessionEntry.of(earlier))
    record = RunManifest(
        status="running",
        suite=suite.name,
        suite_hash=plan.suite_hash,
        number=number or next_number(run, plan.suite_hash),
        suite_text=hashlib.sha256(suite.text.encode()).hexdigest(),
        resolved=dict(suite.resolved),
        cells=tuple(CellEntry.model_validate(cell.describe()) for cell in suite.cells),
        seeds=suite.seeds,
        partial=len(plan.items) < len(plan.dataset),
        dataset=DatasetEntry.of(suite.dataset_name, plan.dataset),
        problems=tuple(map(ProblemEntry.of, plan.items)),
        generations=os.path.relpath(options.generations, run.folder),
        include_path=tuple(map(str, (*options.include_path, *_own_folders(suite)))),
        verifier=verifier,
        engine=engine,
        salt=plan.salt,
        shard=options.shard,
        argv=tuple(options.argv),
        started=now(),
        ended=None,
        throughput=None,
        environment=environment.describe(),
        earlier_sessions=sessions,
    )
    if options.again is None:
        return record
    differs = tuple(differences(options.again.manifest, record))
    return record.changed(repeats=RepeatsEntry(run=options.again.run, differs=differs))


def with_prices(record: RunManifest, suite: Suite) -> RunManifest:
    """The manifest of an earlier session, with the prices that the suite states now."""
    resolved = copy.deepcopy(record.resolved)
    for path in (("engine",), ("verifier",), ("verifier", "engine")):
        then, now = _block(resolved, path), _block(suite.resolved, path)
        then.pop("price", None)
        then.update({"price": now["price"]} if "price" in now else {})
    return record if resolved == record.resolved else record.changed(resolved=resolved)


def _block(resolved: Mapping[str, Any], path: Sequence[str]) -> dict[str, Any]:
    """A block of a suite; an empty one that is no part of it where there is none."""
    found: Any = resolved
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, dict) else {}


def _own_folders(suite: Suite) -> list[Path]:
    """The working folder's strategies, if any of them is run: a repetition may be elsewhere."""
    homes = {sys.modules[type(cell.strategy).__module__].__file__ for cell in suite.cells}
    used = {Path(home).resolve().parent for home in homes if home}
    return [own.resolve() for own in own_strategies() if own.resolve() in used]


def _check_same(whose: str, old: EngineEntry, new: EngineEntry) -> None:
    for key in MODEL_KEYS:
        before, today = getattr(old, key), getattr(new, key)
        if before != today:
            raise StoreError(
                f"this run was begun with {whose}{key} {before}, which is now {today}: "
                "begin a new one with --fresh"
            )
