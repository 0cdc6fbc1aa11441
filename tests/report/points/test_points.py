from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from tts_bench.errors import StoreError
from tts_bench.report.points.content import build_report
from tts_bench.types import Usage


def accuracies(report, strategy):
    return {p.n: p.accuracy.value for p in report.points if p.cell.strategy == strategy}


def only(report):
    (point,) = report.points
    return point


def test_smaller_n_is_the_expectation_over_all_subsets_not_the_first_n(make):
    cell = make.cell("best_of_n", [1, 2, 3], "best")
    pool = make.pool(["2", "1", "1"], score=(3.0, 2.0, 1.0))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    # The first draw is wrong and wins wherever it is; only {1, 2} of three pairs is without it.
    assert accuracies(report, "best_of_n") == pytest.approx({1: 2 / 3, 2: 1 / 3, 3: 0.0})


def test_ties_are_shared_by_the_tied(make):
    cells = [make.cell("best_of_n", [2], "best"), make.cell("self_consistency", [2], "majority")]
    pool = make.pool(["1", "2"], score=(0.5, 0.5))
    report = build_report(make.run(cells, [make.attempt(c["id"], "p", pool) for c in cells]))
    assert [point.accuracy.value for point in report.points] == pytest.approx([0.5, 0.5])


def test_a_candidate_without_an_answer_never_wins(make):
    cell = make.cell("best_of_n", [1, 2], "best")
    pool = make.pool([None, "1"], score=(9.0, 1.0))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    assert accuracies(report, "best_of_n") == pytest.approx({1: 0.5, 2: 1.0})
    assert [point.unanswered for point in report.points] == [0.5, 0.5]


def test_truncated_share_is_over_candidates(make):
    cell = make.cell("self_consistency", [4], "majority")
    pool = make.pool(["1"] * 4, finish_reason=("stop", "length", "stop", "stop"))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    assert only(report).truncated == 0.25


@pytest.mark.parametrize("status", ["error", "budget"])
def test_failed_attempts_are_wrong_at_every_n_and_counted(make, status):
    cell = make.cell("self_consistency", [1, 2], "majority")
    good = make.attempt(cell["id"], "a", make.pool(["1", "1"]))
    pool = make.pool(["1", "1"])
    failed = make.attempt(cell["id"], "b", pool, status=status, error="broke")
    report = build_report(make.run([cell], [good, failed]))
    assert accuracies(report, "self_consistency") == {1: 0.5, 2: 0.5}
    assert [point.errors for point in report.points] == [1, 1]
    assert report.curves[0].points[-1].coverage.value == 0.5


def test_missing_attempts_of_a_finished_run_are_wrong(make):
    cell = make.cell("self_consistency", [2], "majority")
    good = make.attempt(cell["id"], "a", make.pool(["1", "1"]))
    problems = [{"id": "a", "level": None}, {"id": "b", "level": None}]
    point = only(build_report(make.run([cell], [good], problems=problems)))
    assert (point.accuracy.value, point.errors, point.problems) == (0.5, 1, 2)


@pytest.mark.parametrize("status", ["running", "cancelled", "stopped"])
def test_an_unfinished_run_is_computed_over_what_is_there_and_says_so(make, status):
    cells = [make.cell("self_consistency", [2], "majority"), make.cell("greedy")]
    good = make.attempt(cells[0]["id"], "a", make.pool(["1", "1"]))
    problems = [{"id": "a", "level": None}, {"id": "b", "level": None}]
    report = build_report(make.run(cells, [good], problems=problems, status=status))
    point = only(report)
    assert (point.accuracy.value, point.errors, point.problems) == (1.0, 0, 1)
    assert report.scope.partial
    assert report.notes == (f"unfinished ({status}): computed over 1 of 4 attempts",)


def test_seeds_are_averaged_within_the_problem_first(make):
    cell = make.cell("greedy")
    right, wrong = make.pool(["1"]), make.pool(["2"])
    attempts = [
        make.attempt(cell["id"], "a", right, seed=0),
        make.attempt(cell["id"], "a", wrong, seed=1),
        make.attempt(cell["id"], "b", right, seed=0),
        make.attempt(cell["id"], "b", right, seed=1),
    ]
    point = only(build_report(make.run([cell], attempts, seeds=[0, 1])))
    assert point.by_problem == {"a": 0.5, "b": 1.0}
    assert (point.accuracy.value, point.accuracy.n, point.seeds) == (0.75, 2, 2)


def test_a_missing_seed_is_wrong_in_a_finished_run_and_ignored_in_a_running_one(make):
    cell = make.cell("greedy")
    attempt = make.attempt(cell["id"], "a", make.pool(["1"]))
    running = make.run([cell], [attempt], seeds=[0, 1], status="running")
    assert only(build_report(running)).accuracy.value == 1.0
    running.write_manifest(running.read_manifest().changed(status="complete"))
    finished = only(build_report(running))
    assert (finished.accuracy.value, finished.errors) == (0.5, 1)


def test_a_grading_that_timed_out_counts_as_wrong_and_is_shown(make):
    cell = make.cell("self_consistency", [1, 2], "majority")
    pool = make.pool(["1", "3"], correct=(True, None))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    assert accuracies(report, "self_consistency") == pytest.approx({1: 0.5, 2: 0.5})
    assert [point.ungraded for point in report.points] == [1, 1]
    assert report.notes[1:] == ("counted as wrong, for their grading timed out: 1 candidates",)


def test_a_sequential_cell_has_one_point_at_its_own_n(make):
    cell = {**make.cell("beam_search", beam_width=4), "params": {"beam_width": 4, "n": 16}}
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "2"]), correct=False, chosen=1)
    point = only(build_report(make.run([cell], [attempt])))
    assert (point.n, point.accuracy.value) == (16, 0.0)
    assert dict(point.cell.variant) == {"beam_width": 4}


def test_cost_of_a_subset_is_its_mean_over_all_subsets(make):
    tokens = (30, 70, 110, 20)
    cell = make.cell("self_consistency", [2, 4], "majority")
    pool = make.pool(["1"] * 4, tokens=tokens)
    attempt = make.attempt(cell["id"], "p", pool, policy=make.usage(50, tokens))
    small, whole = build_report(make.run([cell], [attempt])).points
    subsets = [make.usage(50, part) for part in combinations(tokens, 2)]
    for name in (
        "completion_tokens",
        "prompt_tokens_logical",
        "prompt_tokens_ideal",
        "flops_logical",
        "flops_ideal",
    ):
        brute = np.mean([getattr(usage, name) for usage in subsets])
        assert getattr(small.policy, name) == pytest.approx(brute, rel=1e-12), name
        assert getattr(whole.policy, name) == getattr(attempt.policy, name)


def test_costs_are_means_over_problems_of_means_over_seeds(make):
    cell = make.cell("greedy")
    lengths = {("a", 0): 10, ("a", 1): 30, ("b", 0): 100}
    attempts = []
    for (problem, seed), length in lengths.items():
        pool, usage = make.pool(["1"], tokens=(length,)), make.usage(50, (length,))
        attempts.append(make.attempt(cell["id"], problem, pool, seed=seed, policy=usage))
    point = only(build_report(make.run([cell], attempts, seeds=[0, 1])))
    assert point.policy.completion_tokens == (20 + 100) / 2
    assert point.errors == 1  # the missing attempt is wrong, but its cost is not known to be 0


def test_measured_numbers_are_known_at_the_largest_n_only(make):
    cell = make.cell("self_consistency", [1, 2], "majority")
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "1"]))
    small, whole = build_report(make.run([cell], [attempt], seconds=3.0)).points
    assert (small.policy.flops_measured, small.seconds) == (None, None)
    assert (whole.policy.flops_measured, whole.seconds) == (attempt.policy.flops_logical, 3.0)


def test_the_costs_of_what_broke_off_are_unknown_and_left_out_of_the_mean(make):
    cell = make.cell("self_consistency", [4], "majority")
    whole = make.attempt(cell["id"], "p", make.pool(["1"] * 4), policy=Usage(4, 400, 200, 50))
    broken = make.attempt(cell["id"], "q", status="error", policy=Usage(0, 0, 0, 0))
    [point] = build_report(make.run([cell], [whole, broken])).points
    assert point.policy.completion_tokens == 400
    assert point.errors == 1


def test_what_a_failed_attempt_spent_is_spread_over_the_pool_it_was_to_draw(make):
    cell = make.cell("self_consistency", [1, 4], "majority")
    spent = Usage(4, 400, 200, 50, 8.0, 5.0)
    attempt = make.attempt(cell["id"], "p", status="budget", policy=spent)
    small, whole = build_report(make.run([cell], [attempt])).points
    assert (small.policy.completion_tokens, whole.policy.completion_tokens) == (100, 400)
    assert (small.policy.flops_ideal, whole.policy.flops_ideal) == (2.0, 5.0)


def test_a_pool_that_a_budget_cut_is_used_whole_beyond_its_size(make):
    cell = make.cell("self_consistency", [1, 4, 8], "majority")
    pool = make.pool(["1", "1", "2"])
    points = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)])).points
    assert [point.accuracy.value for point in points] == pytest.approx([2 / 3, 1.0, 1.0])
    assert [point.policy.completion_tokens for point in points] == [10, 30, 30]


def test_unknown_flops_stay_unknown(make):
    cell = make.cell("self_consistency", [1, 2], "majority")
    pool = make.pool(["1", "1"])
    unknown = make.usage(50, pool.tokens, known=False)
    attempt = make.attempt(cell["id"], "p", pool, policy=unknown)
    engine = {"model": "odd", "shape": None, "shape_note": "odd is not a transformer"}
    report = build_report(make.run([cell], [attempt], engine=engine))
    assert [(p.policy.flops_ideal, p.policy.flops_logical, p.flops) for p in report.points] == [
        (None, None, None)
    ] * 2
    assert any("odd is not a transformer" in note for note in report.notes)


def test_differences_are_paired_with_greedy_on_shared_problems(make):
    greedy, vote = make.cell("greedy"), make.cell("self_consistency", [1], "majority")
    attempts = [
        make.attempt(greedy["id"], "a", make.pool(["1"])),
        make.attempt(greedy["id"], "b", make.pool(["2"])),
        make.attempt(vote["id"], "b", make.pool(["1"])),
        make.attempt(vote["id"], "c", make.pool(["1"])),
    ]
    base, point = build_report(make.run([greedy, vote], attempts, status="running")).points
    assert base.difference is None
    assert (point.difference.value, point.difference.n) == (1.0, 1)


def test_without_greedy_there_are_no_differences(make):
    cell = make.cell("self_consistency", [1], "majority")
    attempt = make.attempt(cell["id"], "p", make.pool(["1"]))
    assert only(build_report(make.run([cell], [attempt]))).difference is None


def test_of_rows_with_one_key_the_last_counts(make):
    cell = make.cell("greedy")
    failed = make.attempt(cell["id"], "p", status="error", error="out of memory")
    again = make.attempt(cell["id"], "p", make.pool(["1"]))
    point = only(build_report(make.run([cell], [failed, again])))
    assert (point.accuracy.value, point.errors) == (1.0, 0)


def test_rows_that_the_manifest_does_not_list_are_passed_over_and_noted(make):
    cell = make.cell("greedy")
    inside = make.attempt(cell["id"], "p", make.pool(["1"]))
    outside = make.attempt(cell["id"], "q", make.pool(["2"]))
    run = make.run([cell], [inside, outside], problems=[{"id": "p", "level": None}])
    report = build_report(run)
    assert only(report).accuracy.value == 1.0
    assert report.notes == ("passed over, for the manifest does not list them: 1 attempts",)


def test_points_are_sorted_by_n_within_their_line(make):
    beams = []
    for n in (16, 4):
        beams.append({**make.cell("beam_search"), "id": f"beam_search?n={n}", "params": {"n": n}})
    greedy = make.cell("greedy")
    cells = [beams[0], greedy, beams[1]]
    attempts = [make.attempt(c["id"], "p", make.pool(["1"])) for c in cells]
    points = build_report(make.run(cells, attempts)).points
    assert [(p.cell.strategy, p.n) for p in points] == [
        ("beam_search", 4),
        ("beam_search", 16),
        ("greedy", None),
    ]


def test_a_run_without_any_attempt_is_one_clear_error(make):
    problems = [{"id": "p", "level": None}]
    with pytest.raises(StoreError, match=r"no attempt yet, so there is nothing to report$"):
        build_report(make.run([make.cell("greedy")], [], problems=problems))


def test_a_manifest_without_a_part_is_one_clear_error(make):
    cell = make.cell("greedy")
    run = make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))])
    manifest = json.loads(run.manifest_path.read_text())
    del manifest["cells"]
    run.manifest_path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=r"manifest\.json: missing or malformed part: cells: F"):
        build_report(run)
