"""What a majority vote would make of each pool, if no strategy of the run voted on it."""

from __future__ import annotations

from collections import defaultdict

from tts_bench.report.page.tally import FAILED
from tts_bench.report.points.content import Report
from tts_bench.report.points.coverage import Curve
from tts_bench.report.points.scope import CellRecord, canonical
from tts_bench.stats.estimators import Estimate, mean_interval
from tts_bench.strategy.select import SELECTORS
from tts_bench.types import Attempt

_VOTE = SELECTORS["majority"]


class Votes:
    """Majority vote on each pool of a report, at every k of its coverage curve.

    A vote needs no verifier, so it costs what the draws cost. Pools that a strategy of the run
    voted on are left out, and so are a run with a token budget, which has a pool for each n, and a
    recording without answers.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._curves = {
            cell.id: i
            for i, curve in enumerate(report.curves)
            if (cell := _widest(report, curve)) is not None
        }
        self._values: dict[tuple[int, str, int], list[float]] = {}

    def add(self, attempt: Attempt) -> None:
        """Take the votes of an attempt's pool."""
        if attempt.cell not in self._curves:
            return
        place, pool = self._curves[attempt.cell], attempt.pool
        usable = len(pool) > 0 and attempt.status not in FAILED
        self._values[place, attempt.problem, attempt.seed] = [
            _VOTE.expected(pool.answer_class, (), pool.correct, min(at.k, len(pool))).value
            if usable
            else 0.0
            for at in self._report.curves[place].points
        ]

    def estimates(self) -> list[list[Estimate] | None]:
        """For each coverage curve the accuracy at each of its k; None if it is left out."""
        return [self._estimates_of(place) for place in range(len(self._report.curves))]

    def _estimates_of(self, place: int) -> list[Estimate] | None:
        scope, groups = self._report.scope, defaultdict(list)
        for (curve, problem, _), values in self._values.items():
            if curve == place:
                groups[problem].append(values)
        if not groups:
            return None
        problems = scope.problems if scope.finished else tuple(groups)
        # What is missing from a finished run counts as wrong, as everywhere.
        weight = {p: len(scope.seeds) if scope.finished else len(groups[p]) for p in problems}
        return [
            mean_interval([sum(v[i] for v in groups.get(p, [])) / weight[p] for p in problems])
            for i in range(len(self._report.curves[place].points))
        ]


def _widest(report: Report, curve: Curve) -> CellRecord | None:
    """The cell with the most draws of a pool, or None if its votes are not to be taken."""
    drawn = canonical(curve.sampling)
    cells = [
        cell for cell in report.scope.cells if cell.pooled and canonical(cell.sampling) == drawn
    ]
    voted = any(cell.selector == "majority" for cell in cells)
    recording = report.scope.recording
    unknown = recording is not None and recording.answers == "none"
    if voted or unknown or report.scope.budgeted or not cells:
        return None
    return max(cells, key=lambda cell: max(cell.at))
