"""A run's candidates through `verify`, against what the run's own report says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from tts_bench.store.runs import resolve_run
from tts_bench.suite.registry import Registry
from tts_bench.types import Score
from tts_bench.verifier.base import Scoring
from tts_bench.verifier_eval.measures import Choices
from tts_bench.verifier_eval.selection import read_pools, scored, select

PLUGINS = Path(__file__).parents[1] / "plugins"
SUITE = {
    "dataset": {"name": "arithmetic", "problems": 15},
    "engine": {"name": f"{PLUGINS / 'scripted.py'}:Arithmetic"},
    "verifier": {"name": f"{PLUGINS / 'verifier.py'}:Length"},
    "sampling": {"max_tokens": 64, "temperature": 0.8},
    "seeds": [0, 1],
    "strategies": [
        "greedy",
        {"strategy": "best_of_n", "n": [1, 2, 4, 8]},
        {"strategy": "self_consistency", "n": [1, 2, 4, 8]},
    ],
}


@pytest.fixture(scope="module")
def results(cli, tmp_path_factory) -> Path:
    """A finished run of a strategy that chooses by a verifier, and its report."""
    folder = tmp_path_factory.mktemp("selection")
    (folder / "s.yaml").write_text(yaml.safe_dump(SUITE))
    (folder / "v.yaml").write_text(yaml.safe_dump({"verifier": SUITE["verifier"]}))
    (folder / "o.yaml").write_text(
        yaml.safe_dump({"verifier": {"name": f"{PLUGINS / 'oracle.py'}:Written"}})
    )
    assert cli("run", folder / "s.yaml", "-o", folder / "results").returncode == 0
    return folder


@pytest.fixture
def run(results: Path):
    return resolve_run(results / "results" / "s")


@pytest.fixture
def verify(cli, results: Path, tmp_path: Path):
    """Evaluates a verifier on the run's candidates; returns the record that it leaves."""

    def verify(verifier: str, *options: str) -> dict:
        words = [results / verifier, results / "results/s/latest", "--output", tmp_path / "out"]
        done = cli("verify", *words, "--resamples", "50", *options)
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / "out" / "verify.json").read_text())

    return verify


def test_the_runs_own_verifier_gives_the_runs_own_curves(verify, run, tmp_path: Path):
    """Accuracy of each n is that of the report, which took it from the scores of the run."""
    record = verify("v.yaml")
    summary = json.loads((run.folder / "summary.json").read_text())
    report = {
        (point["strategy"], point["n"]): point["metrics"][0]["value"] for point in summary["points"]
    }
    lines = record["selection"]
    for strategy, line in (("best_of_n", "best"), ("self_consistency", "majority")):
        assert [at["candidates"] for at in lines[line]] == [1, 2, 4, 8]
        for at in lines[line]:
            assert at["value"] == pytest.approx(report[strategy, at["candidates"]]), (
                line,
                at["candidates"],
            )
    [curve] = [one for one in summary["coverage"] if one["draws"] == 8]
    coverage = {at["k"]: at["metrics"][0]["value"] for at in curve["points"]}
    for at in lines["coverage"]:
        assert at["value"] == pytest.approx(coverage[at["candidates"]])
    assert record["data"]["texts"] == 15 * 2 * 8
    assert (tmp_path / "out" / "best_of_n.png").stat().st_size > 0
    assert (tmp_path / "out" / "best_of_n.svg").stat().st_size > 0


def test_another_verifier_scores_the_same_texts(verify):
    record = verify("o.yaml")
    # It finds no score in any text, so all candidates are alike: best of n is one of them.
    by_n = {at["candidates"]: at["value"] for at in record["selection"]["best"]}
    majority = {at["candidates"]: at["value"] for at in record["selection"]["majority"]}
    coverage = {at["candidates"]: at["value"] for at in record["selection"]["coverage"]}
    assert by_n[8] <= coverage[8]
    assert [record["metrics"][0]["value"], majority[1]] == [0.5, coverage[1]]
    assert record["spent"]["requests"] == 15 * 2 * 8


def test_limit_takes_the_first_problems(verify):
    record = verify("v.yaml", "--limit", "4")
    assert (record["data"]["problems"], record["data"]["texts"]) == (4, 4 * 2 * 8)


def test_perfect_scores_reach_coverage_and_a_failed_candidate_leaves_its_pool(run):
    pools = read_pools(run, Registry())
    flags = [correct is True for drawn in pools for correct in drawn.correct]
    outcomes: list[Scoring | str] = [Scoring(Score(float(flag))) for flag in flags]
    perfect = select(scored(pools, outcomes), Choices(resamples=20))
    for best, bound in zip(perfect.lines["best"], perfect.lines["coverage"], strict=True):
        assert best.accuracy.value == pytest.approx(bound.accuracy.value)
    within = next(one for one in perfect.evaluation.figures if one.name == "  within a problem")
    assert within.estimate is not None
    assert within.estimate.value == 1.0
    outcomes[0] = "too long"
    left = scored(pools, outcomes)
    assert len(left[0].candidates) == 7
    assert left[0].candidates == pools[0].candidates[1:]
    assert [at.n for at in select(left, Choices(resamples=20)).lines["best"]] == [1, 2, 4, 7]


def test_texts_and_problems_that_are_gone_are_one_line(cli, results: Path, run, tmp_path: Path):
    gone = tmp_path / "s" / "r"
    gone.mkdir(parents=True)
    for name in ("manifest.json", "attempts.jsonl", "measurements.jsonl"):
        shutil.copy(run.folder / name, gone / name)
    words = ["verify", results / "v.yaml", gone, "-o", tmp_path / "out"]
    code, _, err = cli(*words)
    assert code == 2
    assert "no generation store there" in err
    manifest = json.loads((gone / "manifest.json").read_text())
    manifest["dataset"]["content_hash"] = "another"
    (gone / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = cli(*words)
    assert code == 2
    assert "has changed since the run" in err


def test_a_run_without_a_pool_has_nothing_to_choose_from(cli, results: Path, run, tmp_path: Path):
    bare = tmp_path / "s" / "r"
    bare.mkdir(parents=True)
    shutil.copy(run.folder / "manifest.json", bare)
    (bare / "attempts.jsonl").write_text("")
    code, _, err = cli("verify", results / "v.yaml", bare, "-o", tmp_path / "o")
    assert code == 2
    assert "no pool of candidates; run best_of_n or a vote" in err
