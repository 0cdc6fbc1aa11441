"""What a run has to do: its problems, its folder, and the attempts that are still missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tts_bench.dataset.base import Item, LoadedDataset
from tts_bench.errors import UsageError
from tts_bench.run.phases import check_phases
from tts_bench.run.rerun import Recorded
from tts_bench.run.shards import Shard
from tts_bench.store.folders import held, new_run, refuse_twin
from tts_bench.store.generations import GENERATIONS
from tts_bench.store.runs import RunStore, find_run
from tts_bench.strategy.base import AllocatingStrategy
from tts_bench.suite.cells import Cell
from tts_bench.suite.load import Suite

_NEW = "new"
"""Stands for the folder of a run that nobody has begun."""

AttemptKey = tuple[str, str, int]


@dataclass(frozen=True)
class RunOptions:
    """What the command line decides about a run, beside the suite."""

    output_path: Path = Path("results")
    limit: str | None = None
    """`N` (the first N problems) or `A-B` (problems A to B, counted from 1)."""
    shard: str | None = None
    """`K/N`: only the K-th of N parts of the problems, chosen by a hash of their ids."""
    fresh: bool = False
    replay: bool = False
    phases: bool = False
    """Draw everything, close the engine, and only then load the verifier (see `phases`)."""
    argv: Sequence[str] = ()
    include_path: Sequence[Path] = ()
    debug: bool = False
    """Show the traceback of the first attempt that fails."""
    again: Recorded | None = None
    """The run that is repeated, where its manifest stood for the suite."""

    @property
    def generations(self) -> Path:
        """The generation store that all runs of this output path share."""
        return self.output_path / GENERATIONS


@dataclass(frozen=True)
class Plan:
    """What there is to do: the run's folder, its problems, and the attempts still missing."""

    suite: Suite
    dataset: LoadedDataset
    items: tuple[Item, ...]
    suite_hash: str
    run: RunStore
    salt: str
    """Keeps the completions of a fresh run apart from those that were stored before."""
    done: frozenset[AttemptKey]

    @property
    def total(self) -> int:
        """Attempts of the whole run."""
        return len(self.items) * len(self.suite.cells) * len(self.suite.seeds)

    def missing(self) -> Iterator[tuple[Cell, Item, int]]:
        """What is left, problem by problem, so that strategies that share draws meet."""
        for item in self.items:
            for seed in self.suite.seeds:
                for cell in self.suite.cells:
                    if (cell.id, item.problem.id, seed) not in self.done:
                        yield cell, item, seed


def make_plan(suite: Suite, options: RunOptions) -> Plan:
    """Load the problems and find the run that this command continues; `claim` makes a new one.

    Raises UsageError for a wrong limit or an unreadable data set or run.
    """
    if options.phases:
        check_phases(suite)
    dataset = suite.load()
    again = options.again
    if again is not None and options.limit is None:
        items = again.problems(dataset.items)
    else:
        items = _limited(dataset.items, options.limit)
    if options.shard is not None:
        items = _check_shared_out(suite, Shard.read(options.shard).part(items), options.shard)
    ids = [item.problem.id for item in items] if len(items) < len(dataset) else None
    suite_hash = suite.hash(dataset.content_hash, json.dumps(ids))
    folder = options.output_path / suite.name
    run = _to_continue(folder, suite_hash, options)
    if run is not None:
        salt = run.read_manifest().salt
        return Plan(suite, dataset, items, suite_hash, run, salt, _done(run, options))
    return Plan(suite, dataset, items, suite_hash, RunStore(folder / _NEW), "", frozenset())


def claim(plan: Plan, options: RunOptions) -> Plan:
    """The plan with its run open: that which it continues, or a new one that nobody else has.

    Raises StoreError if a process that is alive is at this very run, or nothing can be written.
    """
    if plan.run.is_open:
        return plan
    folder = options.output_path / plan.suite.name
    with held(folder):
        run = _to_continue(folder, plan.suite_hash, options)
        if run is not None:
            run.open(plan.suite_hash)
            salt = run.read_manifest().salt
            return replace(plan, run=run, salt=salt, done=_done(run, options))
        if not options.fresh:
            refuse_twin(folder, plan.suite_hash)
        run = new_run(folder, plan.suite_hash)
    again = options.again
    salt = run.folder.name if options.fresh or again else ""
    if again is not None and options.replay:
        salt = again.manifest.salt
    return replace(plan, run=run, salt=salt)


def _to_continue(folder: Path, suite_hash: str, options: RunOptions) -> RunStore | None:
    """The newest run of the suite, if this command goes on with it."""
    run = None if options.fresh else find_run(folder, suite_hash)
    again = options.again
    if run is None or (again and not again.is_repeated_by(run.read_manifest())):
        return None
    return run


def _done(run: RunStore, options: RunOptions) -> frozenset[AttemptKey]:
    """Attempts that are not repeated: all but those that failed.

    In a replay these stay failed, too: there is no model that might do better.
    """
    found = run.attempts()
    return frozenset(one.key for one in found if one.status != "error" or options.replay)


def _check_shared_out(suite: Suite, items: tuple[Item, ...], shard: str) -> tuple[Item, ...]:
    """The items. Raises UsageError if there are none, or a strategy needs all problems at once."""
    for cell in suite.cells:
        if isinstance(cell.strategy, AllocatingStrategy):
            raise UsageError(
                f"--shard {shard}: {cell.name} shares one budget out among all problems, and a "
                "shard has only some: leave it out with --strategy"
            )
    if not items:
        raise UsageError(f"--shard {shard}: no problem falls into it: take fewer shards")
    return items


def _limited(items: tuple[Item, ...], limit: str | None) -> tuple[Item, ...]:
    if limit is None:
        return items
    first, dash, last = limit.partition("-")
    try:
        low, high = (int(first), int(last)) if dash else (1, int(first))
    except ValueError:
        raise UsageError(f"--limit {limit}: must be N or A-B") from None
    if not 1 <= low <= high:
        raise UsageError(f"--limit {limit}: must be N >= 1, or A-B with 1 <= A <= B")
    if low > len(items):
        raise UsageError(f"--limit {limit}: there are only {len(items)} problems")
    return items[low - 1 : high]
