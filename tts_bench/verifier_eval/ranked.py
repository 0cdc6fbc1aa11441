"""The protocol of RewardMATH: how often a verifier puts the one right candidate above all others.

Right is a problem whose right candidate has strictly the highest score; a tie counts against the
verifier, and the place in the file has no part in it (Kim et al., arXiv:2410.01729). Beside it the
mean reciprocal rank, with ties against it, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

from tts_bench.dataset.ranked import RankedProblem
from tts_bench.dataset.step_labels import LabelledSolution
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import UsageError
from tts_bench.stats.estimators import mean_interval
from tts_bench.stats.ranking import rank_of_right
from tts_bench.steps import Aggregate, aggregate, split_steps
from tts_bench.types import Score
from tts_bench.verifier_eval.measures import Evaluation
from tts_bench.verifier_eval.rendering import Texts, write

AGGREGATES: Mapping[str, Callable[[Sequence[float]], float]] = {
    how: partial(aggregate, how=how) for how in get_args(Aggregate)
}


@dataclass(frozen=True, slots=True)
class RankedScores:
    """A problem's candidates as a verifier scores them; the right one has the index `right`."""

    problem: str
    right: int
    scores: tuple[Score, ...]

    @property
    def stepwise(self) -> bool:
        """Whether every candidate has scores of its steps."""
        return all(one.steps for one in self.scores)


def rank(ranked: Sequence[RankedScores], own: str = "") -> Evaluation:
    """The protocol's figures: by the verifier's own score, and by every aggregate of its steps.

    `own` names the verifier's own score; without it that is given only where there are no scores
    of steps. Raises UsageError if there is no problem.
    """
    if not ranked:
        raise UsageError("no problem has a score for each of its candidates")
    done = Evaluation()
    stepwise = all(one.stepwise for one in ranked)
    if own or not stepwise:
        values = [[score.value for score in one.scores] for one in ranked]
        _add(done, f"strictly highest{f', {own}' if own else ''}", values, ranked)
    if not stepwise:
        done.notes.append("not all candidates have step scores: there are no aggregates of them")
        return done
    for how, fold in AGGREGATES.items():
        try:
            values = [[fold(score.steps) for score in one.scores] for one in ranked]
        except ValueError as error:
            done.notes.append(f"no figure by {how}: {error}")
        else:
            _add(done, f"strictly highest, by {how}", values, ranked)
    return done


def _add(
    done: Evaluation, name: str, values: Sequence[Sequence[float]], ranked: Sequence[RankedScores]
) -> None:
    ranks = [rank_of_right(mine, one.right) for mine, one in zip(values, ranked, strict=True)]
    first = sum(rank == 1 for rank in ranks)
    won = mean_interval([float(rank == 1) for rank in ranks])
    done.add(name, won, f"{first} of {len(ranks)} problems")
    done.add("  mean reciprocal rank", mean_interval([1 / rank for rank in ranks]), "ties against")


def recorded_scores(problems: Sequence[RankedProblem], source: str) -> list[RankedScores]:
    """The recorded scores of every problem. Raises UsageError for a candidate without one."""
    return [
        RankedScores(
            one.id,
            _right(one),
            tuple(_recorded(one, i, source) for i in range(len(one.candidates))),
        )
        for one in problems
    ]


def _recorded(problem: RankedProblem, i: int, source: str) -> Score:
    score = problem.candidates[i].score
    if score is None:
        raise UsageError(
            f"{source}: no recorded scores (candidate {i} of {problem.id} has none); name their "
            "column: --column score=NAME"
        )
    # `value` is that of an ORM; for step scores every aggregate is told, and none of them is it.
    return Score(score[-1], score) if isinstance(score, tuple) else Score(score)


def _right(problem: RankedProblem) -> int:
    return next(i for i, one in enumerate(problem.candidates) if one.right)


def write_candidates(
    problems: Sequence[RankedProblem], delimiter: str, tokenizer: Tokenizer | None, source: str
) -> tuple[Texts, list[tuple[int, int]]]:
    """Every candidate's text as a verifier reads it, and of each the problem's and its number.

    Raises UsageError where there are no texts.
    """
    solutions, places = [], {}
    for number, problem in enumerate(problems):
        for i, candidate in enumerate(problem.candidates):
            if not candidate.steps:
                raise UsageError(
                    f"{source}: no texts for a verifier to score; --column text=NAME names their "
                    "column, and the verifier `recorded` takes recorded scores"
                )
            steps = (
                candidate.steps
                if len(candidate.steps) > 1
                else split_steps(candidate.steps[0], delimiter)
            )
            name = f"{problem.id}, candidate {i}"
            places[name] = number, i
            solutions.append(
                LabelledSolution(problem.text, tuple(steps), (None,) * len(steps), name, problem.id)
            )
    texts = write(solutions, delimiter, tokenizer)
    return texts, [places[one.solution.id] for one in texts.written]


def complete(
    problems: Sequence[RankedProblem], scores: Mapping[tuple[int, int], Score]
) -> list[RankedScores]:
    """The problems of which every candidate has a score."""
    found = []
    for number, problem in enumerate(problems):
        mine = [scores.get((number, i)) for i in range(len(problem.candidates))]
        known = [score for score in mine if score is not None]
        if len(known) == len(mine):
            found.append(RankedScores(problem.id, _right(problem), tuple(known)))
    return found


def candidate_row(problem: RankedProblem, i: int) -> dict[str, Any]:
    """What scores.jsonl says of a candidate beside its scores."""
    return {"problem": problem.id, "candidate": i, "correct": problem.candidates[i].right}


def ranked_data(
    problems: Sequence[RankedProblem], source: str, limit: int | None
) -> dict[str, Any]:
    """What verify.json says of the data."""
    return {
        "source": source,
        "name": Path(source).name,
        "texts": sum(len(one.candidates) for one in problems),
        "problems": len(problems),
        "limit": limit,
    }
