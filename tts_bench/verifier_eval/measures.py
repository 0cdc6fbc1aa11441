"""Figures with their intervals over problems: those that scores of steps and of answers share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from tts_bench.errors import UsageError
from tts_bench.stats import ranking
from tts_bench.stats.estimators import Estimate
from tts_bench.stats.ranking import Bin, Flags, Floats, Indices, Statistic


@dataclass(frozen=True)
class Choices:
    """Choices of the user about the figures."""

    threshold: float | None = None
    """Step scores below it are errors; None fits it on a held-out part of the problems."""
    fit_share: float = 0.2
    """Share of the problems on which the threshold is fitted."""
    fit_on: str = ""
    """The part of the data on all of which it is fitted instead, as ProcessBench does on gsm8k;
    that part is then reported, too."""
    drop: float = 0.5
    """A step is taken for the first error where its score falls below this share of the last."""
    bins: int = ranking.DEFAULT_BINS
    resamples: int = 1000
    seed: int = 0
    """Of the held-out part and of the bootstrap."""

    def __post_init__(self) -> None:
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise UsageError(f"--threshold {self.threshold}: must be a finite number")
        if self.fit_on and self.threshold is not None:
            raise UsageError("--threshold and --fit-on exclude each other: it is given, or fitted")
        if not 0 < self.fit_share < 1:
            raise UsageError(f"--fit-share {self.fit_share}: must lie between 0 and 1")
        if self.drop < 0 or self.bins < 1 or self.resamples < 1:
            raise UsageError("--drop must not be negative, --bins and --resamples at least 1")


NO_INTERVAL = "n/a: intervals are over problems, and one problem does not show how they differ"
"""Remark if an interval is missing."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its name, its value, and what it is over or why it has none."""

    name: str
    estimate: Estimate | None
    note: str = ""


@dataclass
class Evaluation:
    """Every figure that could be given, in the order of the table, and what there is to say."""

    figures: list[Figure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    threshold: float | None = None
    fitted_on: tuple[str, ...] = ()
    """Problems on which the threshold was fitted; they are no part of F1."""
    bins: dict[str, list[tuple[Bin, Estimate]]] = field(default_factory=dict)
    """Reliability of the scores of steps and of answers, by what was scored: bins of scores,
    with the share that is right and its interval."""

    def add(self, name: str, estimate: Estimate | None, note: str = "") -> None:
        """Add a figure; a remark says why if it has no interval."""
        if estimate is not None and math.isnan(estimate.low) and NO_INTERVAL not in self.notes:
            self.notes.append(NO_INTERVAL)
        self.figures.append(Figure(name, estimate, note))


class Problems:
    """The problems that some rows belong to, and estimates over them."""

    def __init__(self, of_row: Sequence[str], choices: Choices) -> None:
        self.names = list(dict.fromkeys(of_row))
        number = {name: i for i, name in enumerate(self.names)}
        self.of: Indices = np.array([number[name] for name in of_row], np.int64)
        """Number of each row's problem."""
        self._choices = choices

    def __len__(self) -> int:
        return len(self.names)

    def estimate(self, statistic: Statistic, among: Indices | None = None) -> Estimate | None:
        """A figure over all problems or some of them; None if it is not defined."""
        chosen = np.arange(len(self)) if among is None else among

        def on_chosen(weights: Floats) -> float:
            every = np.zeros(len(self))
            every[chosen] = weights
            return statistic(every)

        choices = self._choices
        return ranking.estimate(on_chosen, len(chosen), choices.resamples, choices.seed)

    def share(self, values: ArrayLike, members: Flags) -> Estimate | None:
        """The mean over some rows, estimated over the problems that these belong to."""
        return self.estimate(ranking.mean_of(values, self.of, members), np.unique(self.of[members]))


def add_auc(
    done: Evaluation,
    what: str,
    scores: Floats,
    right: Flags,
    problems: Problems,
    within: Mapping[str, Indices],
) -> None:
    """The AUC over all rows, and the mean of those within each problem, solution, ...

    `within` gives the number of each row's group, by the kind of group. Over all rows a verifier
    scores by knowing which problems are hard; to choose among candidates it must tell right from
    wrong within one problem, and to find an error within one solution.
    """
    if right.all() or not right.any():
        kind = "right" if right.all() else "wrong"
        done.notes.append(f"every labelled {what} is {kind}: there is no AUC")
        return
    pooled = problems.estimate(ranking.auc_of(scores, right, problems.of))
    done.add(f"{what} AUC", pooled, f"{right.sum()} right, {(~right).sum()} wrong")
    for kind, groups in within.items():
        values = ranking.auc_within(scores, right, groups)
        if not values:
            done.add(f"  within a {kind}", None, f"no {kind} has both right and wrong ones")
            continue
        first = {int(group): row for row, group in reversed(list(enumerate(groups)))}
        owner = problems.of[[first[group] for group in values]]
        found = problems.estimate(ranking.mean_of(list(values.values()), owner), np.unique(owner))
        done.add(f"  within a {kind}", found, f"mean of {len(values)}")


def add_calibration(
    done: Evaluation, what: str, scores: Floats, right: Flags, problems: Problems, bins: int
) -> None:
    """Expected calibration error and Brier score, where scores are probabilities."""
    if not len(scores):
        return
    if scores.min() < 0 or scores.max() > 1:
        span = f"from {scores.min():.4g} to {scores.max():.4g}"
        done.notes.append(f"{what} scores reach {span}: they are no probabilities to calibrate")
        return
    place = ranking.bin_of(scores, bins)
    shares = [problems.share(right, place == i) for i in np.unique(place)]
    found = zip(ranking.reliability(scores, right, bins=bins), shares, strict=True)
    done.bins[what] = [(one, share) for one, share in found if share is not None]
    error = problems.estimate(ranking.calibration_of(scores, right, problems.of, bins))
    done.add(f"{what} ECE", error, f"{bins} equal bins")
    loss = problems.estimate(ranking.brier_of(scores, right, problems.of))
    done.add(f"{what} Brier", loss, f"{right.mean():.1%} are right")
