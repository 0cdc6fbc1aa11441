"""The gate: both verdicts, exact and statistical, its refusals, and how often it errs."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner

from tts_bench.commands.gate import gate
from tts_bench.errors import StoreError, UsageError
from tts_bench.report.gate.baseline import Baseline, make_baseline, read_baseline, write_baseline
from tts_bench.report.gate.exact import gate_exactly
from tts_bench.report.gate.text import junit, markdown, terminal
from tts_bench.report.gate.verdict import Limits, gate_statistically
from tts_bench.report.points.point import Point, RunPoints, read_points
from tts_bench.report.points.scope import CellRecord
from tts_bench.store.manifest import DatasetEntry

DATA = {"name": "toy", "content_hash": "h", "size": 200}


def run_of(make, name: str, right: list[bool], tokens: int = 10, **manifest) -> RunPoints:
    attempts = [
        make.attempt("greedy", f"p{i}", make.pool(["1" if r else "2"], tokens=(tokens,)))
        for i, r in enumerate(right)
    ]
    make.folder = make.folder / name
    return read_points(make.run([make.cell("greedy")], attempts, dataset=DATA, **manifest))


@pytest.fixture
def rights() -> list[bool]:
    return [i % 3 != 0 for i in range(200)]


def test_a_baseline_file_is_the_run_that_it_was_made_of(make, rights, tmp_path):
    run = run_of(make, "a", rights)
    path = tmp_path / "new" / "baseline.json"
    write_baseline(path, make_baseline(run))
    again = read_baseline(path)
    whole = make_baseline(run)
    assert again.about == whole.about
    assert again.attempts == whole.attempts
    assert [one.values["accuracy"] for one in again.points] == [
        one.values["accuracy"] for one in whole.points
    ]
    assert gate_exactly(run, again).passed
    assert read_baseline(run.run.folder).attempts == whole.attempts


def test_a_baseline_is_made_of_complete_runs_only(make, rights):
    with pytest.raises(StoreError, match="complete run, not cancelled"):
        make_baseline(run_of(make, "a", rights, status="cancelled"))


def test_a_baseline_of_a_part_is_called_one(make, rights, tmp_path):
    path = tmp_path / "baseline.json"
    for partial, said in (
        (True, "warning: a baseline of a part: toy-1.5B, 6 of 200 problems"),
        (False, ""),
    ):
        run = run_of(make, f"partial-{partial}", rights[:6], partial=partial)
        done = CliRunner().invoke(gate, [str(run.run.folder), "--write-baseline", str(path)])
        assert done.exit_code == 0
        assert done.stdout == f"wrote     {path}\n"
        assert done.stderr.startswith(said)
        assert done.stderr.count("\n") == partial
        path.unlink()


def test_what_is_no_baseline_is_told_so(tmp_path):
    with pytest.raises(StoreError, match="--write-baseline"):
        read_baseline(tmp_path / "none.json")
    (tmp_path / "b.json").write_text('{"format_version": 1}')
    with pytest.raises(StoreError, match="no baseline file"):
        read_baseline(tmp_path / "b.json")
    (tmp_path / "b.json").write_text('{"format_version": 9}')
    with pytest.raises(StoreError, match="format 9, not 1"):
        read_baseline(tmp_path / "b.json")


def test_exactly_the_same_passes_and_any_change_fails(make, rights):
    base = make_baseline(run_of(make, "a", rights))
    assert gate_exactly(run_of(make, "b", rights), base).passed
    flipped = [not rights[0], *rights[1:]]
    verdict = gate_exactly(run_of(make, "c", flipped), base)
    assert [(check.name, check.quantity) for check in verdict.failures] == [
        ("greedy | p0 | 0", "selection"),
        ("greedy", "accuracy"),
    ]
    longer = gate_exactly(run_of(make, "d", rights, tokens=11), base)
    assert [check.name for check in longer.failures[200:]] == ["greedy", "greedy"]
    assert longer.failures[200].detail == "p0 has 61.0, had 60.0, and 199 more problems"
    assert longer.failures[0].quantity == "tokens"
    assert "completion_tokens is 11, was 10" in longer.failures[0].detail
    fewer = gate_exactly(run_of(make, "e", rights[:-1]), base)
    assert fewer.failures[0].detail == "missing from the run"
    assert fewer.failures[1].detail.startswith("p199 has None, had")
    more = gate_exactly(run_of(make, "f", [*rights, True]), base)
    assert more.failures[0].detail == "not in the baseline"


def test_flops_alone_are_a_change_too(make, rights):
    run = run_of(make, "a", rights)
    base = make_baseline(run)
    key = "greedy | p7 | 0"
    record = base.attempts[key]
    policy = {**record["policy"], "flops_ideal": record["policy"]["flops_ideal"] + 1}
    changed = replace(base, attempts={**base.attempts, key: {**record, "policy": policy}})
    assert [check.quantity for check in gate_exactly(run, changed).failures] == ["FLOPs"]


def pools_of(make, name: str, **changes) -> RunPoints:
    """Two attempts with pools of four; `changes` are columns of the second one's pool."""
    cell = make.cell("best_of_n", (1, 2, 4), "best")
    pools = [
        make.pool(["1", "2", "1", "2"], score=(0.9, 0.2, 0.3, 0.1), tokens=(5, 6, 7, 8)),
        make.pool(["2", "1", "2", "2"], score=(0.1, 0.9, 0.2, 0.3), tokens=(5, 6, 7, 8)),
    ]
    pools[1] = replace(pools[1], **changes)
    make.folder = make.folder / name
    attempts = [make.attempt("best_of_n?n=4", f"p{i}", pool) for i, pool in enumerate(pools)]
    return read_points(make.run([cell], attempts, dataset=DATA))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"correct": (False, True, True, False)}, {"accuracy", "candidates"}),
        ({"score": (0.1, 0.9, 0.25, 0.3)}, {"candidates"}),
        ({"answer": ("2", "1", "3", "2")}, {"candidates"}),
        ({"finish_reason": ("stop", "stop", "length", "stop")}, {"candidates"}),
    ],
)
def test_a_moved_number_of_any_candidate_fails(make, changes, names, tmp_path):
    path = tmp_path / "baseline.json"
    write_baseline(path, make_baseline(pools_of(make, "a")))
    assert gate_exactly(pools_of(make, "b"), read_baseline(path)).passed
    verdict = gate_exactly(pools_of(make, "c", **changes), read_baseline(path))
    assert {check.quantity for check in verdict.failures} >= {"candidates"}
    assert {check.quantity for check in verdict.failures} <= names
    [moved] = changes
    assert f"{moved} of the candidates is not what it was" in terminal(verdict)


def test_a_baseline_of_an_earlier_version_says_what_it_cannot_tell(make):
    whole = make_baseline(pools_of(make, "a"))
    known = ("status", "chosen", "answer", "correct", "candidates", "policy", "verifier")
    old = replace(
        whole,
        attempts={key: {k: one[k] for k in known} for key, one in whole.attempts.items()},
    )
    same = gate_exactly(pools_of(make, "b"), old)
    assert same.passed
    for text in (terminal(same), markdown(same)):
        assert "2 attempts of the baseline, of an earlier version, hold no candidates" in text
    changed = gate_exactly(pools_of(make, "c", correct=(False, True, True, False)), old)
    assert {check.quantity for check in changed.failures} == {"accuracy"}
    assert "p1 has" in terminal(changed)


def test_an_exact_gate_refuses_other_data_and_sees_points_that_come_and_go(make, rights):
    run = run_of(make, "a", rights)
    base = make_baseline(run)
    other = replace(base, about={**base.about, "dataset": {**DATA, "content_hash": "x"}})
    with pytest.raises(UsageError, match="content_hash"):
        gate_exactly(run, other)
    assert [check.detail for check in gate_exactly(run, replace(base, points=())).failures] == [
        "not in the baseline"
    ]
    more = replace(base.points[0], n=7)
    assert [
        check.detail
        for check in gate_exactly(run, replace(base, points=(*base.points, more))).failures
    ] == ["missing from the run"]


def test_a_clear_drop_fails_and_a_run_as_good_passes(make, rights):
    base = make_baseline(run_of(make, "a", rights))
    same = gate_statistically(run_of(make, "b", rights), base, Limits(margin=0.05))
    assert same.passed
    assert [check.quantity for check in same.checks] == ["accuracy", "tokens", "FLOPs"]
    worse = [right and i % 2 == 0 for i, right in enumerate(rights)]
    verdict = gate_statistically(run_of(make, "c", worse), base, Limits(margin=0.12))
    assert [check.quantity for check in verdict.failures] == ["accuracy"]
    assert "would be seen 4 times in 5" in verdict.failures[0].detail


def test_a_drop_beyond_the_margin_fails_even_where_the_margin_is_too_fine_to_see(make, rights):
    base = make_baseline(run_of(make, "a", rights))
    verdict = gate_statistically(run_of(make, "b", [False] * 200), base, Limits(margin=0.001))
    assert not verdict.passed


def test_dearer_runs_fail_at_their_own_limits(make, rights):
    base = make_baseline(run_of(make, "a", rights))
    dear = run_of(make, "b", rights, tokens=20)
    verdict = gate_statistically(dear, base, Limits(margin=0.05))
    assert {check.quantity for check in verdict.failures} == {"tokens", "FLOPs"}
    # 50 prompt tokens and 20 instead of 10 written: 70 / 60.
    assert "+16.7 % per problem, allowed +5.0 %" in verdict.failures[0].detail
    assert gate_statistically(dear, base, Limits(margin=0.05, tokens=0.5, flops=0.5)).passed


def test_a_margin_that_the_problems_cannot_show_is_refused(make):
    rights = [i % 2 == 0 for i in range(30)]
    base = make_baseline(run_of(make, "a", rights))
    noisy = [i % 3 == 0 for i in range(30)]
    with pytest.raises(
        UsageError, match=r"30 problems cannot see a margin of 2.0 points.*--margin"
    ):
        gate_statistically(run_of(make, "b", noisy), base, Limits(margin=0.02))


@pytest.mark.parametrize("right", [[True], [False], [True, True], [True, False]])
def test_one_or_two_problems_cannot_see_any_margin(make, right):
    base = make_baseline(run_of(make, "a", right))
    with pytest.raises(UsageError, match=r"problems cannot see a margin of 50\.0 points"):
        gate_statistically(run_of(make, "b", right), base, Limits(margin=0.5))
    other = gate_exactly(run_of(make, "c", right), base)
    assert other.passed


def test_other_data_and_unknown_points_are_refused_and_missing_ones_fail(make, rights):
    run = run_of(make, "a", rights)
    base = make_baseline(run)
    other = replace(base, about={**base.about, "dataset": {**DATA, "content_hash": "other"}})
    with pytest.raises(UsageError, match="content_hash"):
        gate_statistically(run, other, Limits(margin=0.1))
    with pytest.raises(UsageError, match="--point best: not in the baseline, which has greedy"):
        gate_statistically(run, base, Limits(margin=0.1), ["best"])
    extra = Point(CellRecord("x", "x", {}, {}), None, base.points[0].values)
    verdict = gate_statistically(run, replace(base, points=(extra,)), Limits(margin=0.1))
    assert [check.detail for check in verdict.failures] == ["missing from the run"]
    fewer = run_of(make, "b", rights[:150])
    verdict = gate_statistically(fewer, base, Limits(margin=0.1))
    assert "50 of the baseline's problems are missing" in verdict.failures[0].detail


@pytest.mark.parametrize("limits", [(0.0,), (-0.1,), (0.1, 0.0), (0.1, 0.1, float("nan"))])
def test_limits_are_positive(limits):
    with pytest.raises(ValueError, match="must be more than 0"):
        Limits(*limits)


def test_a_verdict_reads_as_text_markdown_and_junit(make, rights):
    base = make_baseline(run_of(make, "a", rights))
    verdict = gate_exactly(run_of(make, "b", [not rights[0], *rights[1:]]), base)
    assert "FAILED (exact)" in terminal(verdict)
    assert "| ❌ | greedy \\| p0 \\| 0 |" in markdown(verdict)
    suite = ElementTree.fromstring(junit(verdict))
    # The attempt, and the accuracy of its point.
    assert (suite.get("tests"), suite.get("failures")) == ("203", "2")
    failed, _ = suite.findall(".//failure")
    assert failed.text == verdict.failures[0].detail
    passed = gate_statistically(run_of(make, "c", rights), base, Limits(margin=0.05))
    assert "passed (statistical)" in terminal(passed)
    assert ElementTree.fromstring(junit(passed)).get("failures") == "0"


def simulated(rng: np.random.Generator, skills: np.ndarray) -> Point:
    values = {f"p{i}": float(rng.random() < skill) for i, skill in enumerate(skills)}
    return Point(
        CellRecord("s", "s", {}, {}),
        None,
        {"accuracy": values, "tokens": {}, "flops": {}, "seconds": {}},
    )


def verdicts(drop: float, margin: float, trials: int = 300) -> float:
    """How often live runs whose true accuracy has dropped so far are failed."""
    rng = np.random.default_rng(3)
    failed = 0
    for _ in range(trials):
        skills = rng.beta(2, 2, 200) * (1 - drop) + drop
        base = Baseline({"run": "base", "dataset": DATA}, (simulated(rng, skills),), {})
        run = _run(simulated(rng, skills - drop))
        failed += not gate_statistically(run, base, Limits(margin)).passed
    return failed / trials


def _run(point: Point) -> RunPoints:
    class Scope:
        run, dataset = "run", DatasetEntry.model_validate(DATA)

    return RunPoints(None, Scope(), None, (point,))  # type: ignore[arg-type]


def test_the_gate_errs_as_rarely_as_the_docs_say():
    # Independent draws, 200 problems: a margin of 14 points is just above what they can show.
    margin = 0.14
    assert verdicts(drop=margin, margin=margin) >= 0.92
    assert verdicts(drop=0.0, margin=margin) <= 0.20
