"""Labels from rollouts: after every step (Monte Carlo), or by binary search (OmegaPRM)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.errors import UsageError
from tts_bench.labelling.base import LabellingBound
from tts_bench.labelling.label_file import Labels
from tts_bench.labelling.probe import RIGHT, Probe
from tts_bench.labelling.trace import Trace


@dataclass(frozen=True)
class _Rollouts:
    """Common to both: `rollouts` completions after a step tell whether it can still end well.

    A step is right if more than the share `threshold` of them reaches the reference answer; at 0
    any one is enough. A policy that checks itself mends wrong steps now and then, and the more
    rollouts there are, the more surely one of them does: then 0 calls wrong steps right.
    """

    rollouts: int = 8
    threshold: float = 0.0

    needs_reference: ClassVar[bool] = True
    needs: ClassVar[Collection[str]] = ("exact_tokens",)

    def __post_init__(self) -> None:
        if self.rollouts < 1:
            raise UsageError(f"--rollouts {self.rollouts}: must be at least 1")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"--threshold {self.threshold}: must be in [0, 1)")

    @property
    def draws_repeatedly(self) -> bool:
        return self.rollouts > 1


@dataclass(frozen=True)
class MonteCarlo(_Rollouts):
    """Hard and soft labels as in Math-Shepherd (2312.08935, eq. 3 and 4).

    A step is right (hard) if any of the completions that follow it reaches the reference answer
    (or more than `threshold` of them); the soft value is the share that does. The last step of a
    finished solution is labelled by the solution's own answer. Labels of a trace need not fall in
    one piece: a step may be labelled right after one that is labelled wrong.
    """

    name: ClassVar[str] = "mc"

    def estimate(self, traces: Sequence[Trace]) -> LabellingBound:
        """Every unsettled step of every trace."""
        steps = sum(trace.unsettled for trace in traces)
        prefixes = {  # by their hashes: the texts of a large file would fill the memory
            hash((trace.problem.id, trace.prefix(i + 1)))
            for trace in traces
            for i in range(trace.unsettled)
        }
        how = f"{self.rollouts} rollouts behind each of {steps:,} steps"
        return LabellingBound(steps * self.rollouts, len(prefixes) * self.rollouts, how)

    async def label(self, probe: Probe) -> Labels:
        """All steps at once; nothing is spent where the longest prefix does not fit."""
        unsettled = probe.trace.unsettled
        probe.check_fits(unsettled)
        correct = await probe.own_answer()
        outcomes = await in_flight(probe.rollouts(i + 1, self.rollouts) for i in range(unsettled))
        return labels_of(outcomes, correct, self.threshold)


def labels_of(outcomes: Sequence[str], correct: bool | None, threshold: float = 0.0) -> Labels:
    """Monte-Carlo labels from the outcomes after each step and the trace's own answer.

    `correct` labels one step more, the last; it is None for a trace that was cut off.
    """
    shares = [share_right(behind) for behind in outcomes]
    labels = [share > threshold for share in shares]
    soft: list[float | None] = [*shares]
    if correct is not None:
        outcomes = [*outcomes, ""]
        labels.append(correct)
        soft.append(float(correct))
    return Labels(tuple(labels), tuple(soft), tuple(outcomes), correct)


def share_right(outcomes: str) -> float:
    """Share of rollouts that are right."""
    return outcomes.count(RIGHT) / len(outcomes)


@dataclass(frozen=True)
class BinarySearch(_Rollouts):
    """The first wrong step by binary search, as in OmegaPRM (2406.06592, section 3.2).

    A prefix is right if any of its `rollouts` completions reaches the reference answer (or more
    than `threshold` of them). Once a
    prefix is wrong, so are all that contain it: that is assumed here and not by `MonteCarlo`,
    and it makes the cost k log2 M instead of k M. Steps before the first wrong one are labelled
    right, it and all later ones wrong. A solution whose own answer is right has no wrong step,
    without a rollout. The tree of OmegaPRM (which rollout to search next) is not part of this.
    """

    name: ClassVar[str] = "omega"

    def estimate(self, traces: Sequence[Trace]) -> LabellingBound:
        """As if every solution were wrong; those that are right cost nothing."""
        probes = sum(trace.unsettled.bit_length() for trace in traces)
        how = f"{self.rollouts} rollouts at each of at most {probes:,} probes"
        return LabellingBound(probes * self.rollouts, probes * self.rollouts, how)

    async def label(self, probe: Probe) -> Labels:
        """Halve the interval between a right and a wrong prefix until one step is left."""
        steps, unsettled = len(probe.trace.steps), probe.trace.unsettled
        probe.check_fits(unsettled)
        correct = await probe.own_answer()
        soft: list[float | None] = [None] * steps
        outcomes = [""] * steps
        if correct is not None:
            soft[-1] = float(correct)
        # The first `right` steps are right; with `wrong` steps it is wrong, or there are none.
        right, wrong = (steps, steps + 1) if correct else (0, unsettled + 1)
        while wrong - right > 1:
            middle = (right + wrong) // 2
            behind = await probe.rollouts(middle, self.rollouts)
            outcomes[middle - 1] = behind
            share = soft[middle - 1] = share_right(behind)
            right, wrong = (middle, wrong) if share > self.threshold else (right, middle)
        labels = tuple(i < right for i in range(steps))
        return Labels(labels, tuple(soft), tuple(outcomes), correct)
