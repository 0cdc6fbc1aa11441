"""Whole runs on scripted engines: resume, failure, interruption, replay."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
import yaml
from command_line import Done

from tts_bench.report.build import build_report, write_report
from tts_bench.store.folders import held, new_run
from tts_bench.store.generations import TextReader
from tts_bench.store.manifest import RunManifest
from tts_bench.store.runs import RunStore, resolve_run

PLUGIN = Path(__file__).parents[1] / "plugins" / "scripted.py"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 12},
    "engine": {"name": f"{PLUGIN}:Arithmetic"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "strategies": [
        "greedy",
        {"strategy": "best_of_n", "n": [1, 4, 8]},
        {"strategy": "self_consistency", "n": [1, 4, 8]},
    ],
}
ATTEMPTS = 12 * 3


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(yaml.safe_dump(SUITE))
    return path


@pytest.fixture
def bench(undrawn, drawing_bench):
    """Runs `tts-bench run` on the suite, in this process; its report has no figures."""
    return drawing_bench


@pytest.fixture
def drawing_bench(suite: Path, tmp_path: Path, cli):
    """The same with figures."""

    def bench(*options: str, output: str = "results") -> Done:
        return cli("run", suite, *options, "--output-path", tmp_path / output)

    return bench


@pytest.fixture
def spawn(suite: Path, tmp_path: Path):
    """Runs `tts-bench run` on the suite in a process of its own, which may be killed."""

    def spawn(*options: str, **environment: str) -> Done:
        words = [sys.executable, "-m", "tts_bench", "run", str(suite), *options]
        done = subprocess.run(
            [*words, "--output-path", str(tmp_path / "results")],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | environment,
            preexec_fn=_heed_signals,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return spawn


def _heed_signals() -> None:
    """Tests that run in the background, or under nohup, ignore these, and so would a child."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def lines(tmp_path: Path, output: str = "results") -> list[bytes]:
    """The attempts of the latest run, sorted: the order in which they end means nothing."""
    run = resolve_run(tmp_path / output / "s")
    return sorted(run.attempts_path.read_bytes().splitlines())


def manifest(tmp_path: Path, output: str = "results") -> RunManifest:
    return resolve_run(tmp_path / output / "s").read_manifest()


def without_keys(rows: list[bytes]) -> list[dict]:
    """Attempts without the keys of their completions, which a fresh run has its own of."""
    found = [json.loads(row) for row in rows]
    for row in found:
        del row["pool"]["generation"]
    return found


def runs(tmp_path: Path, output: str = "results") -> int:
    return len(list((tmp_path / output / "s").glob("*Z_*")))


def test_a_run_leaves_every_file_and_ends_with_0(drawing_bench, tmp_path: Path):
    done = drawing_bench()
    assert done.returncode == 0, done.stderr
    folder = resolve_run(tmp_path / "results" / "s").folder
    assert {path.name for path in folder.iterdir()} >= {
        "attempts.jsonl",
        "measurements.jsonl",
        "manifest.json",
        "suite.yaml",
        "summary.json",
        "table.md",
        "table.csv",
        "candidates.parquet",
        "accuracy_vs_tokens.png",
        "coverage.png",
        "by_level.png",
    }
    assert len(lines(tmp_path)) == ATTEMPTS
    assert manifest(tmp_path).status == "complete"
    assert (folder / "suite.yaml").read_text() == (tmp_path / "s.yaml").read_text()


def test_strategies_share_their_draws_and_each_is_charged_for_them(bench, tmp_path: Path):
    bench()
    rows = [json.loads(line) for line in lines(tmp_path)]
    of = {(row["cell"], row["problem"]): row for row in rows}
    for row in rows:
        if row["cell"].startswith("best_of_n"):
            other = of["self_consistency?n=8", row["problem"]]
            assert other["pool"]["generation"] == row["pool"]["generation"]
            assert other["policy"] == row["policy"]
            assert row["policy"]["requests"] == 8


def test_the_same_command_again_repeats_nothing(bench, tmp_path: Path):
    bench()
    before = lines(tmp_path)
    again = bench()
    assert again.returncode == 0
    assert f"({ATTEMPTS} already done)" in again.stdout
    assert lines(tmp_path) == before
    assert runs(tmp_path) == 1


@pytest.mark.parametrize("die_after", ["1", "30", "95"])
def test_kill_9_at_any_moment_and_the_same_command_give_the_same_attempts(
    bench, spawn, tmp_path: Path, die_after: str
):
    assert bench(output="whole").returncode == 0
    assert spawn("--concurrency", "2", SCRIPTED_DIE_AFTER=die_after).returncode == -9
    run = resolve_run(tmp_path / "results" / "s")
    assert run.read_manifest().status == "running"
    finished = sum(1 for _ in run.attempts())
    with run.attempts_path.open("ab") as file:
        file.write(b'{"cell": "torn in the mid')  # what a crash within a write leaves
    resumed = bench("--concurrency", "64")
    assert resumed.returncode == 0, resumed.stderr
    assert f"({finished} already done)" in resumed.stdout
    assert runs(tmp_path) == 1
    assert lines(tmp_path) == lines(tmp_path, "whole")
    # What was drawn and stored before the kill was not drawn again.
    whole = manifest(tmp_path, "whole").throughput.generated_tokens
    assert manifest(tmp_path).throughput.generated_tokens <= whole
    if die_after == "95":
        assert manifest(tmp_path).throughput.generated_tokens < whole / 2


def test_concurrency_changes_nothing(bench, tmp_path: Path):
    for concurrency in ("1", "64"):
        assert bench("--concurrency", concurrency, output=concurrency).returncode == 0
    assert lines(tmp_path, "1") == lines(tmp_path, "64")


def test_ctrl_c_leaves_a_resumable_run_and_prints_the_command(bench, spawn, tmp_path: Path):
    stopped = spawn("--concurrency", "2", SCRIPTED_INTERRUPT_AFTER="40")
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "continue with: tts-bench run" in stopped.stderr
    assert manifest(tmp_path).status == "cancelled"
    assert bench().returncode == 0
    assert runs(tmp_path) == 1
    assert len(lines(tmp_path)) == ATTEMPTS
    assert manifest(tmp_path).status == "complete"


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "SIGTERM twice", "SIGHUP twice"])
def test_other_signals_do_as_ctrl_c_does(bench, spawn, tmp_path: Path, how: str):
    name, _, twice = how.partition(" ")
    fate = {"SCRIPTED_TWICE": "yes"} if twice else {}
    stopped = spawn(
        "--concurrency", "2", SCRIPTED_INTERRUPT_AFTER="40", SCRIPTED_SIGNAL=name, **fate
    )
    assert stopped.returncode == 130, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "continue with: tts-bench run" in stopped.stderr
    assert manifest(tmp_path).status == "cancelled"
    assert bench().returncode == 0
    assert len(lines(tmp_path)) == ATTEMPTS


def test_a_failed_attempt_is_a_row_that_counts_as_wrong_and_is_tried_again(
    bench, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "11")
    failed = bench()
    assert failed.returncode == 1, failed.stderr
    rows = [json.loads(line) for line in lines(tmp_path)]
    errors = [row for row in rows if row["status"] == "error"]
    assert errors
    assert len(rows) == ATTEMPTS
    assert all(not row["correct"] and "scripted failure" in row["error"] for row in errors)
    summary = json.loads(
        (resolve_run(tmp_path / "results" / "s").folder / "summary.json").read_text()
    )
    assert sum(point["errors"] for point in summary["points"]) >= len(errors)
    monkeypatch.delenv("SCRIPTED_FAIL_AT")
    again = bench()
    assert again.returncode == 0, again.stderr
    attempts = list(resolve_run(tmp_path / "results" / "s").attempts())
    assert len(attempts) == ATTEMPTS
    assert all(attempt.status != "error" for attempt in attempts)


def test_fresh_begins_anew_and_gives_the_same(bench, tmp_path: Path):
    bench()
    before = without_keys(lines(tmp_path))
    assert bench("--fresh").returncode == 0
    assert runs(tmp_path) == 2
    assert without_keys(lines(tmp_path)) == before
    assert manifest(tmp_path).throughput.generated_tokens > 0


def test_a_fresh_run_that_was_killed_goes_on_with_its_own_completions(bench, spawn, tmp_path: Path):
    bench()
    old = resolve_run(tmp_path / "results" / "s")
    texts = pd.read_parquet(old.folder / "candidates.parquet")
    generated = manifest(tmp_path).throughput.generated_tokens
    killed = spawn("--fresh", "--concurrency", "2", SCRIPTED_DIE_AFTER="60")
    assert killed.returncode == -9
    assert bench().returncode == 0
    assert runs(tmp_path) == 2
    # Nothing came from the first run's draws, and nothing of those was touched.
    assert generated / 4 < manifest(tmp_path).throughput.generated_tokens < generated
    keys = {key for line in lines(tmp_path) for key in json.loads(line)["pool"]["generation"]}
    assert not keys & set(texts.generation)
    write_report(old)
    pd.testing.assert_frame_equal(pd.read_parquet(old.folder / "candidates.parquet"), texts)


def test_attempts_of_two_models_never_stand_in_one_run(bench, spawn, tmp_path: Path, monkeypatch):
    assert spawn("--concurrency", "2", SCRIPTED_DIE_AFTER="60").returncode == -9
    before = lines(tmp_path)
    monkeypatch.setenv("SCRIPTED_REVISION", "retrained")
    refused = bench()
    assert refused.returncode == 2
    assert "begun with revision , which is now retrained" in refused.stderr
    assert "--fresh" in refused.stderr
    assert lines(tmp_path) == before
    assert bench("--fresh").returncode == 0


def test_a_selection_of_strategies_is_a_run_of_its_own(bench, spawn, tmp_path: Path):
    assert spawn("--concurrency", "2", SCRIPTED_DIE_AFTER="60").returncode == -9
    only = bench("--strategy", "greedy")
    assert only.returncode == 0
    assert "= 12 attempts (0 already done)" in only.stdout
    assert len(lines(tmp_path)) == 12
    assert bench().returncode == 0
    assert len(lines(tmp_path)) == ATTEMPTS


def test_a_run_that_was_killed_after_its_last_attempt_is_completed(bench, tmp_path: Path):
    bench()
    run = resolve_run(tmp_path / "results" / "s")
    run.write_manifest(run.read_manifest().changed(status="running", ended=None))
    assert bench().returncode == 0
    assert manifest(tmp_path).status == "complete"
    assert manifest(tmp_path).ended


def test_the_manifest_remembers_earlier_sessions(bench, spawn, tmp_path: Path):
    spawn("--concurrency", "2", SCRIPTED_DIE_AFTER="60")
    bench()
    [earlier] = manifest(tmp_path).earlier_sessions
    assert earlier.status == "running"
    assert "--concurrency" in earlier.argv


BAD_STRATEGIES = {
    "cancels": ("import asyncio; raise asyncio.CancelledError", "cancelled itself"),
    "exits": ("raise SystemExit(0)", "SystemExit"),
    "returns_a_list": ("return await session.sample(2)", "solve returned list, not Solution"),
    "invents": (
        "[one] = await session.sample(1)\n"
        "        import dataclasses\n"
        "        return Solution((dataclasses.replace(one, answer='7'),), 0)",
        "did not come from this session",
    ),
    "extends_what_it_never_drew": (
        "[one] = await session.sample(1)\n"
        "        import dataclasses\n"
        "        longer = dataclasses.replace(one, token_ids=one.token_ids * 99)\n"
        "        return Solution(tuple(await session.extend([longer])), 0)",
        "did not come from this session",
    ),
    "scores_without_end": (
        "drawn = await session.sample(1)\n"
        "        return Solution(tuple(drawn), 0, (Score(float('inf')),))",
        "a score must be a finite number",
    ),
}


@pytest.mark.parametrize("name", BAD_STRATEGIES)
def test_what_a_strategy_does_wrong_is_an_error_row_and_never_ends_the_run(
    bench, tmp_path: Path, name: str
):
    body, message = BAD_STRATEGIES[name]
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / f"{name}.py").write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench import Problem, Score, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Bad(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        f"        {body}\n"
    )
    done = bench(
        "--include-path", str(tmp_path / "plugins"), "--set", f"strategies=[greedy, {name}]"
    )
    assert done.returncode == 1, done.stderr
    rows = [json.loads(line) for line in lines(tmp_path)]
    errors = [row for row in rows if row["cell"] == name]
    assert len(errors) == 12
    assert all(row["status"] == "error" and message in row["error"] for row in errors)
    assert sum(row["status"] == "ok" for row in rows) == 12


def test_what_a_strategy_asks_for_at_once_stays_within_the_budget(bench, tmp_path: Path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "greedily.py").write_text(
        "import asyncio\n"
        "from dataclasses import dataclass\n"
        "from tts_bench import Problem, Session, Solution, Strategy\n"
        "@dataclass(frozen=True)\n"
        "class Greedily(Strategy):\n"
        "    async def solve(self, problem: Problem, session: Session) -> Solution:\n"
        "        drawn = await asyncio.gather(*(session.sample(4) for _ in range(3)),\n"
        "                                     return_exceptions=True)\n"
        "        pools = [one for one in drawn if isinstance(one, list)]\n"
        "        return Solution(tuple(one for pool in pools for one in pool), None)\n"
    )
    options = ["--include-path", str(tmp_path / "plugins"), "--set", "budget.tokens=80"]
    assert bench(*options, "--set", "strategies=[greedily]").returncode == 0
    rows = [json.loads(line) for line in lines(tmp_path)]
    assert all(0 < row["policy"]["completion_tokens"] <= 80 for row in rows)


def test_replay_needs_no_engine_and_a_miss_ends_the_run(bench, tmp_path: Path, monkeypatch):
    bench()
    before = lines(tmp_path)
    monkeypatch.setenv("SCRIPTED_FAIL_AT", "1")  # every real request would fail
    replayed = bench("--fresh", "--replay")
    assert replayed.returncode == 2
    assert "--fresh and --replay" in replayed.stderr
    replayed = bench("--replay", "--set", "name=s2")
    assert replayed.returncode == 0, replayed.stderr
    other = sorted(resolve_run(tmp_path / "results" / "s2").attempts_path.read_bytes().splitlines())
    assert other == before
    missed = bench("--replay", "--seeds", "5")
    assert missed.returncode == 2
    [line] = [one for one in missed.stderr.splitlines() if one.startswith("error: ")]
    where, what = line.split(", seed 5: ")
    cell, problem = where.removeprefix("error: ").split(" on ")
    assert cell in [one.id for one in manifest(tmp_path).cells]
    assert problem in [one.id for one in manifest(tmp_path).problems]
    assert what == "a completion was never recorded; the same command without --replay makes it"
    assert "Traceback" not in missed.stderr


def test_limit_marks_the_run_partial_and_more_problems_reuse_its_draws(bench, tmp_path: Path):
    assert bench("--limit", "5").returncode == 0
    assert manifest(tmp_path).partial is True
    assert len(lines(tmp_path)) == 5 * 3
    assert bench("--limit", "3-12").returncode == 0
    assert len(lines(tmp_path)) == 10 * 3
    assert manifest(tmp_path).throughput.requests_from_store > 0
    assert bench().returncode == 0
    assert manifest(tmp_path).throughput.generated_tokens == 0


@pytest.mark.parametrize("limit", ["0", "x", "5-3", "13-14", "-3", "1-"])
def test_a_senseless_limit_is_a_usage_error(bench, limit):
    done = bench(f"--limit={limit}")
    assert done.returncode == 2
    assert "--limit" in done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_runs_nothing_and_writes_nothing(bench, tmp_path: Path):
    done = bench("--dry-run")
    assert done.returncode == 0
    assert "at most 6,912 completion tokens" in done.stdout  # 12 problems x (1 + 8) x 64
    assert "Compute" in done.stdout
    assert "nothing was run." in done.stdout
    assert not (tmp_path / "results").exists()


def test_a_budget_is_kept_by_every_attempt(bench, tmp_path: Path):
    assert bench("--set", "budget.tokens=40").returncode == 0
    rows = [json.loads(line) for line in lines(tmp_path)]
    assert all(row["policy"]["completion_tokens"] <= 40 for row in rows)


def test_two_processes_cannot_write_to_one_run(bench, tmp_path: Path):
    bench()
    run = resolve_run(tmp_path / "results" / "s")
    run.open()
    try:
        second = bench()
    finally:
        run.close()
    assert second.returncode == 2
    assert "another process is writing to this run" in second.stderr


def test_a_second_command_while_the_first_loads_its_model_says_so_and_begins_nothing(
    bench, tmp_path: Path
):
    bench()
    folder = tmp_path / "results" / "s"
    first = resolve_run(folder)
    suite_hash = first.read_manifest().suite_hash
    shutil.rmtree(first.folder)
    with held(folder):
        loading = new_run(folder, suite_hash)
    try:
        twin, fresh = bench(), bench("--fresh")
    finally:
        loading.close()
    assert twin.returncode == 2
    assert twin.stderr.splitlines() == [
        f"error: {loading.folder}: process {os.getpid()} has begun this very run: wait for it, or "
        "begin another with --fresh"
    ]
    assert fresh.returncode == 0, fresh.stderr
    assert resolve_run(folder).folder != loading.folder


def test_a_run_makes_damaged_lines_again_from_the_store(bench, tmp_path: Path):
    bench()
    run = resolve_run(tmp_path / "results" / "s")
    whole = lines(tmp_path)
    rows = run.attempts_path.read_bytes().splitlines(keepends=True)
    rows[3] = rows[3].replace(b'"seed":0', b'"seed":1')
    rows[5] = rows[5].replace(b'"correct":true', b'"correct":false', 1)
    run.attempts_path.write_bytes(b"\n" + b"".join(rows) + rows[7])
    measured = run.measurements_path.read_bytes()
    run.measurements_path.write_bytes(b"\n{}\n" + measured)
    report = build_report(run)
    assert report.scope.finished is False
    assert [note for note in report.notes if "left out" in note]
    done = bench()
    assert done.returncode == 0
    assert "left out: " in done.stdout + done.stderr
    assert lines(tmp_path) == whole
    assert run.faults() == []
    assert run.read_manifest().status == "complete"
    assert run.read_manifest().throughput.generated_tokens == 0


def test_a_run_draws_damaged_completions_again(bench, tmp_path: Path):
    bench()
    run = resolve_run(tmp_path / "results" / "s")
    whole = lines(tmp_path)
    store = tmp_path / "results" / "generations.sqlite"
    key = next(iter(run.attempts())).pool.generation[0]
    with closing(sqlite3.connect(store)) as connection, connection:
        text = connection.execute("SELECT text FROM completions WHERE key = ?", (key,)).fetchone()
        changed = chr(ord(text[0][0]) ^ 1) + text[0][1:]
        connection.execute("UPDATE completions SET text = ? WHERE key = ?", (changed, key))
    assert TextReader(store).read([key]) == {}
    done = bench()
    assert done.returncode == 0
    assert "damaged completions" in done.stdout + done.stderr
    assert lines(tmp_path) == whole
    assert TextReader(store).read([key]) == {key: text[0]}
    assert run.read_manifest().throughput.generated_tokens > 0


def test_after_the_clock_went_back_the_newest_run_goes_on(bench, tmp_path: Path):
    bench()
    folder = tmp_path / "results" / "s"
    early = resolve_run(folder).folder
    later = folder / f"2099-01-01T00-00-00Z_{early.name[-4:]}"  # what a wrong clock had made of it
    early.rename(later)
    bench("--fresh")
    newest = resolve_run(folder).folder
    assert newest.name < later.name
    done = bench()
    assert f"run       {newest}" in done.stdout
    assert "(36 already done)" in done.stdout


def test_a_model_that_cannot_start_leaves_no_empty_run(bench, tmp_path: Path):
    done = bench("--set", "engine={name: transformers, model: no/where/at/all}")
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) <= 3
    assert not list((tmp_path / "results" / "s").glob("*Z_*"))


def test_several_seeds_are_several_attempts(bench, tmp_path: Path):
    assert bench("--seeds", "0,1").returncode == 0
    rows = [json.loads(line) for line in lines(tmp_path)]
    assert len(rows) == 2 * ATTEMPTS
    pools = {(row["cell"], row["problem"], row["seed"]): row["pool"]["generation"] for row in rows}
    for (cell, problem, seed), generation in pools.items():
        if seed == 0 and cell != "greedy":
            assert not set(generation) & set(pools[cell, problem, 1])


def test_report_rebuilds_everything_from_the_attempts(drawing_bench, tmp_path: Path):
    drawing_bench()
    folder = resolve_run(tmp_path / "results" / "s").folder
    derived = ["summary.json", "table.md", "table.csv", "candidates.parquet", "coverage.png"]
    before = {name: (folder / name).read_bytes() for name in derived}
    for name in derived:
        (folder / name).unlink()
    write_report(resolve_run(folder))
    for name in ("summary.json", "table.md", "table.csv", "coverage.png"):
        assert (folder / name).read_bytes() == before[name], name


def test_attempts_read_back_as_written(bench, tmp_path: Path):
    bench()
    run: RunStore = resolve_run(tmp_path / "results" / "s")
    attempts = list(run.attempts())
    measured = run.measurements()
    assert {attempt.key for attempt in attempts} == set(measured)
    for attempt in attempts:
        assert len(attempt.pool) == (1 if attempt.cell == "greedy" else 8)
        assert attempt.status in ("ok", "no_answer")
        if attempt.chosen is not None:
            assert attempt.answer == attempt.pool.answer[attempt.chosen]
            assert attempt.correct == (attempt.pool.correct[attempt.chosen] is True)


def test_a_finished_run_is_priced_anew_by_the_same_command(bench, tmp_path: Path):
    def dollars() -> float | None:
        folder = resolve_run(tmp_path / "results" / "s").folder
        return json.loads((folder / "summary.json").read_text())["points"][0].get("dollars")

    assert bench().returncode == 0
    assert dollars() is None
    before = lines(tmp_path)
    assert bench("--set", "engine.price={input: 1, output: 2}").returncode == 0
    once = dollars()
    assert once
    assert bench("--set", "engine.price={input: 2, output: 4}").returncode == 0
    assert dollars() == pytest.approx(2 * once)
    assert bench().returncode == 0
    assert dollars() is None
    assert (runs(tmp_path), lines(tmp_path)) == (1, before)
