"""A run's pools as the rows of another tool, each beside this project's figure."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean, stdev
from zlib import crc32

from tts_bench.errors import UsageError
from tts_bench.report.conventions.tools import Quantity, Tool, differing
from tts_bench.report.points.scope import CellRecord, canonical, read_scope, settings, varying
from tts_bench.stats.conventions import (
    THIS,
    Convention,
    Draws,
    coverage,
    mean_of_draws,
    often_right,
    value_at,
)
from tts_bench.stats.subsets import NO_ANSWER
from tts_bench.steps import aggregate
from tts_bench.store.runs import RunStore
from tts_bench.store.texts import distinct_draws
from tts_bench.types import Attempt, Pool

_SCORED = ("best", "weighted")
_VOTES = ("majority", "weighted")
_SAME = 1e-9
_SMALL = 64


@dataclass(frozen=True, slots=True)
class ToolRow:
    """One row as a tool prints it; figures are shares of 1."""

    name: str
    quantity: Quantity
    k: int
    settings: str
    """What tells the row's pool from others of the run, or nothing."""
    value: float
    spread: float | None
    ours: float
    """The same of the same draws by this project's convention."""
    options: tuple[str, ...]
    """Options of the convention that make the difference, if there is one."""

    @property
    def differs(self) -> bool:
        """Whether the two figures are not the same."""
        return abs(self.value - self.ours) > _SAME


@dataclass(frozen=True)
class ToolRows:
    """A run's rows by a tool's convention."""

    tool: Tool
    run: str
    problems: int
    rows: tuple[ToolRow, ...]
    counts: Mapping[str, float]
    """Figures of all draws that the tool prints beside them."""
    notes: tuple[str, ...]
    """What is not there and why, one sentence each."""


def tool_rows(run: RunStore, tool: Tool) -> ToolRows:
    """Compute a tool's rows of a run.

    Raises UsageError if no cell drew a pool, or none so large a one, and StoreError.
    """
    scope = read_scope(run)
    sources = _sources([cell for cell in scope.cells if cell.pooled], tool)
    if not sources:
        raise UsageError(
            f"{run.folder}: --convention needs pools of independent draws, and no cell of it has "
            "one (best_of_n and the votes have)"
        )
    drawn = max(source.cell.at[-1] for source in sources)
    if more := [k for k in tool.sizes if k > drawn]:
        raise UsageError(
            f"{run.folder}: --k {more[0]}: no more than {drawn} draws of a problem are there"
        )
    tallies = [_Tally(source, tool) for source in sources]
    for attempt in run.attempts():
        for tally in tallies:
            if attempt.cell == tally.source.cell.id:
                tally.add(attempt)
    found = [tally for tally in tallies if tally.values]
    if not found:
        raise UsageError(f"{run.folder}: no attempt yet, so there is nothing to report")
    due = (scope.problems, scope.seeds) if scope.finished else None
    rows = tuple(row for tally in found for row in tally.rows(due))
    return ToolRows(
        tool=tool,
        run=f"{scope.suite}, {scope.extent}{' (partial)' if scope.partial else ''}",
        problems=len(scope.problems),
        rows=rows,
        counts=_counts(found) if tool.counts else {},
        notes=tuple(_notes(tool, found)),
    )


@dataclass(frozen=True)
class _Source:
    """A cell whose pools give some rows, and the settings that tell them from others'."""

    cell: CellRecord
    quantities: tuple[Quantity, ...]
    settings: str


def _sources(cells: Sequence[CellRecord], tool: Tool) -> list[_Source]:
    """For each sampling the largest pool, and every cell whose candidates have scores."""
    largest: dict[str, CellRecord] = {}
    scored: dict[tuple[str, ...], CellRecord] = {}
    for cell in cells:
        sampling = canonical(cell.sampling)
        if sampling not in largest or cell.at[-1] > largest[sampling].at[-1]:
            largest[sampling] = cell
        if cell.selector in _SCORED:
            scored.setdefault((sampling, cell.strategy, canonical(cell.variant)), cell)
    samplings = [cell.sampling for cell in largest.values()]
    free = tuple(one for one in tool.names if one not in _SCORED)
    found = []
    for key, cell in largest.items():
        names = settings(varying(cell.sampling, samplings))
        found.append(_Source(cell, free, names))
        mine = [other for (sampling, *_), other in scored.items() if sampling == key]
        for other in mine:
            if chosen := tuple(q for q in tool.names if q in _chosen_by(other, mine)):
                label = ", ".join(filter(None, (names, _label(other, mine))))
                found.append(_Source(other, chosen, label))
    return found


def _chosen_by(cell: CellRecord, others: Sequence[CellRecord]) -> set[str]:
    """What a scored cell gives: its own rule's rows; the other's, too, if no cell is for that."""
    variant = canonical(cell.variant)
    taken = {one.selector for one in others if canonical(one.variant) == variant}
    return {one for one in _SCORED if one == cell.selector or one not in taken}


def _label(cell: CellRecord, others: Sequence[CellRecord]) -> str:
    """What tells a scored cell from others that choose as it does."""
    alike = [one for one in others if one.selector == cell.selector]
    more = settings(varying(cell.variant, [one.variant for one in alike]))
    if len({one.strategy for one in alike}) == 1:
        return more
    return f"{cell.strategy}, {more}" if more else cell.strategy


def _sizes(cell: CellRecord, tool: Tool) -> list[int]:
    """Every k of a pool's rows: powers of two for a tool that has those alone, else the sweep.

    Beside the sweep small powers of two, which cost little.
    """
    if tool.sizes:
        return [k for k in tool.sizes if k <= cell.at[-1]]
    most = cell.at[-1]
    powers = {2**power for power in range(most.bit_length())}
    if tool.powers:
        return sorted(powers)
    return sorted({*(k for k in powers if k <= _SMALL), *cell.at})


class _Tally:
    """Adds up the values of a source's attempts, pool by pool, so that pools can be forgotten."""

    def __init__(self, source: _Source, tool: Tool) -> None:
        self.source, self.tool = source, tool
        self.values: dict[tuple[str, int], dict[tuple[Quantity, int, str], float]] = {}
        """Problem and seed -> quantity, k and convention -> value."""
        self.columns: Counter[tuple[int, int]] = Counter()
        self.right: Counter[tuple[int, int]] = Counter()
        """Problems, and those solved, by seed and place in the pool."""
        self.tokens: list[float | None] = []
        self.unanswered: list[float] = []
        self.answered = self.scored = False

    def add(self, attempt: Attempt) -> None:
        """Compute what one attempt gives; of a failed one, that nothing is right."""
        pool, done = attempt.pool, self.values.setdefault((attempt.problem, attempt.seed), {})
        if attempt.status in ("error", "budget") or not len(pool):
            return
        self.answered |= any(answer is not None for answer in pool.answer)
        self.scored |= len(pool.score) == len(pool)
        if self.tool.spread == "runs" and set(self.tool.spread_of) & set(self.source.quantities):
            places = [(attempt.seed, i) for i in range(len(pool))]
            self.columns.update(places)
            self.right.update(place for place in places if pool.correct[place[1]] is True)
        known = [count for count in pool.tokens if count is not None]
        self.tokens.append(sum(known) / len(pool) if known else None)
        self.unanswered.append(pool.answer_class.count(NO_ANSWER) / len(pool))
        draws = _draws(pool, pool.score)
        last = draws if self.tool.aggregate is None else _draws(pool, _last_steps(pool))
        seed = crc32(f"{attempt.seed}|{attempt.problem}".encode())
        for quantity in self.source.quantities:
            if quantity in _SCORED and len(pool.score) != len(pool):
                continue
            for k in _sizes(self.source.cell, self.tool):
                for name, value in self._values(quantity, k, draws, last, seed):
                    done[quantity, k, name] = value

    def _values(
        self, quantity: Quantity, k: int, own: Draws, last: Draws, seed: int
    ) -> Iterator[tuple[str, float]]:
        """The value by the tool and by this project, and with one option changed each.

        Options are put back to this project's, and the first k draws are taken for all subsets:
        so it is told what moves a figure, without any expectation over subsets but one.
        """
        theirs = self.tool.convention
        scored = last if quantity in _SCORED else own
        ours = _value(quantity, own, k, THIS, seed)
        yield "ours", ours
        same = theirs == THIS and scored is own
        yield "theirs", ours if same else _value(quantity, scored, k, theirs, seed)
        for option in differing(theirs):
            changed = replace(theirs, **{option: getattr(THIS, option)})
            if option == "draws":
                moved = _value(quantity, own, k, replace(THIS, draws=theirs.draws), seed)
                yield option, moved
            else:
                yield option, _value(quantity, scored, k, changed, seed)
        if last is not own and quantity in _SCORED:
            yield "aggregate", _value(quantity, own, k, theirs, seed)

    def rows(self, due: tuple[Sequence[str], Sequence[int]] | None) -> Iterator[ToolRow]:
        """The rows in the tool's order; what is missing of a finished run counts as wrong."""
        n = self.source.cell.at[-1]
        for quantity in self.source.quantities:
            if quantity in _SCORED and not self.scored:
                continue
            if quantity in _VOTES and not self.answered:
                continue
            for k in _sizes(self.source.cell, self.tool):
                if k < self.tool.least.get(quantity, 1):
                    continue
                if quantity in self.tool.once and not self.tool.sizes and k != n:
                    continue
                yield self._row(quantity, k, n, due)

    def _row(
        self, quantity: Quantity, k: int, n: int, due: tuple[Sequence[str], Sequence[int]] | None
    ) -> ToolRow:
        means = {name: self._mean((quantity, k, name), due) for name in self._names(quantity)}
        theirs, ours = fmean(means["theirs"]), fmean(means["ours"])
        options: tuple[str, ...] = ()
        if abs(theirs - ours) > _SAME:
            others = [name for name in means if name not in ("theirs", "ours")]
            # The first k were taken for all subsets; all other options were put back.
            kept = {name: ours if name == "draws" else theirs for name in others}
            moved = [name for name in others if abs(fmean(means[name]) - kept[name]) > _SAME]
            options = tuple(moved or others)
        return ToolRow(
            name=self.tool.names[quantity].format(k=k, n=n),
            quantity=quantity,
            k=k,
            settings=self.source.settings,
            value=theirs,
            spread=self._spread(quantity, k, means["theirs"]),
            ours=ours,
            options=options,
        )

    def _names(self, quantity: Quantity) -> list[str]:
        names = ["theirs", "ours", *differing(self.tool.convention)]
        return [*names, "aggregate"] if self.tool.aggregate and quantity in _SCORED else names

    def _mean(
        self, key: tuple[Quantity, int, str], due: tuple[Sequence[str], Sequence[int]] | None
    ) -> list[float]:
        """A value for each problem, the mean over its seeds."""
        if due is not None:
            problems, seeds = due
            keys = {problem: [(problem, seed) for seed in seeds] for problem in problems}
        else:
            keys = defaultdict(list)
            for problem, seed in self.values:
                keys[problem].append((problem, seed))
        return [
            fmean(self.values.get(one, {}).get(key, 0.0) for one in mine) for mine in keys.values()
        ]

    def _spread(self, quantity: Quantity, k: int, values: Sequence[float]) -> float | None:
        if quantity not in self.tool.spread_of:
            return None
        if self.tool.spread == "problems":
            return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
        runs = [self.right[place] / n for place, n in self.columns.items() if place[1] < k]
        return stdev(runs) if len(runs) > 1 else None


def _draws(pool: Pool, scores: Sequence[float]) -> Draws:
    """The pool; copies of one draw count once in its coverage."""
    return Draws(pool.answer, pool.answer_class, pool.correct, scores, distinct_draws(pool))


def _value(quantity: Quantity, draws: Draws, k: int, convention: Convention, seed: int) -> float:
    """One problem's value; where a budget left fewer than k draws, of all that are there."""
    if quantity == "pass":
        return coverage(draws, min(k, len(draws.distinct)))
    if quantity == "half" or quantity == "all":
        share = Fraction(1, 2) if quantity == "half" else Fraction(1)
        return often_right(draws, min(k, len(draws.distinct)), share)
    k = min(k, len(draws.classes))
    if quantity == "mean":
        return mean_of_draws(draws.correct, k, convention)
    return value_at(quantity, draws, k, convention, seed).value


def _last_steps(pool: Pool) -> Sequence[float]:
    """Scores of the last steps; the pool's own where no steps are known."""
    if len(pool.steps) != len(pool) or not all(pool.steps):
        return pool.score
    return [aggregate(steps, "last") for steps in pool.steps]


def _counts(tallies: Sequence[_Tally]) -> dict[str, float]:
    first = tallies[0]
    # Without any answer a recording may have none: it does not say that none was found.
    found = {"no_answer": fmean(first.unanswered)} if first.answered else {}
    known = [count for count in first.tokens if count is not None]
    if known and len(known) == len(first.tokens):
        found["avg_tokens"] = fmean(known)
    return found


def _notes(tool: Tool, tallies: Sequence[_Tally]) -> Iterator[str]:
    scored = [name.format(k="k", n="n") for one, name in tool.names.items() if one in _SCORED]
    if scored and not any(t.scored for t in tallies if set(t.source.quantities) & set(_SCORED)):
        yield f"no {' and '.join(scored)}: the run's candidates have no scores"
    votes = [name.format(k="k", n="n") for one, name in tool.names.items() if one in _VOTES]
    if votes and not any(tally.answered for tally in tallies):
        yield f"no {' and '.join(votes)}: no draw has an answer"
    if tool.counts and "avg_tokens" not in _counts(tallies):
        yield "no avg_tokens: not all lengths are known"
