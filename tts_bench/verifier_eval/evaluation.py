"""The figures of a verifier on solutions whose steps are labelled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tts_bench.dataset.step_labels import LabelledSolution
from tts_bench.errors import UsageError, did_you_mean
from tts_bench.stats.ranking import Floats, Indices, Passing, Statistic
from tts_bench.steps import find_error_step
from tts_bench.types import Score
from tts_bench.verifier_eval.measures import Choices, Evaluation, Problems, add_auc, add_calibration


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled solution and what the verifier says of it."""

    solution: LabelledSolution
    score: Score


def evaluate(judged: Sequence[Judged], choices: Choices) -> Evaluation:
    """Every figure that the scores and labels allow. Raises UsageError if there is none."""
    done = Evaluation()
    if stepwise := _with_step_scores(judged, done):
        problems = _problems(stepwise, choices)
        _add_f1(stepwise, problems, choices, done)
        _add_steps(stepwise, choices, done)
        _add_drop_rule(stepwise, problems, choices, done)
    _add_outcomes(judged, choices, done)
    if not any(figure.estimate for figure in done.figures):
        raise UsageError("; ".join(done.notes) or "these labels allow no figure")
    return done


def _problems(judged: Sequence[Judged], choices: Choices) -> Problems:
    return Problems([one.solution.problem_id for one in judged], choices)


def _with_step_scores(judged: Sequence[Judged], done: Evaluation) -> list[Judged]:
    """The solutions with a score for each step; notes why the others are left out."""
    silent = sum(not one.score.steps for one in judged)
    odd = [one for one in judged if len(one.score.steps) not in (0, len(one.solution.steps))]
    if silent == len(judged):
        done.notes.append("the verifier gives no step scores: there are no figures about steps")
    elif silent:
        done.notes.append(f"{silent} of {len(judged)} solutions have no step scores; left out")
    if odd:
        name, scores, steps = odd[0].solution.id, odd[0].score.steps, odd[0].solution.steps
        done.notes.append(
            f"{len(odd)} of {len(judged)} solutions have more or fewer step scores than steps "
            f"(the first, {name}: {len(scores)} scores, {len(steps)} steps); left out"
        )
    return [one for one in judged if len(one.score.steps) == len(one.solution.steps)]


def _add_f1(
    judged: Sequence[Judged], problems: Problems, choices: Choices, done: Evaluation
) -> None:
    """ProcessBench's F1, on the problems that the threshold was not fitted on."""
    passing = Passing.of(
        [one.score.steps for one in judged], [one.solution.first_error for one in judged]
    )
    if passing.wrong.all() or not passing.wrong.any():
        kind = "every solution has" if passing.wrong.all() else "no solution has"
        done.notes.append(f"{kind} a wrong step: F1 needs solutions with one and without")
        return
    threshold, rest = choices.threshold, np.arange(len(problems))
    groups = np.array([one.solution.group for one in judged])
    if threshold is None:
        if choices.fit_on:
            held_out = np.unique(problems.of[groups == _part(choices.fit_on, groups)])
        else:
            held_out, rest = _split(len(problems), choices)
        threshold = passing.among(np.isin(problems.of, held_out)).best_threshold()
        if np.isnan(threshold):
            done.notes.append(
                f"the {len(held_out)} problems on which the threshold would be fitted have no "
                "solutions of both kinds: no F1; give --threshold, or another --fit-share or --seed"
            )
            return
        done.fitted_on = tuple(problems.names[i] for i in held_out)
    done.threshold = threshold

    f1 = problems.estimate(passing.f1(threshold, problems.of), rest)
    if f1 is None:
        done.notes.append("the problems beside the held-out ones lack solutions of one kind: no F1")
        return
    how = "given" if choices.threshold is not None else f"fitted on {len(done.fitted_on)} problems"
    if choices.fit_on:
        how = f"fitted on {choices.fit_on}, which is reported, too"
    done.add("ProcessBench F1", f1, f"threshold {threshold:.4g}, {how}")
    found, used = passing.found(threshold), np.isin(problems.of, rest)
    for name, members, note in (
        ("  accuracy, with an error", passing.wrong, "the first wrong step is found"),
        ("  accuracy, without one", ~passing.wrong, "no step is called wrong"),
    ):
        done.add(name, problems.share(found, members & used), note)
    if len(set(groups.tolist())) > 1:
        _add_parts(passing, threshold, groups, problems, rest, done)


def _part(name: str, groups: NDArray[np.str_]) -> str:
    """The part of the data that the threshold is fitted on. Raises UsageError if there is none."""
    parts = sorted(set(groups.tolist()) - {""})
    if name not in parts:
        known = ", ".join(parts) or "none"
        raise UsageError(f"--fit-on {name}: no such part, only {known}{did_you_mean(name, parts)}")
    return name


def _add_parts(
    passing: Passing,
    threshold: float,
    groups: NDArray[np.str_],
    problems: Problems,
    rest: Indices,
    done: Evaluation,
) -> None:
    """Both accuracies and F1 of each part, and the mean of the F1s, as ProcessBench's table has.

    Others print the mean weighted by the parts' solutions, so that stands beside it.
    """
    statistics: list[Statistic] = []
    sizes: list[int] = []
    found, used = passing.found(threshold), np.isin(problems.of, rest)
    for name in sorted(set(groups.tolist())):
        mine = groups == name
        statistics.append(passing.f1(threshold, problems.of, mine))
        sizes.append(int((mine & used).sum()))
        among = np.intersect1d(rest, problems.of[mine])
        shown = name or "no part"
        done.add(f"  F1, {shown}", problems.estimate(statistics[-1], among))
        for kind, members in (("with", passing.wrong), ("without", ~passing.wrong)):
            chosen = mine & members & used
            share = problems.share(found, chosen) if chosen.any() else None
            done.add(f"    {shown}, {kind} an error", share, f"{chosen.sum()}")

    def average(weights: Floats, by: Sequence[int] | None = None) -> float:
        return float(np.average([statistic(weights) for statistic in statistics], weights=by))

    done.add("  F1, mean of parts", problems.estimate(average, rest))
    by_size = problems.estimate(lambda weights: average(weights, sizes), rest)
    done.add("  F1, mean by size", by_size, "parts weighted by their solutions")


def _split(problems: int, choices: Choices) -> tuple[Indices, Indices]:
    """A seeded part of the problems to fit on, and the rest."""
    order = np.random.default_rng(choices.seed).permutation(problems)
    cut = max(1, round(choices.fit_share * problems))
    return np.sort(order[:cut]), np.sort(order[cut:])


def _add_steps(judged: Sequence[Judged], choices: Choices, done: Evaluation) -> None:
    """AUC and calibration of the scores of all labelled steps."""
    rows = [
        (score, label, number)
        for number, one in enumerate(judged)
        for score, label in zip(one.score.steps, one.solution.labels, strict=True)
        if label is not None
    ]
    if not rows:
        done.notes.append("no step is labelled")
        return
    scores = np.array([row[0] for row in rows])
    right = np.array([row[1] for row in rows], bool)
    solution = np.array([row[2] for row in rows], np.int64)
    problems = Problems([judged[number].solution.problem_id for number in solution], choices)
    within = {"problem": problems.of, "solution": solution}
    add_auc(done, "step", scores, right, problems, within)
    add_calibration(done, "step", scores, right, problems, choices.bins)
    if len(set(scores.tolist())) == 1:
        done.notes.append(f"every step has the same score, {scores[0]:.4g}")


def _add_drop_rule(
    judged: Sequence[Judged], problems: Problems, choices: Choices, done: Evaluation
) -> None:
    """How often the first error is where a score falls below a share of the one before it."""
    first = np.array([one.solution.first_error for one in judged])
    said = np.array([find_error_step(one.score.steps, choices.drop) for one in judged])
    for name, members in (
        ("first error by drop rule", np.ones(len(judged), bool)),
        ("  solutions with an error", first >= 0),
        ("  solutions without one", first < 0),
    ):
        found = problems.share(said == first, members) if members.any() else None
        done.add(name, found, f"drop {choices.drop}" if members.all() else f"{members.sum()}")


def _add_outcomes(judged: Sequence[Judged], choices: Choices, done: Evaluation) -> None:
    """AUC and calibration of whole solutions' scores, by final answer or by the steps' labels."""
    known = [one for one in judged if one.solution.correct is not None]
    if known:
        what = "answer"
        right = np.array([one.solution.correct for one in known], bool)
        if len(known) < len(judged):
            left = len(judged) - len(known)
            done.notes.append(f"{left} solutions do not say whether their answer is right")
    else:
        known, what = list(judged), "solution"
        right = np.array([one.solution.first_error < 0 for one in known], bool)
        done.notes.append("no final answers are labelled: a solution without a wrong step is right")
    scores = np.array([one.score.value for one in known])
    problems = _problems(known, choices)
    add_auc(done, what, scores, right, problems, {"problem": problems.of})
    add_calibration(done, what, scores, right, problems, choices.bins)
