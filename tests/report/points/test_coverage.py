from __future__ import annotations

import pytest

from tts_bench.report.points.content import build_report


def curve_values(report):
    (curve,) = report.curves
    return {at.k: at.coverage.value for at in curve.points}


def test_coverage_is_the_mean_over_problems_of_pass_at_k(make):
    cell = make.cell("self_consistency", [3], "majority")
    attempts = [
        make.attempt(cell["id"], "a", make.pool(["1", "2", "2"])),
        make.attempt(cell["id"], "b", make.pool(["2", "2", "2"])),
    ]
    report = build_report(make.run([cell], attempts))
    # One of three is right: 1/3 at k=1, 1 - C(2,2)/C(3,2) = 2/3 at k=2; the other problem 0.
    assert curve_values(report) == pytest.approx({1: 1 / 6, 2: 1 / 3, 3: 0.5})


def test_a_timed_out_grading_is_not_covered(make):
    cell = make.cell("self_consistency", [2], "majority")
    pool = make.pool(["1", "3"], correct=(None, False))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    assert curve_values(report) == {1: 0.0, 2: 0.0}


def test_cells_of_one_sampling_share_the_largest_pool(make):
    small = make.cell("best_of_n", [2], "best")
    large = make.cell("self_consistency", [4], "majority")
    attempts = [
        make.attempt(small["id"], "p", make.pool(["2", "2"], score=(0.0, 1.0))),
        make.attempt(large["id"], "p", make.pool(["2", "2", "2", "1"])),
    ]
    report = build_report(make.run([small, large], attempts))
    assert curve_values(report) == pytest.approx({1: 0.25, 2: 0.5, 4: 1.0})
    assert (report.curves[0].draws, report.curves[0].sweep) == (4, (2, 4))


def test_a_failed_attempt_takes_the_pool_of_another_cell(make):
    cells = [make.cell("best_of_n", [2], "best"), make.cell("self_consistency", [2], "majority")]
    attempts = [
        make.attempt(cells[0]["id"], "p", status="error"),
        make.attempt(cells[1]["id"], "p", make.pool(["1", "2"])),
    ]
    report = build_report(make.run(cells, attempts))
    assert curve_values(report) == pytest.approx({1: 0.5, 2: 1.0})


def test_a_problem_without_a_pool_is_uncovered_in_a_finished_run(make):
    cell = make.cell("self_consistency", [2], "majority")
    attempts = [
        make.attempt(cell["id"], "a", make.pool(["1", "1"])),
        make.attempt(cell["id"], "b", status="error"),
    ]
    problems = [{"id": name, "level": None} for name in "abcd"]
    run = make.run([cell], attempts, problems=problems)
    assert curve_values(build_report(run)) == {1: 0.25, 2: 0.25}
    run.write_manifest(run.read_manifest().changed(status="running"))
    assert curve_values(build_report(run)) == {1: 0.5, 2: 0.5}


def test_different_samplings_are_different_pools(make):
    cool, hot = (make.cell("self_consistency", [2], "majority") for _ in range(2))
    hot["id"], hot["sampling"]["temperature"] = "hot", 1.2
    attempts = [
        make.attempt(cool["id"], "p", make.pool(["1", "1"])),
        make.attempt("hot", "p", make.pool(["2", "2"])),
    ]
    report = build_report(make.run([cool, hot], attempts))
    assert [curve.sampling["temperature"] for curve in report.curves] == [0.8, 1.2]
    assert [curve.points[-1].coverage.value for curve in report.curves] == [1.0, 0.0]


def test_copies_of_one_completion_count_once(make):
    cell = make.cell("self_consistency", [4], "majority")
    pool = make.pool(["1", "1", "1", "2"], generation=("x", "x", "x", "y"))
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)]))
    assert curve_values(report) == pytest.approx({1: 0.5, 2: 1.0})


def test_draws_that_are_all_one_have_no_coverage_curve(make):
    cell = make.cell("self_consistency", [2], "majority")
    pool = make.pool(["1", "1"], generation=("x", "x"))
    assert build_report(make.run([cell], [make.attempt(cell["id"], "p", pool)])).curves == ()


def test_two_seeds_are_two_pools_of_one_problem(make):
    cell = make.cell("self_consistency", [2], "majority")
    attempts = [
        make.attempt(cell["id"], "p", make.pool(["1", "1"]), seed=0),
        make.attempt(cell["id"], "p", make.pool(["2", "2"]), seed=1),
    ]
    report = build_report(make.run([cell], attempts, seeds=[0, 1]))
    assert curve_values(report) == {1: 0.5, 2: 0.5}
    assert report.curves[0].points[0].coverage.n == 1


def test_coverage_costs_what_its_draws_cost(make):
    cell = make.cell("self_consistency", [4], "majority")
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "2", "2", "2"]))
    report = build_report(make.run([cell], [attempt]))
    assert [at.cost.completion_tokens for at in report.curves[0].points] == [10, 20, 40]
    assert report.curves[0].points[-1].cost.flops_ideal == attempt.policy.flops_ideal


def test_a_fit_needs_enough_points_and_coverage_between_0_and_1(make, shared):
    (curve,) = build_report(shared).curves
    assert [at.k for at in curve.points] == [1, 2, 4, 8, 16]
    assert curve.fit is not None
    assert abs(curve.fit.predict(4) - curve.points[2].coverage.value) < 0.1
    cell = make.cell("self_consistency", [16], "majority")
    attempt = make.attempt(cell["id"], "p", make.pool(["1"] * 16))
    assert build_report(make.run([cell], [attempt])).curves[0].fit is None


def test_under_a_budget_a_pool_speaks_for_its_own_n_alone(make):
    cells = [make.cell("self_consistency", [n], "majority") for n in (1, 4)]
    answers = (["1"], ["2", "2", "2", "1"])  # the long draw is right, three short ones are not
    attempts = [
        make.attempt(cell["id"], "p", make.pool(pool))
        for cell, pool in zip(cells, answers, strict=True)
    ]
    budget = {"budget": {"tokens": 80}}
    [curve] = build_report(make.run(cells, attempts, resolved=budget)).curves
    assert [(at.k, at.coverage.value) for at in curve.points] == [(1, 1.0), (4, 1.0)]
    [free] = build_report(make.run(cells, attempts)).curves
    assert free.points[0].coverage.value == pytest.approx(0.25)
