"""Whole labelling jobs on a policy whose right labels are known."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tts_bench.commands.label import label
from tts_bench.errors import UsageError
from tts_bench.labelling.label_file import LabelRow, read_labels

MIXED = [(0, {}), (1, {0: 1}), (2, {2: -4}), (3, {4: 10}), (4, {1: 3, 3: 2}), (5, {2: 1, 4: -3})]
FIRST_ERRORS = [-1, 0, 2, 4, 1, 2]
STEPS = 6


@pytest.fixture
def run(tmp_path: Path, capsys):
    """Runs `tts-bench label ...` in this process; gives exit code, output and label lines."""

    def run(*words: object, output: str = "labels.jsonl"):
        path = tmp_path / output
        common = ["--output", path, "--output-path", tmp_path / "results", "--display", "none"]
        code = label(args=list(map(str, [*words, *common])), standalone_mode=False)
        rows = list(read_labels(path).values()) if path.exists() else []
        return code, capsys.readouterr(), sorted(rows, key=lambda row: row.problem_id)

    return run


def first_errors(rows: list[LabelRow]) -> list[int]:
    return [row.first_error for row in rows]


def errors_of(tmp_path: Path) -> list[dict]:
    text = (tmp_path / "labels.errors.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def stored(tmp_path: Path) -> int:
    with sqlite3.connect(tmp_path / "results" / "generations.sqlite") as store:
        return store.execute("SELECT count(*) FROM completions").fetchone()[0]


def test_monte_carlo_labels_of_a_policy_without_slips_are_exact(run, write_suite, solutions):
    code, shown, rows = run("mc", write_suite(), "--solutions", solutions(*MIXED), "--rollouts", 4)
    assert code == 0, shown.err
    assert first_errors(rows) == FIRST_ERRORS
    for row, first in zip(rows, FIRST_ERRORS, strict=True):
        right = STEPS if first < 0 else first
        assert row.labels == tuple(i < right for i in range(STEPS))
        assert row.soft == tuple(float(i < right) for i in range(STEPS))
        assert row.rollouts == (4,) * (STEPS - 1) + (0,), "the answer itself labels the last step"
        assert row.right == (*(4 * (i < right) for i in range(STEPS - 1)), 0)
        assert row.outcomes[0] == ("1111" if right else "0000")
        assert row.correct is (first < 0)
        assert row.usage.requests == 4 * (STEPS - 1)
    assert "at most 120 completions (4 rollouts behind each of 30 steps)" in shown.out


def test_the_columns_are_those_of_trl(run, write_suite, solutions):
    _, _, [row] = run("mc", write_suite(), "--solutions", solutions((1, {1: 1})), "-k", 2)
    assert row.prompt == "Add up 2 3 5 2 7 4."
    assert "".join(row.completions) == (
        "2 + 3 = 5\n\n5 + 5 = 11\n\n11 + 2 = 13\n\n13 + 7 = 20\n\n20 + 4 = 24\n\n\\boxed{24}"
    )
    assert row.completions[1] == "5 + 5 = 11\n\n"
    assert list(row.labels) == [True] + [False] * 5
    assert row.reference == "23"


def test_soft_labels_are_the_share_of_right_rollouts(run, write_suite, solutions):
    suite = write_suite(slip=0.2)
    _, _, [row] = run("mc", suite, "--solutions", solutions((0, {})), "-k", 64)
    assert row.soft[:-1] == tuple(right / 64 for right in row.right[:-1])
    # Behind step i there are 4 - i sums left, each right with probability 0.8; 4 sigma.
    for i, soft in enumerate(row.soft[:5]):
        expected = 0.8 ** (4 - i)
        assert soft == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 64) ** 0.5)
    assert row.soft[5] == 1.0


def test_rollouts_of_fewer_draws_begin_those_of_more(run, write_suite, solutions):
    suite, file = write_suite(slip=0.3), solutions(*MIXED)
    _, _, few = run("mc", suite, "--solutions", file, "-k", 4, output="few.jsonl")
    _, shown, many = run("mc", suite, "--solutions", file, "-k", 16, output="many.jsonl")
    for a, b in zip(few, many, strict=True):
        assert a.outcomes == tuple(behind[:4] for behind in b.outcomes)
    assert "generated 0 tokens" not in shown.out


def test_neither_order_nor_concurrency_changes_a_label(run, write_suite, solutions, tmp_path):
    suite = write_suite(slip=0.3, luck=0.1)
    options = ["mc", suite, "-k", 8, "--solutions"]
    _, _, one = run(*options, solutions(*MIXED), output="one.jsonl")
    (tmp_path / "results" / "generations.sqlite").unlink()
    reverse = solutions(*reversed(MIXED), name="reversed.jsonl")
    _, _, other = run(*options, reverse, "--concurrency", 1, output="other.jsonl")
    assert one == other


def test_traces_that_begin_alike_share_their_draws_and_each_pays(
    run, write_suite, solutions, tmp_path
):
    file = solutions((0, {3: 1}), (0, {4: 1}), (0, {3: 1}))
    _, shown, rows = run("mc", write_suite(), "--solutions", file, "-k", 4)
    assert len(rows) == 2
    assert "left out: 1 copies" in shown.out
    assert "at most 40 completions" in shown.out
    # Steps 0 to 2 are common to both; 3 and 4 are not.
    assert "28 of them distinct" in shown.out
    assert stored(tmp_path) == 28
    assert [row.usage.requests for row in rows] == [20, 20]


def test_the_cost_is_metered(run, write_suite, solutions, tmp_path):
    file = solutions((0, {}))
    _, shown, [row] = run("mc", write_suite(), "--solutions", file, "-k", 2)
    prompt = len("Add up 1 3 5 2 7 4.\n")
    steps = [len(step) for step in row.completions]
    prefixes = [prompt + sum(steps[: i + 1]) for i in range(5)]
    rests = [sum(steps[i + 1 :]) for i in range(5)]
    assert row.usage.completion_tokens == 2 * sum(rests)
    assert row.usage.prompt_tokens_logical == 2 * sum(prefixes)
    assert row.usage.prompt_tokens_ideal == prefixes[-1], "each prefix contains the one before"
    assert row.usage.flops_logical > row.usage.flops_ideal > 0
    manifest = json.loads((tmp_path / "labels.manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert manifest["totals"]["completion_tokens"] == row.usage.completion_tokens
    assert manifest["totals"]["flops_ideal"] == row.usage.flops_ideal
    assert manifest["settings"]["rollouts"] == 2
    assert f"{row.usage.completion_tokens:,} completion tokens" in shown.out


def test_omega_finds_the_same_first_errors_with_fewer_rollouts(run, write_suite, solutions):
    code, shown, rows = run("omega", write_suite(), "--solutions", solutions(*MIXED), "-k", 4)
    assert code == 0, shown.err
    assert first_errors(rows) == FIRST_ERRORS
    for row, first in zip(rows, FIRST_ERRORS, strict=True):
        right = STEPS if first < 0 else first
        assert row.labels == tuple(i < right for i in range(STEPS))
        probed = sum(map(bool, row.outcomes))
        # Five unsettled steps: log2 of the six places where the error may be, rounded up.
        assert probed == 0 if first < 0 else 2 <= probed <= 3
        assert row.usage.requests == 4 * probed
        assert [value is None for value in row.soft[:-1]] == [not one for one in row.outcomes[:-1]]


def test_errors_that_cancel_out_show_how_the_two_differ(run, write_suite, solutions):
    """Step 2 is wrong and step 4 takes it back, so that the answer is right."""
    suite, file = write_suite(), solutions((0, {2: 1, 4: -1}))
    _, _, [row] = run("mc", suite, "--solutions", file, "-k", 4, output="mc.jsonl")
    assert row.labels == (True, True, False, False, True, True)
    _, _, [row] = run("omega", suite, "--solutions", file, "-k", 4, output="omega.jsonl")
    assert row.labels == (True,) * STEPS
    assert row.usage.requests == 0


@pytest.mark.parametrize("method", ["mc", "omega"])
def test_a_solution_that_was_cut_off_is_judged_by_rollouts_alone(
    run, write_suite, tmp_path, method: str
):
    file = tmp_path / "cut.jsonl"
    rows = [
        {"problem_id": "p0", "finish_reason": "length", "solution": text}
        for text in ("1 + 3 = 4\n\n4 + 5 = 9\n\n9 +", "1 + 3 = 4\n\n4 + 5 = 10\n\n", "1 + 3 = 4")
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    _, shown, found = run(method, write_suite(), "--solutions", file, "-k", 2)
    assert "left out: 1 without a complete step" in shown.out
    assert sorted(row.labels for row in found) == [(True, False), (True, True)]
    assert {row.correct for row in found} == {None}
    assert {row.completions[-1] for row in found} == {"4 + 5 = 9\n\n", "4 + 5 = 10\n\n"}
    if method == "mc":
        assert all(row.rollouts == (2, 2) for row in found)


def test_rollouts_that_are_cut_off_are_told_apart_and_warned_of(run, write_suite, solutions):
    suite = write_suite(sampling={"max_tokens": 12})
    _, shown, [row] = run("mc", suite, "--solutions", solutions((0, {})), "-k", 2)
    assert row.outcomes == ("--", "--", "--", "--", "11", "")
    assert row.labels == (False,) * 4 + (True, True)
    assert "80% of the rollouts were cut off" in shown.err


def test_labels_that_are_all_alike_are_warned_of(run, write_suite, solutions):
    _, shown, _ = run("mc", write_suite(), "--solutions", solutions((0, {}), (1, {})), "-k", 1)
    assert "every step is labelled right" in shown.err
    wrong = solutions((0, {0: 1}), (1, {0: 1}), name="wrong.jsonl")
    _, shown, _ = run("omega", write_suite(), "--solutions", wrong, "-k", 1, output="w.jsonl")
    assert "every step is labelled wrong" in shown.err


def test_a_judge_labels_by_the_first_wrong_step_it_names(run, write_suite, solutions):
    suite = write_suite(engine="JudgeOfSums", sampling={"max_tokens": 500})
    code, _, rows = run("judge", suite, "--solutions", solutions(*MIXED))
    assert code == 0
    assert first_errors(rows) == FIRST_ERRORS
    assert all("First wrong step: " in row.verdict for row in rows)
    assert all(row.usage.requests == 1 and row.usage.completion_tokens > 0 for row in rows)
    assert all(row.soft == row.outcomes == () and row.correct is None for row in rows)


@pytest.mark.parametrize("fault", ["slip", "luck"])
def test_a_judge_without_a_verdict_labels_nothing(
    run, write_suite, solutions, tmp_path, fault: str
):
    suite = write_suite(engine="JudgeOfSums", sampling={"max_tokens": 500}, **{fault: 1.0})
    code, shown, rows = run("judge", suite, "--solutions", solutions(*MIXED), "--tries", 2)
    assert code == 1
    assert rows == []
    assert not (tmp_path / "labels.jsonl").exists()
    assert "6 of 6 solutions failed and have no labels" in shown.err
    errors = errors_of(tmp_path)
    assert len(errors) == 6
    assert all("no verdict in 2 replies" in error["error"] for error in errors)


def test_a_judge_is_asked_again_and_pays_for_it(run, write_suite, solutions):
    suite = write_suite(engine="JudgeOfSums", sampling={"max_tokens": 500}, slip=0.5)
    file = solutions(*MIXED)
    code, _, rows = run("judge", suite, "--solutions", file, "--tries", 12)
    assert code == 0
    assert first_errors(rows) == FIRST_ERRORS
    assert max(row.usage.requests for row in rows) > 1


def test_a_prefix_that_the_model_cannot_read_fails_before_anything_is_spent(
    run, write_suite, solutions, tmp_path
):
    suite = write_suite(max_model_len=60)
    short = tmp_path / "short.jsonl"
    short.write_text(json.dumps({"problem_id": "p1", "solution": "2 + 3 = 5\n\n\\boxed{5}"}) + "\n")
    code, _, _ = run("mc", suite, "--solutions", solutions((0, {})), "-k", 1)
    assert code == 1
    [error] = errors_of(tmp_path)
    assert "step 5 of 6 ends at token 80, and the model reads 60" in error["error"]
    assert stored(tmp_path) == 0
    # One trace that fails does not keep the others from their labels.
    both = tmp_path / "both.jsonl"
    both.write_text(solutions((0, {})).read_text() + short.read_text())
    code, _, rows = run("mc", suite, "--solutions", both, "-k", 1, output="both-labels.jsonl")
    assert (code, [row.problem_id for row in rows]) == (1, ["p1"])


def test_what_failed_is_tried_again_and_what_is_there_is_not(
    run, write_suite, solutions, tmp_path, monkeypatch
):
    suite, file = write_suite(), solutions(*MIXED)
    monkeypatch.setenv("ADDER_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("ADDER_FAIL_AT", "7")
    code, _, before = run("mc", suite, "--solutions", file, "-k", 1)
    assert code == 1
    assert 0 < len(before) < 6
    monkeypatch.delenv("ADDER_FAIL_AT")
    code, _, after = run("mc", suite, "--solutions", file, "-k", 1)
    assert code == 0
    assert first_errors(after) == FIRST_ERRORS
    assert not (tmp_path / "labels.errors.jsonl").exists()
    asked = len((tmp_path / "log").read_text().splitlines())
    code, shown, again = run("mc", suite, "--solutions", file, "-k", 1)
    assert again == after
    assert len((tmp_path / "log").read_text().splitlines()) == asked
    assert "generated 0 tokens" in shown.out


def spawn(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    script = (
        "import sys; from tts_bench.commands.label import label; "
        "sys.exit(label(standalone_mode=False))"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )


def test_after_kill_9_no_rollout_is_repeated_or_lost(run, write_suite, solutions, tmp_path):
    suite, file, log = write_suite(slip=0.3), solutions(*MIXED), tmp_path / "log"
    _, _, whole = run("mc", suite, "--solutions", file, "-k", 8, output="whole.jsonl")
    total = stored(tmp_path)
    torn = tmp_path / "torn"
    words = ["mc", suite, "--solutions", file, "-k", 8, "--output", torn / "labels.jsonl"]
    words += ["--output-path", torn / "results", "--concurrency", 2]
    killed = spawn(*words, ADDER_LOG=str(log), ADDER_DIE_AFTER="150")
    assert killed.returncode == -9, killed.stderr
    there = stored(torn)
    lines = (torn / "labels.jsonl").read_bytes()
    assert 0 < there < total
    assert 0 < lines.count(b"\n") < 6
    with (torn / "labels.jsonl").open("ab") as labels:
        labels.write(b'{"id": "to')  # as if killed within a write
    log.unlink()
    resumed = spawn(*words, ADDER_LOG=str(log))
    assert resumed.returncode == 0, resumed.stderr
    assert len(log.read_text().splitlines()) == total - there
    assert stored(torn) == total
    assert (torn / "labels.jsonl").read_bytes().startswith(lines)
    rows = read_labels(torn / "labels.jsonl").values()
    assert sorted(rows, key=lambda row: row.problem_id) == whole
    manifest = json.loads((torn / "labels.manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert [session["status"] for session in manifest["earlier_sessions"]] == ["running"]


def test_a_job_that_is_told_to_stop_says_how_to_go_on(run, write_suite, solutions, tmp_path):
    suite, file = write_suite(), solutions(*MIXED)
    words = ["mc", suite, "--solutions", file, "-k", 4, "--concurrency", 2]
    where = ["--output", tmp_path / "labels.jsonl", "--output-path", tmp_path / "results"]
    stopped = spawn(*words, *where, ADDER_TERM_AFTER="60")
    assert stopped.returncode == 130, stopped.stderr
    assert "the same command again continues" in stopped.stderr
    manifest = json.loads((tmp_path / "labels.manifest.json").read_text())
    assert manifest["status"] == "cancelled"
    assert 0 < manifest["totals"]["traces"] < 6
    code, _, rows = run(*words)
    assert code == 0
    assert first_errors(rows) == FIRST_ERRORS


def test_labels_of_another_job_are_not_mixed_in(run, write_suite, solutions, tmp_path):
    suite, file = write_suite(), solutions(*MIXED)
    run("mc", suite, "--solutions", file, "-k", 2)
    with pytest.raises(UsageError, match="made with rollouts 2, which is now 3"):
        run("mc", suite, "--solutions", file, "-k", 3)
    with pytest.raises(UsageError, match='made with method "mc", which is now "omega"'):
        run("omega", suite, "--solutions", file, "-k", 2)
    with pytest.raises(UsageError, match=r"engine\.max_model_len not set, which is now 99"):
        run("mc", write_suite(max_model_len=99), "--solutions", file, "-k", 2)
    (tmp_path / "labels.manifest.json").unlink()
    with pytest.raises(UsageError, match=r"exists, without labels\.manifest\.json"):
        run("mc", suite, "--solutions", file, "-k", 2)


def test_more_solutions_of_the_same_job_are_added(run, write_suite, solutions):
    suite = write_suite()
    run("mc", suite, "--solutions", solutions(*MIXED), "-k", 2, "--limit", 2)
    _, _, rows = run("mc", suite, "--solutions", solutions(*MIXED), "-k", 2)
    assert first_errors(rows) == FIRST_ERRORS


def test_a_dry_run_says_the_cost_and_leaves_nothing(run, write_suite, solutions, tmp_path):
    options = ["--solutions", solutions(*MIXED), "-k", 32, "--dry-run"]
    code, shown, _ = run("mc", write_suite(), *options)
    assert code == 0
    assert "solutions 6 of 6 problems, 36 steps" in shown.out
    assert "at most 960 completions (32 rollouts behind each of 30 steps)" in shown.out
    assert "at most 192,000 tokens to generate" in shown.out
    _, shown, _ = run("omega", write_suite(), *options)
    assert "at most 576 completions (32 rollouts at each of at most 18 probes)" in shown.out
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "labels.jsonl").exists()


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"temperature": 0.0}, "all rollouts are one and the same"),
        ({"stop": ["\n"]}, "a rollout would end after one step"),
    ],
)
def test_sampling_that_makes_no_rollouts_is_refused(
    run, write_suite, solutions, sampling: dict, message: str
):
    with pytest.raises(UsageError, match=message):
        run("mc", write_suite(sampling=sampling), "--solutions", solutions(*MIXED))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mc", "--rollouts", 0], "--rollouts 0"),
        (["judge", "--tries", 0], "--tries 0"),
        (["mc", "--column", "solution"], "must be ROLE=NAME"),
        (["mc", "--column", "solutio=x"], "Did you mean 'solution'"),
        (["mc", "--limit", 0], "--limit 0"),
        (["mc", "--delimiter", ""], "--delimiter"),
    ],
)
def test_wrong_options_are_one_clear_error(
    run, write_suite, solutions, words: list[object], message: str
):
    with pytest.raises(UsageError, match=message):
        run(*words, write_suite(), "--solutions", solutions(*MIXED))


def test_consensus_keeps_what_two_files_agree_on(run, write_suite, solutions, tmp_path):
    # Rollouts that are right by luck hide the errors from Monte Carlo, not from the judge.
    file = solutions(*MIXED)
    _, _, mc = run("mc", write_suite(luck=0.2), "--solutions", file, "-k", 4, output="a.jsonl")
    judge = write_suite(engine="JudgeOfSums", sampling={"max_tokens": 500})
    run("judge", judge, "--solutions", file, output="b.jsonl")
    out = tmp_path / "kept.jsonl"
    words = ["consensus", tmp_path / "a.jsonl", tmp_path / "b.jsonl", "--output", out]
    assert label(args=list(map(str, words)), standalone_mode=False) == 0
    kept = read_labels(out)
    agreed = {
        row.id for row, first in zip(mc, FIRST_ERRORS, strict=True) if row.first_error == first
    }
    assert set(kept) == agreed
    assert 0 < len(agreed) < 6
    assert {row.method for row in kept.values()} == {"mc+judge"}
    with pytest.raises(UsageError, match="exists"):
        label(args=list(map(str, words)), standalone_mode=False)
