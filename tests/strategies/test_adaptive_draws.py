"""The strategies that decide how much to draw, on answers in a given order."""

from __future__ import annotations

import asyncio
import math
import random

import pytest
from scripted_attempts import PROBLEM, Attempt, chosen

from tts_bench.engine.base import Completion
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.types import Score, Solution
from tts_bench.verifier.base import Scoring, Verifier


def drawn(answers, confidences=None, lengths=None):
    """A script whose draw `i` gives `answers[i]` (a space: none), whatever the batch."""
    seeds: dict[int, int] = {}

    def script(prompt, request):
        i = seeds.setdefault(request.seed, len(seeds))
        text = "no idea" if answers[i] == " " else f"\\boxed{{{answers[i]}}}"
        count = lengths[i] if lengths else len(text)
        logprob = math.log(confidences[i]) * count if confidences else -float(count)
        return Completion(tuple(range(count)), text, logprob, "stop")

    return script


class Scrambled(ScriptedEngine):
    """Completions come back in an order of their own, as they do from a real engine."""

    async def generate(self, request):
        for _ in range(random.Random(request.seed).randrange(20)):
            await asyncio.sleep(0)
        return await super().generate(request)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 7, 40])
def test_adaptive_consistency_stops_at_the_earliest_sure_draw_in_any_batch(batch):
    answers = "12112111" + "2" * 32
    attempt = Attempt("adaptive_consistency", drawn(answers), confidence=0.9, batch=batch, max_n=40)
    solution = attempt.run()
    # 1 2 1 1 2 1 1 1: six to two is 0.910; no earlier prefix has 0.9.
    assert solution.facts == {"draws_used": 8}
    assert chosen(solution) == "1"
    assert len(solution.candidates) == len(attempt.requests) == min(40, -(-8 // batch) * batch)


def test_adaptive_consistency_pays_for_all_draws_of_a_batch():
    attempt = Attempt("adaptive_consistency", drawn("1" * 40), batch=10)
    attempt.run()
    assert attempt.paid == 10 * len("\\boxed{1}")


def test_short_answers_do_not_decide():
    """With draws in flight together, whatever is finished first must not be counted first."""
    answers, lengths = "1111222222222222", [90] * 4 + [1] * 12
    options = {"batch": 16, "max_n": 16}
    script = drawn(answers, lengths=lengths)
    attempt = Attempt("adaptive_consistency", script, **options)
    assert chosen(attempt.run()) == "1"


def test_adaptive_consistency_without_agreement_draws_all_and_votes():
    attempt = Attempt("adaptive_consistency", drawn("12 12 12 1"), max_n=10)
    solution = attempt.run()
    assert len(solution.candidates) == 10
    assert chosen(solution) == "1"


def test_none_never_stops_the_drawing():
    attempt = Attempt("adaptive_consistency", drawn(" " * 12), max_n=12)
    solution = attempt.run()
    assert (len(solution.candidates), solution.chosen) == (12, None)


def test_a_window_that_agrees_stops_and_all_draws_vote():
    attempt = Attempt("early_stopping_consistency", drawn("2212 2 333 2"), window=3, max_n=12)
    solution = attempt.run()
    # 221, 2_2, _33, 3_2: no window agrees; 2 has 6 votes.
    assert len(solution.candidates) == 12
    assert chosen(solution) == "2"
    attempt = Attempt("early_stopping_consistency", drawn("221222999"), window=3, max_n=9)
    solution = attempt.run()
    assert len(solution.candidates) == 6
    assert chosen(solution) == "2"


def test_a_window_of_no_answers_does_not_stop():
    attempt = Attempt("early_stopping_consistency", drawn("   777"), window=3, max_n=9)
    assert chosen(attempt.run()) == "7"


def test_the_last_window_is_cut_at_the_most_and_stops_nothing():
    attempt = Attempt("early_stopping_consistency", drawn("12121"), window=4, max_n=5)
    assert len(attempt.run().candidates) == 5


@pytest.mark.parametrize(
    ("answers", "confidences", "n", "ease"),
    [
        ("1111" + "2" * 8, [1.0] * 12, 4, 1.0),
        ("1111" + "2" * 8, [0.5] * 12, 6, 0.5),  # they agree, but the verifier doubts it
        ("1122" + "2" * 8, [1.0] * 12, 6, 0.5),
        ("1234" + "2" * 8, [1.0] * 12, 12, 0.25),
        ("    " + "2" * 8, [1.0] * 12, 12, 0.0),
    ],
)
def test_the_probe_decides_how_many_are_drawn(answers, confidences, n, ease):
    attempt = Attempt(
        "adaptive_best_of_n",
        drawn(answers, confidences),
        n_medium=6,
        n_hard=12,
    )
    solution = attempt.run()
    assert solution.facts == pytest.approx({"ease": ease, "n": n})
    # The probe's draws are used and paid for, once: the published snippet draws them twice.
    assert len(solution.candidates) == len(attempt.requests) == n
    assert len({request.seed for request in attempt.requests}) == n


def test_agreement_alone_asks_for_no_probabilities():
    answers, confidences = "1111" + "2" * 8, [0.1] * 12
    attempt = Attempt("adaptive_best_of_n", drawn(answers, confidences), difficulty="agreement")
    assert attempt.run().facts["ease"] == 1.0


def test_hard_problems_get_the_most_by_default():
    """The published snippet sends them to 4 candidates, and says that they get all."""
    attempt = Attempt("adaptive_best_of_n", drawn([str(i) for i in range(40)]))
    assert len(attempt.run().candidates) == attempt.strategy.n_hard
    assert attempt.strategy.n_easy < attempt.strategy.n_medium < attempt.strategy.n_hard


def test_the_best_of_all_draws_is_chosen_not_of_the_last_ones():
    confidences = [0.9, 0.2, 0.2, 0.2, *[0.5] * 12]
    attempt = Attempt("adaptive_best_of_n", drawn("1234" + "5" * 12, confidences), n_hard=16)
    assert chosen(attempt.run()) == "1"


class Logits(Verifier):
    async def score(self, problem, candidates):
        return [Scoring(Score(3.5)) for _ in candidates]


def test_scores_that_are_no_probabilities_are_refused_by_name():
    attempt = Attempt("adaptive_best_of_n", drawn("1" * 40), verifier=Logits())
    with pytest.raises(ValueError, match=r"difficulty: agreement"):
        attempt.run()


def strategy_of(name, **params):
    return Attempt(name, drawn("1"), **params).strategy


def probed(answers: str) -> Solution:
    attempt = Attempt("compute_optimal", drawn(answers))
    return asyncio.run(attempt.strategy.probe_problem(PROBLEM, attempt.session))


def test_the_suites_draws_go_where_they_promise_most():
    strategy = strategy_of("compute_optimal", n=10)
    given = strategy.allocate([probed("1111"), probed("1122"), probed("1234"), None])
    sizes = [one.n for one in given]
    assert sum(sizes) == 40
    assert sizes[0] < sizes[1] < sizes[2] <= sizes[3]
    assert min(sizes) >= 4


def test_no_problem_gets_more_than_the_most_and_no_less_than_the_probe():
    strategy = strategy_of("compute_optimal", n=10, max_n=16)
    sizes = [one.n for one in strategy.allocate([probed("1111")] * 3 + [probed("1234")] * 2)]
    assert max(sizes) == 16
    assert sum(sizes) == 50


@pytest.mark.parametrize("n", [1, 2, 4])
def test_a_budget_smaller_than_the_probe_is_shared_equally(n):
    strategy = strategy_of("compute_optimal", n=n)
    assert [one.n for one in strategy.allocate([probed("1234"), None])] == [n, n]


@pytest.mark.parametrize(
    ("name", "params", "field"),
    [
        ("adaptive_consistency", {"confidence": 0.5}, "confidence"),
        ("adaptive_consistency", {"confidence": 1.0}, "confidence"),
        ("adaptive_consistency", {"max_n": 0}, "max_n"),
        ("adaptive_consistency", {"batch": 0}, "batch"),
        ("early_stopping_consistency", {"window": 1}, "window"),
        ("early_stopping_consistency", {"max_n": 0}, "max_n"),
        ("adaptive_best_of_n", {"probe": 0}, "probe"),
        ("adaptive_best_of_n", {"easy": 0.3, "hard": 0.3}, "easy"),
        ("adaptive_best_of_n", {"n_easy": 3}, "n_easy"),
        ("adaptive_best_of_n", {"n_hard": 3}, "n_hard"),
        ("compute_optimal", {"probe": 0}, "probe"),
        ("compute_optimal", {"n": 0}, "n must"),
        ("compute_optimal", {"max_n": 3}, "max_n"),
    ],
)
def test_bad_parameters_are_named(name, params, field):
    with pytest.raises(ValueError, match=field):
        strategy_of(name, **params)
