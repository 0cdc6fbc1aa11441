"""Which strategy solves which problem, where one budget is shared out among all of a suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.dataset.base import Item
from tts_bench.errors import UsageError
from tts_bench.run.attempt import AttemptContext
from tts_bench.strategy.base import AllocatingStrategy
from tts_bench.suite.cells import Cell

Job = tuple[Cell, Item, int]
"""A cell, a problem and a seed: one attempt to make."""


async def allocated(
    jobs: Sequence[Job],
    items: Sequence[Item],
    context: AttemptContext,
    concurrency: int,
) -> list[Job]:
    """The jobs of suite-wide strategies, each with the strategy that its problem was given.

    Every problem of the run is probed for each cell and seed, also those whose attempts are
    there already, so that a run that is resumed shares out as it did at first; what was drawn
    then comes from the generation store.
    """
    cells = {(cell.id, seed): cell for cell, _, seed in jobs}
    shares = {
        (name, seed): await _share(cell, seed, items, context, concurrency)
        for (name, seed), cell in cells.items()
    }
    return [(shares[cell.id, seed][item.problem.id], item, seed) for cell, item, seed in jobs]


async def _share(
    cell: Cell,
    seed: int,
    items: Iterable[Item],
    context: AttemptContext,
    concurrency: int,
) -> dict[str, Cell]:
    """The cell for each problem, with the strategy that the problem's probe leads to."""
    assert isinstance(cell.strategy, AllocatingStrategy)
    names = [item.problem.id for item in items]
    probes = (context.probe(cell, item, seed) for item in items)
    found = await in_flight(probes, concurrency)
    try:
        given = cell.strategy.allocate(found)
        return {
            name: replace(cell, strategy=strategy)
            for name, strategy in zip(names, given, strict=True)
        }
    except (
        Exception,
        SystemExit,
    ) as error:  # a plug-in's fault: without an allocation the cell cannot run
        raise UsageError(f"cell {cell.id}: allocate failed: {error}") from error
