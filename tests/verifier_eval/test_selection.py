"""A run's candidates through `verify`, against what the run's own report says."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from tts_bench.cli import main
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


def command(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tts-bench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A finished run of a strategy that chooses by a verifier, and its report."""
    folder = tmp_path_factory.mktemp("selection")
    (folder / "s.yaml").write_text(yaml.safe_dump(SUITE))
    (folder / "v.yaml").write_text(yaml.safe_dump({"verifier": SUITE["verifier"]}))
    (folder / "o.yaml").write_text(
        yaml.safe_dump({"verifier": {"name": f"{PLUGINS / 'oracle.py'}:Written"}})
    )
    assert command("run", str(folder / "s.yaml"), "-o", str(folder / "results")) == 0
    return folder


@pytest.fixture
def run(results: Path):
    return resolve_run(results / "results" / "s")


def verify(results: Path, verifier: str, output: Path, *options: str) -> dict:
    words = [str(results / verifier), str(results / "results/s/latest"), "--output", str(output)]
    assert command("verify", *words, "--resamples", "50", *options) == 0
    return json.loads((output / "verify.json").read_text())


def test_the_runs_own_verifier_gives_the_runs_own_curves(results: Path, run, tmp_path: Path):
    """Accuracy of each n is that of the report, which took it from the scores of the run."""
    record = verify(results, "v.yaml", tmp_path / "out")
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


def test_another_verifier_scores_the_same_texts(results: Path, tmp_path: Path):
    record = verify(results, "o.yaml", tmp_path / "out")
    # It finds no score in any text, so all candidates are alike: best of n is one of them.
    by_n = {at["candidates"]: at["value"] for at in record["selection"]["best"]}
    majority = {at["candidates"]: at["value"] for at in record["selection"]["majority"]}
    coverage = {at["candidates"]: at["value"] for at in record["selection"]["coverage"]}
    assert by_n[8] <= coverage[8]
    assert [record["metrics"][0]["value"], majority[1]] == [0.5, coverage[1]]
    assert record["spent"]["requests"] == 15 * 2 * 8


def test_limit_takes_the_first_problems(results: Path, tmp_path: Path):
    record = verify(results, "v.yaml", tmp_path / "out", "--limit", "4")
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


def test_texts_and_problems_that_are_gone_are_one_line(results: Path, run, tmp_path: Path, capsys):
    gone = tmp_path / "s" / "r"
    gone.mkdir(parents=True)
    for name in ("manifest.json", "attempts.jsonl", "measurements.jsonl"):
        shutil.copy(run.folder / name, gone / name)
    words = ["verify", str(results / "v.yaml"), str(gone), "-o", str(tmp_path / "out")]
    assert command(*words) == 2
    assert "no generation store there" in capsys.readouterr().err
    manifest = json.loads((gone / "manifest.json").read_text())
    manifest["dataset"]["content_hash"] = "another"
    (gone / "manifest.json").write_text(json.dumps(manifest))
    assert command(*words) == 2
    assert "has changed since the run" in capsys.readouterr().err


def test_a_run_without_a_pool_has_nothing_to_choose_from(
    results: Path, run, tmp_path: Path, capsys
):
    bare = tmp_path / "s" / "r"
    bare.mkdir(parents=True)
    shutil.copy(run.folder / "manifest.json", bare)
    (bare / "attempts.jsonl").write_text("")
    assert command("verify", str(results / "v.yaml"), str(bare), "-o", str(tmp_path / "o")) == 2
    assert "no pool of candidates; run best_of_n or a vote" in capsys.readouterr().err
