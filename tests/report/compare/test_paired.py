"""Paired comparison of runs: by hand, and its refusals."""

from __future__ import annotations

import json

import pytest

from tts_bench.errors import UsageError
from tts_bench.report.compare.paired import compare, compare_points, find_point
from tts_bench.report.compare.text import as_json, flips, terminal
from tts_bench.report.points.point import QUANTITIES, Point, RunPoints, read_points
from tts_bench.report.points.scope import CellRecord


def run_of(make, name: str, right: str, **manifest) -> RunPoints:
    cells = [make.cell("greedy"), make.cell("best_of_n", (1, 4), "best")]
    attempts = []
    for i, solved in enumerate(right):
        answer = "1" if solved == "1" else "2"
        attempts.append(make.attempt("greedy", f"p{i}", make.pool([answer])))
        pool = make.pool(["2", "1", "2", "2"], score=(0.1, 0.9, 0.2, 0.3))
        attempts.append(make.attempt("best_of_n?n=4", f"p{i}", pool))
    make.folder = make.folder / name
    return read_points(make.run(cells, attempts, **manifest))


def test_greedy_of_two_runs_by_hand(make):
    a, b = run_of(make, "a", "11110111"), run_of(make, "b", "10010001")
    [pair] = [one for one in compare(a, b).pairs if one.a.name == "greedy"]
    assert pair.problems == tuple(f"p{i}" for i in range(8))
    assert [side.value for side in pair.accuracy] == [7 / 8, 3 / 8]
    assert pair.difference.value == 0.5
    # A alone solves p1 p2 p5 p6, B alone none: 2 · (1/2)^4.
    assert (pair.only_a, pair.only_b) == (("p1", "p2", "p5", "p6"), ())
    assert (pair.test, pair.p_value) == ("McNemar", pytest.approx(0.125))
    assert pair.ratios["tokens"].value == 1.0
    text = terminal(compare(a, b))
    assert "+50.0" in text
    assert "greedy" in text
    assert "A is better on 4: p1, p2, p5, p6" in flips(pair)


def test_every_point_is_paired_with_its_own_and_p_values_are_adjusted_together(make):
    a, b = run_of(make, "a", "11110111"), run_of(make, "b", "10010001")
    found = compare(a, b)
    assert [pair.a.name for pair in found.pairs] == ["greedy", "best_of_n@1", "best_of_n@4"]
    assert all(pair.a.place == pair.b.place for pair in found.pairs)
    greedy, one, four = found.pairs
    assert greedy.p_holm == pytest.approx(3 * 0.125)
    # The pools are equal: accuracy 1/4 at n=1 is a fraction, so signs are flipped, not counted.
    assert (one.test, one.p_value, one.p_holm) == ("sign flips", 1.0, 1.0)
    assert (four.test, four.difference.value) == ("McNemar", 0.0)
    assert as_json(found)["pairs"][0]["better_in_a"] == ["p1", "p2", "p5", "p6"]


def test_two_strategies_of_one_run(make):
    run = run_of(make, "a", "11110111")
    [pair] = compare(run, run, a_point="best_of_n@4", b_point="greedy").pairs
    assert [side.value for side in pair.accuracy] == [1.0, 7 / 8]
    assert pair.only_a == ("p4",)
    assert pair.ratios["tokens"].value == pytest.approx((50 + 40) / (50 + 10))


def test_points_have_names_and_misspelt_ones_a_suggestion(make):
    run = run_of(make, "a", "1")
    assert find_point(run, "best_of_n@4").n == 4
    with pytest.raises(UsageError, match=r"best_of_m@4: no such point.*Did you mean 'best_of_n@"):
        find_point(run, "best_of_m@4")
    cells = [make.cell("budget_forcing", waits=waits) for waits in (0, 1)]
    attempts = [make.attempt(one["id"], "p0", make.pool(["1"])) for one in cells]
    forced = read_points(make.run(cells, attempts))
    # Names that do not tell points apart are no help.
    with pytest.raises(UsageError, match=r"it has budget_forcing \(waits=0\), .* \(waits=1\)"):
        find_point(forced, "greedy")
    with pytest.raises(UsageError, match="a point of both runs"):
        compare(run, run, a_point="greedy")


def test_what_cannot_be_compared_is_refused_with_the_reason(make):
    a = run_of(make, "a", "11", dataset={"name": "toy", "content_hash": "x", "size": 2})
    b = run_of(make, "b", "11", dataset={"name": "toy", "content_hash": "y", "size": 2})
    with pytest.raises(UsageError, match=r"differ in content.*--force"):
        compare(a, b)
    assert compare(a, b, force=True).pairs
    rows = [{"id": "q", "level": None, "subject": None}]
    cells = [make.cell("greedy")]
    other = read_points(make.run(cells, [make.attempt("greedy", "q")], problems=rows))
    with pytest.raises(UsageError, match="no problem in common"):
        compare(a, other)


def test_runs_without_a_common_point_say_what_they_have(make):
    a = run_of(make, "a", "11")
    cells = [make.cell("self_consistency", (2,), "majority")]
    pools = [make.pool(["1", "1"]), make.pool(["1", "1"])]
    rows = [make.attempt("self_consistency?n=2", f"p{i}", pools[i]) for i in range(2)]
    make.folder = make.folder / "c"
    other = read_points(make.run(cells, rows))
    with pytest.raises(UsageError, match=r"greedy, best_of_n@1, best_of_n@4.*self_consistency@2"):
        compare(a, other)


def test_an_unfinished_run_is_compared_on_what_both_have_and_the_note_says_so(make):
    a = run_of(make, "a", "1111")
    b = run_of(make, "b", "10", status="cancelled")
    found = compare(a, b)
    assert found.pairs[0].problems == ("p0", "p1")
    assert any("unfinished (cancelled)" in note for note in found.notes)
    assert any("2 problems are in one run only" in note for note in found.notes)


def test_an_attempt_missing_from_a_finished_run_counts_as_wrong(make):
    rows = [{"id": f"p{i}", "level": None, "subject": None} for i in range(2)]
    run = make.run(
        [make.cell("greedy")], [make.attempt("greedy", "p0", make.pool(["1"]))], problems=rows
    )
    [point] = read_points(run).points
    assert point.values["accuracy"] == {"p0": 1.0, "p1": 0.0}
    assert set(point.values["tokens"]) == {"p0"}


def test_the_texts_of_the_flips_are_written_fenced_in(make, tmp_path):
    from tts_bench.report.compare.flips import write_flips

    runs = []
    for name, answer in (("a", "1"), ("b", "2")):
        text = f"``` it is {answer}"
        pool = make.pool([answer], text=(text,), parent=(None,))
        make.folder = tmp_path / name
        rows = [make.attempt("greedy", "p0", pool)]
        runs.append(read_points(make.run([make.cell("greedy")], rows)))
    path = tmp_path / "flips.md"
    write_flips(path, *runs, compare(*runs))
    page = path.read_text()
    assert "## p0: A is better" in page
    assert "**A**: answer `1` (correct)\n\n````text\n``` it is 1\n````" in page
    assert "**B**: answer `2` (wrong)" in page


def drawn(make, name: str, right: list[int]) -> RunPoints:
    """Pools of two draws, so many of them right: accuracy at n = 1 is a fraction."""
    cell = make.cell("self_consistency", (1, 2), "majority")
    attempts = [
        make.attempt("self_consistency?n=2", f"p{i}", make.pool(["1"] * r + ["2"] * (2 - r)))
        for i, r in enumerate(right)
    ]
    make.folder = make.folder / name
    return read_points(make.run([cell], attempts))


@pytest.mark.parametrize("b", [[2], [1], [2, 1], [1, 1], [2, 0, 2], [2, 1, 2, 1]])
def test_few_problems_and_few_differences_are_compared(make, b):
    """One problem, two, one difference alone, none: an interval and a p-value all the same."""
    ours, theirs = drawn(make, "a", [2, 1, 2, 1][: len(b)]), drawn(make, "b", b)
    found = compare(ours, theirs)
    for pair in found.pairs:
        assert -1 <= pair.difference.low <= pair.difference.value <= pair.difference.high <= 1
        assert 0 < pair.p_value <= 1
        assert pair.p_value == 1 or len(pair.only_a) + len(pair.only_b) > 1
        assert pair.difference.low < 0 < pair.difference.high or len(b) > 2
    written = json.dumps(as_json(found), allow_nan=False)
    assert ("null" in written) == (len(b) == 1)
    assert terminal(found)


def test_no_problem_in_common_is_one_line():
    cell = CellRecord("s", "s", {}, {})
    values = {name: {} for name in QUANTITIES}
    with pytest.raises(UsageError, match="s and s have no problem in common"):
        compare_points(
            Point(cell, None, {**values, "accuracy": {"p": 1.0}}),
            Point(cell, None, {**values, "accuracy": {"q": 1.0}}),
        )
