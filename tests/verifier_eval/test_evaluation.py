from __future__ import annotations

import pytest
from scipy.stats import mannwhitneyu

from tts_bench.dataset.step_labels import LabelledSolution
from tts_bench.errors import UsageError
from tts_bench.types import Score
from tts_bench.verifier_eval.evaluation import Judged, evaluate
from tts_bench.verifier_eval.measures import Choices


def judged(problem, scores, labels, correct=None, value=None, group=""):
    steps = tuple(f"step {i}" for i in range(len(labels)))
    one = LabelledSolution(problem, steps, tuple(labels), problem, problem, correct, group)
    return Judged(one, Score(min(scores, default=0.0) if value is None else value, tuple(scores)))


def figures(rows, **choices):
    done = evaluate(rows, Choices(**{"resamples": 50, **choices}))
    return {one.name.strip(): one.estimate for one in done.figures}, done


def many(problems=40, split=0.5):
    """Every second problem has an error in its second step, found below any score of 0.2 to 0.8."""
    return [
        judged(f"p{i}", [0.9, 0.8, 0.85], [True] * 3)
        if i % 2
        else judged(f"p{i}", [0.9, 0.2, 0.1], [True, False, None])
        for i in range(problems)
    ]


def test_the_threshold_is_fitted_on_problems_that_f1_leaves_out():
    found, done = figures(many())
    assert found["ProcessBench F1"].value == 1.0
    assert len(done.fitted_on) == 8
    assert found["ProcessBench F1"].n == 32
    assert done.threshold == pytest.approx(0.5)
    again = evaluate(many(), Choices(resamples=50))
    assert again.fitted_on == done.fitted_on
    assert evaluate(many(), Choices(resamples=50, seed=1)).fitted_on != done.fitted_on


def test_solutions_of_one_problem_stay_on_one_side():
    rows = [one for one in many() for _ in range(3)]
    found, done = figures(rows)
    assert len(done.fitted_on) == 8
    assert found["ProcessBench F1"].n == 32


def test_a_threshold_that_is_given_is_used_on_every_problem():
    found, done = figures(many(), threshold=0.85)
    # Right steps of 0.8 are called wrong; the errors are found.
    assert found["accuracy, with an error"].value == 1.0
    assert found["accuracy, without one"].value == 0.0
    assert found["ProcessBench F1"].value == 0.0
    assert (found["ProcessBench F1"].n, done.fitted_on, done.threshold) == (40, (), 0.85)


def test_parts_of_a_data_set_have_an_f1_each_and_a_mean():
    rows = [
        judged("a", [0.9], [True], group="x"),
        judged("b", [0.1], [False], group="x"),
        judged("c", [0.1], [True], group="y"),
        judged("d", [0.1], [False], group="y"),
        judged("e", [0.9], [True], group="y"),
    ]
    found, _ = figures(rows, threshold=0.5)
    assert found["F1, x"].value == 1.0
    assert found["F1, y"].value == pytest.approx(2 / 3)
    assert found["F1, mean of parts"].value == pytest.approx(5 / 6)


def test_steps_that_nobody_labelled_count_nowhere():
    rows = [judged("a", [0.9, 0.2, 0.99], [True, False, None]), judged("b", [0.4], [True])]
    found, _ = figures(rows, threshold=0.5)
    assert found["step AUC"].value == mannwhitneyu([0.9, 0.4], [0.2]).statistic / 2 == 1.0
    assert found["step Brier"].value == pytest.approx((0.01 + 0.04 + 0.36) / 3)


def test_auc_within_a_solution_sees_no_other_solution():
    rows = [
        judged("a", [0.5, 0.4], [True, False]),
        judged("b", [0.2, 0.1, 0.3], [True, True, False]),
        judged("c", [0.9], [True]),
    ]
    done = evaluate(rows, Choices(threshold=0.5, resamples=20))
    scopes = [one.estimate for one in done.figures if one.name == "  within a solution"]
    # One ordered rightly, one wrongly, one without an error: the mean of 1 and 0.
    assert (scopes[0].value, scopes[0].n) == (0.5, 2)


def test_the_drop_rule_finds_the_first_fall():
    rows = [
        judged("a", [0.9, 0.44, 0.1], [True, False, None]),
        judged("b", [0.9, 0.46], [True, True]),
        judged("c", [0.9, 0.46], [True, False]),
    ]
    found, _ = figures(rows, threshold=0.1)
    assert found["first error by drop rule"].value == pytest.approx(2 / 3)
    assert found["solutions with an error"].value == 0.5
    assert found["solutions without one"].value == 1.0
    looser, _ = figures(rows, threshold=0.1, drop=0.52)
    assert looser["solutions with an error"].value == 1.0
    assert looser["solutions without one"].value == 0.0


def test_the_score_of_an_answer_is_held_against_the_answer_where_it_is_known():
    rows = [
        judged("a", [0.9, 0.2], [True, False], correct=True, value=0.9),
        judged("b", [0.9, 0.9], [True, True], correct=False, value=0.1),
    ]
    found, done = figures(rows, threshold=0.5)
    assert found["answer AUC"].value == 1.0
    assert "solution AUC" not in found
    assert not done.notes
    unknown = [judged(one.solution.id, one.score.steps, one.solution.labels) for one in rows]
    found, done = figures(unknown, threshold=0.5)
    assert found["solution AUC"].value == 1.0
    assert "a solution without a wrong step is right" in done.notes[0]


def test_a_verifier_without_step_scores_gets_the_figures_of_answers():
    rows = [
        judged("a", [], [True, False], correct=False, value=0.2),
        judged("b", [], [True, True], correct=True, value=0.7),
    ]
    found, done = figures(rows)
    assert done.notes == ["the verifier gives no step scores: there are no figures about steps"]
    assert set(found) == {"answer AUC", "within a problem", "answer ECE", "answer Brier"}
    assert found["answer AUC"].value == 1.0


def test_other_numbers_of_scores_than_steps_are_left_out_and_named():
    rows = [*many(), judged("odd", [0.5], [True, True])]
    found, done = figures(rows)
    assert "1 of 41 solutions have more or fewer step scores than steps" in done.notes[0]
    assert "(the first, odd: 1 scores, 2 steps)" in done.notes[0]
    assert found["first error by drop rule"].n == 40


@pytest.mark.parametrize(("label", "kind"), [(True, "no solution has"), (False, "every solution")])
def test_data_without_errors_and_data_without_right_solutions(label, kind):
    rows = [judged(f"p{i}", [0.5 + i / 100], [label]) for i in range(10)]
    found, done = figures(rows)
    assert any(note.startswith(kind) for note in done.notes)
    assert any("every labelled step is" in note and "no AUC" in note for note in done.notes)
    assert "ProcessBench F1" not in found
    assert found["step Brier"] is not None
    assert found["first error by drop rule"] is not None


def test_too_few_problems_to_fit_a_threshold_on_are_told():
    rows = [judged("a", [0.9], [True]), judged("b", [0.1], [False])]
    found, done = figures(rows)
    assert "ProcessBench F1" not in found
    assert any("give --threshold, or another --fit-share or --seed" in one for one in done.notes)


def test_scores_that_are_no_probabilities_are_ranked_but_not_calibrated():
    rows = [judged("a", [3.0, -2.0], [True, False]), judged("b", [1.0], [True])]
    found, done = figures(rows, threshold=0.0)
    assert found["step AUC"].value == 1.0
    assert "step ECE" not in found
    assert any("reach from -2 to 3: they are no probabilities" in one for one in done.notes)


def test_one_score_for_every_step_is_told():
    _, done = figures([judged("a", [0.5, 0.5], [True, False])], threshold=0.4)
    assert "every step has the same score, 0.5" in done.notes


def test_labels_that_allow_no_figure_are_an_error():
    rows = [judged("a", [], [None, None], correct=None, value=7.0)]
    with pytest.raises(UsageError, match=r"no step scores.*every labelled solution is right"):
        evaluate(rows, Choices())


@pytest.mark.parametrize(
    "choices", [{"fit_share": 0.0}, {"fit_share": 1.0}, {"drop": -1}, {"bins": 0}, {"resamples": 0}]
)
def test_senseless_choices_are_usage_errors(choices):
    with pytest.raises(UsageError):
        Choices(**choices)
