"""Extent of a run by its manifest: cells, problems and seeds, and how far it came."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from tts_bench.cost.price import Price
from tts_bench.report.points.money import Prices, read_prices
from tts_bench.store.manifest import (
    CellEntry,
    DatasetEntry,
    EngineEntry,
    RecordingEntry,
    RunManifest,
    VerifierEntry,
)
from tts_bench.store.runs import RunStore


@dataclass(frozen=True)
class CellRecord:
    """One strategy with its parameters; a pooled one stands for its whole sweep over `n`."""

    id: str
    strategy: str
    params: Mapping[str, Any]
    sampling: Mapping[str, Any]
    pooled: bool = False
    selector: str | None = None
    at: tuple[int, ...] = ()
    """Every n of a pooled cell's sweep, ascending; it drew as many candidates as the last."""
    n: int | None = None
    """The n of a cell that is not pooled, where its strategy has such a parameter."""
    swept: str | None = None
    """The whole number besides `n` in which alone the cells of this cell's line differ."""

    @cached_property
    def variant(self) -> Mapping[str, Any]:
        """The parameters besides `n`: what stays the same along a line of a plot."""
        return {name: value for name, value in self.params.items() if name != "n"}

    @cached_property
    def line(self) -> tuple[str, str, str]:
        """Identity of the line that this cell is on: strategy, variant and sampling."""
        variant, sampling = (
            {name: value for name, value in part.items() if name != self.swept}
            for part in (self.variant, self.sampling)
        )
        return self.strategy, canonical(variant), canonical(sampling)

    @property
    def rank(self) -> float:
        """Place among the cells of its line that have the same n."""
        return 0.0 if self.swept is None else float(self.params[self.swept])

    @cached_property
    def sizes(self) -> tuple[int | None, ...]:
        """The n of each of the cell's points; None if it has no parameter of that name."""
        return self.at if self.pooled else (self.n,)


@dataclass(frozen=True)
class Scope:
    """The manifest's side of a report."""

    run: str
    """Name of the run folder."""
    suite: str
    status: str
    limited: bool
    """Whether the run was restricted to some problems of its suite."""
    dataset: DatasetEntry
    engine: EngineEntry
    verifier: VerifierEntry
    problems: tuple[str, ...]
    levels: Mapping[str, int]
    """Level by problem; only of problems whose data set states one."""
    subjects: Mapping[str, str]
    cells: tuple[CellRecord, ...]
    seeds: tuple[int, ...]
    finished: bool
    """Whether what is missing will not come any more, and so counts as wrong."""
    budgeted: bool
    """Whether a token budget may have shortened the draws of large pools."""
    answers: str = ""
    """The kind of answers, where they are not mathematics."""
    recording: RecordingEntry | None = None
    """What counts of a recording; None if this is none."""
    contents: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    """Text and reference answer by problem; only of problems whose manifest states both."""
    prices: Prices = field(default_factory=Prices)

    @property
    def partial(self) -> bool:
        """Whether the numbers speak for less than the whole suite."""
        return self.limited or not self.finished

    @property
    def extent(self) -> str:
        """Model, problems and seeds in words."""
        size = self.dataset.size
        of = f" of {size}" if self.limited and size else ""
        problems = f"{len(self.problems)}{of} problem{'s' * (len(self.problems) != 1 or bool(of))}"
        seeds = f"{len(self.seeds)} seed{'s' * (len(self.seeds) != 1)}"
        return f"{self.engine.model}, {problems}, {seeds}"

    @property
    def expected_attempts(self) -> int:
        """Number of attempts of the whole run."""
        return len(self.problems) * len(self.cells) * len(self.seeds)


def read_scope(run: RunStore, prices: Mapping[str, Price] | None = None) -> Scope:
    """The scope of a run; `prices` replace what its manifest states.

    Raises StoreError if the manifest is absent or lacks a part.
    """
    manifest = run.read_manifest()
    problems = manifest.problems
    budget = manifest.resolved.get("budget") or {}
    return Scope(
        run=run.folder.name,
        suite=manifest.suite,
        status=manifest.status,
        limited=manifest.partial,
        dataset=manifest.dataset,
        engine=manifest.engine,
        verifier=manifest.verifier,
        problems=tuple(row.id for row in problems),
        levels={row.id: row.level for row in problems if row.level is not None},
        subjects={row.id: row.subject for row in problems if row.subject},
        cells=mark_swept([_cell(row) for row in manifest.cells]),
        seeds=manifest.seeds,
        finished=manifest.finished,
        budgeted=budget.get("tokens") is not None,
        answers=_kind_of_answers(manifest),
        recording=manifest.recording,
        contents={
            row.id: (row.text, row.reference)
            for row in problems
            if row.text is not None and row.reference is not None
        },
        prices=read_prices(manifest, prices),
    )


def _kind_of_answers(manifest: RunManifest) -> str:
    block = manifest.resolved.get("answers")
    kind = block.get("name") if isinstance(block, dict) else None
    if manifest.recording is not None and manifest.recording.kind != "math":
        kind = manifest.recording.kind
    return str(kind or "")


def _cell(row: CellEntry) -> CellRecord:
    # A default that the suite does not name; runs of older versions did not note it.
    n = row.params.get("n", row.n)
    return CellRecord(
        id=row.id,
        strategy=row.strategy,
        params=row.params,
        sampling=row.sampling,
        pooled=row.pooled,
        selector=row.selector,
        at=row.at,
        n=n if isinstance(n, int) else None,
    )


def mark_swept(cells: Sequence[CellRecord]) -> tuple[CellRecord, ...]:
    """The cells, each with the parameter along which its line runs, if that is not `n`.

    It is the one whole number (`waits`, `budget`, `max_tokens`) in which cells of one strategy
    and one n differ. Fractions (`temperature`) are settings rather than sizes: lines of their own.
    """
    groups: dict[tuple[str, str, str], list[CellRecord]] = defaultdict(list)
    for cell in cells:
        groups[_beside_counts(cell)].append(cell)
    swept = {key: _only_difference(group) for key, group in groups.items()}
    return tuple(replace(cell, swept=swept[_beside_counts(cell)]) for cell in cells)


def _beside_counts(cell: CellRecord) -> tuple[str, str, str]:
    """Parts that two cells must share if a line is to join them."""
    counts = _counts(cell)
    variant, sampling = (
        {name: value for name, value in part.items() if name not in counts}
        for part in (cell.variant, cell.sampling)
    )
    return cell.strategy, canonical(variant), canonical(sampling)


def _counts(cell: CellRecord) -> dict[str, int]:
    """The parameters that are whole numbers; of the sampling only what bounds its length."""
    return {
        name: value
        for name, value in cell.variant.items()
        if isinstance(value, int)
        and not isinstance(value, bool)
        and (name == "max_tokens" or name not in cell.sampling)
    }


def _only_difference(cells: Sequence[CellRecord]) -> str | None:
    if len({cell.sizes for cell in cells}) > 1 or len(cells[0].sizes) > 1:
        return None
    values: dict[str, set[int | None]] = {
        name: {_counts(cell).get(name) for cell in cells}
        for cell in cells
        for name in _counts(cell)
    }
    names = [name for name, found in values.items() if len(found) > 1]
    return names[0] if len(names) == 1 and None not in values[names[0]] else None


def canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys: equal settings give equal text."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def settings(values: Mapping[str, Any]) -> str:
    """Settings as `name=value, ...`, or nothing.

    >>> settings({"normalize": "mean", "beam_width": 4})
    'normalize=mean, beam_width=4'
    """
    return ", ".join(f"{name}={_plain(value)}" for name, value in values.items())


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def distinguishing(cells: Sequence[CellRecord]) -> dict[str, dict[str, Any]]:
    """For each cell id, the settings in which it differs from others of the same strategy."""
    siblings: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for cell in cells:
        siblings[cell.strategy].append({**cell.sampling, **cell.variant})
    return {
        cell.id: varying({**cell.sampling, **cell.variant}, siblings[cell.strategy])
        for cell in cells
    }


def varying(mine: Mapping[str, Any], others: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The settings of `mine` that are different in any of `others`."""
    return {
        name: value
        for name, value in mine.items()
        if any(canonical({"": other.get(name)}) != canonical({"": value}) for other in others)
    }
