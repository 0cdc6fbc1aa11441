"""The compute-optimal policy on worlds whose best choice is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from tts_bench.commands.policy import policy
from tts_bench.errors import UsageError
from tts_bench.report.points.point import Point, read_points
from tts_bench.report.points.scope import CellRecord
from tts_bench.report.policy.difficulty import (
    DifficultyBins,
    _quantile_bins,
    by_level,
    by_oracle,
    by_prediction,
    sizes,
)
from tts_bench.report.policy.optimal import as_json, compute_optimal
from tts_bench.report.policy.saving import Saving, ends_of, saving_at

COST = {"one": 1.0, "four": 4.0, "sixteen": 16.0}


def point(name: str, accuracy: dict[str, float], flops: float, strategy: str = "best_of_n"):
    size = {"one": 1, "four": 4, "sixteen": 16}.get(name)
    params = {"n": size} if size else {}
    cell = CellRecord(f"{strategy}?{name}", strategy, params, {})
    costs = dict.fromkeys(accuracy, flops)
    return Point(cell, size, {"accuracy": accuracy, "flops": costs, "tokens": {}, "seconds": {}})


def world(easy: int = 60, hard: int = 60, noise: bool = False):
    """Easy problems need one draw; hard ones are solved half the time by sixteen only."""
    rng = np.random.default_rng(0)
    bins = {f"e{i}": 0 for i in range(easy)} | {f"h{i}": 1 for i in range(hard)}

    def solved(p_easy: float, p_hard: float) -> dict[str, float]:
        chance = {p: p_easy if b == 0 else p_hard for p, b in bins.items()}
        return {p: float(rng.random() < c) if noise else c for p, c in chance.items()}

    lines = [
        point("one", solved(0.9, 0.1), 1.0),
        point("four", solved(0.9, 0.2), 4.0),
        point("sixteen", solved(0.9, 0.5), 16.0),
    ]
    return lines, DifficultyBins("level", bins, ("easy", "hard"))


def test_easy_problems_get_one_draw_and_hard_ones_all_that_is_affordable():
    lines, difficulty = world()
    found = compute_optimal(lines, difficulty, resamples=20)
    last = found.points[-1]
    assert [choice.point.n for choice in last.choices] == [1, 16]
    # Half the problems at 1, half at 16; accuracy as if all had sixteen.
    assert last.flops == pytest.approx((1 + 16) / 2)
    assert last.accuracy.value == pytest.approx((0.9 + 0.5) / 2)
    assert last.saving.value == pytest.approx(16 / 8.5)
    # A resample in which the choice differs falls short of uniform sixteen or keeps up with it.
    assert last.saving.low <= last.saving.value + 1e-9
    assert last.saving.high >= last.saving.value - 1e-9
    assert (last.saving.least, last.saving.most) == pytest.approx((1 / 8.5, 16 / 8.5))
    first = found.points[0]
    assert [choice.point.n for choice in first.choices] == [1, 1]
    assert first.saving.value == pytest.approx(1.0)
    assert [accuracy.value for _, accuracy in found.uniform] == pytest.approx([0.5, 0.55, 0.7])
    assert as_json(found)["points"][-1]["choices"]["hard"] == "best_of_n@16"


def test_a_saving_beyond_what_the_baseline_reaches_is_open_and_not_left_out():
    costs, reached = np.array([1.0, 4.0, 16.0]), np.array([0.5, 0.7, 0.7])
    # Halfway in accuracy is halfway in log cost; what is first reached counts.
    assert saving_at(costs, reached, 0.6, 1.0) == pytest.approx(2.0)
    assert saving_at(costs, reached, 0.7, 2.0) == pytest.approx(2.0)
    assert saving_at(costs, reached, 0.71, 2.0) == math.inf
    assert saving_at(costs, reached, 0.4, 2.0) == 0.0
    # Three resamples of a hundred lie beyond: they are the upper end, whatever the others say.
    low, high = ends_of([2.0] * 97 + [math.inf] * 3)
    found = Saving(2.0, low, high, least=0.5, most=8.0)
    assert str(found) == "2.00 [2.00, >8.00]"
    assert found.as_json()["saving_ci95"] == [2.0, None]
    assert str(Saving(math.inf, 0.0, math.inf, 0.5, 8.0)) == ">8.00 [<0.50, >8.00]"
    # A resample may reach a little further than the range that is stated.
    assert str(Saving(8.0, 0.4, 8.2, 0.5, 8.0)) == "8.00 [<0.50, >8.00]"


def test_nothing_is_scored_on_what_it_was_chosen_on():
    """Fifty strategies of pure luck: the best of them on the test set would look far better."""
    rng, problems = np.random.default_rng(1), [f"p{i}" for i in range(40)]
    lucky = [
        point(f"s{i}", {p: float(rng.random() < 0.5) for p in problems}, 1.0, f"s{i}")
        for i in range(50)
    ]
    lines = [*lucky, point("one", dict.fromkeys(problems, 0.5), 1.0)]
    difficulty = DifficultyBins("level", dict.fromkeys(problems, 0), ("all",))
    found = compute_optimal(lines, difficulty, resamples=5)
    tempting = max(np.mean(list(one.values["accuracy"].values())) for one in lucky)
    assert tempting > 0.65
    assert found.points[-1].accuracy.value < 0.62


def test_over_many_worlds_the_cross_fitted_accuracy_is_the_true_one():
    errors = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        problems = [f"p{i}" for i in range(60)]
        truth = rng.uniform(0.3, 0.7, 6)
        lines = [
            point(f"s{i}", {p: float(rng.random() < t) for p in problems}, 1.0, f"s{i}")
            for i, t in enumerate(truth)
        ]
        difficulty = DifficultyBins("level", dict.fromkeys(problems, 0), ("all",))
        found = compute_optimal(lines, difficulty, "s0", resamples=1)
        # What the two folds chose is not reported; both lie between the worst and the best.
        errors.append(found.points[-1].accuracy.value - truth.max())
    assert np.mean(errors) < 0.0
    assert np.mean(errors) > -0.12


def test_predicting_costs_what_its_probe_cost():
    lines, difficulty = world()
    costs = dict.fromkeys(difficulty.bins, 2.5)
    charged = DifficultyBins("predicted", difficulty.bins, difficulty.names, (0.5,), 4, costs)
    free = compute_optimal(lines, difficulty, resamples=2)
    dear = compute_optimal(lines, charged, resamples=2)
    for a, b in zip(free.points, dear.points, strict=True):
        assert b.flops == pytest.approx(a.flops + 2.5)
        assert b.accuracy == a.accuracy
    unknown = DifficultyBins("predicted", difficulty.bins, difficulty.names, (0.5,), 4, None)
    with pytest.raises(UsageError, match="FLOPs of predicting"):
        compute_optimal(lines, unknown)


def test_what_gives_no_policy_is_told():
    lines, difficulty = world(easy=1)
    with pytest.raises(UsageError, match="easy has 1 problems; two folds"):
        compute_optimal(lines, difficulty)
    lines, difficulty = world()
    with pytest.raises(UsageError, match="--baseline greedy is not in the run; it has best_of_n"):
        compute_optimal(lines, difficulty, "greedy")
    with pytest.raises(UsageError, match="known FLOPs"):
        compute_optimal([], difficulty)


def test_bins_of_a_run(make):
    run = read_points(make.realistic(problems=40))
    level = by_level(run)
    assert level.names == tuple(f"level {i}" for i in range(1, 6))
    assert sizes(level, run.scope.problems) == [8] * 5
    oracle = by_oracle(run)
    assert len(oracle.names) == 5
    assert all(6 <= size <= 10 for size in sizes(oracle, run.scope.problems))
    predicted = by_prediction(run, probe=4)
    assert predicted.probe == 4
    assert list(predicted.edges) == sorted(predicted.edges, reverse=True)
    assert predicted.cost is not None
    assert min(predicted.cost.values()) > 0
    # The verifier of this run is better than chance, so what it predicts agrees with the truth.
    agree = np.corrcoef(
        [oracle.bins[p] for p in oracle.bins], [predicted.bins[p] for p in oracle.bins]
    )
    assert agree[0, 1] > 0.3
    with pytest.raises(UsageError, match="no scored pool of 100"):
        by_prediction(run, probe=100)


@pytest.mark.parametrize(
    "scores",
    [
        [0.9] * 5 + [0.5] * 11 + [0.1] * 4,  # ties over three bins: two of five stay empty
        [1.0] * 20 + [0.2] * 2,
        [0.1] * 15 + [0.3, 0.4, 0.5, 0.6, 0.7],
        [0.5] * 9,
        [i / 21 for i in range(21)],
    ],
)
def test_edges_send_every_score_to_the_bin_that_its_problem_is_in(scores):
    values = {f"p{i}": score for i, score in enumerate(scores)}
    bins, edges = _quantile_bins(values)
    assert sorted(set(bins.values())) == list(range(len(edges) + 1))
    nudged = {p: value + side for p, value in values.items() for side in (-1e-9, 1e-9)}
    for scored in (values, nudged):
        assert {p: sum(v < edge for edge in edges) for p, v in scored.items()} == bins


def test_a_whole_run_gives_a_policy_no_worse_than_uniform(make):
    run = read_points(make.realistic(problems=60))
    found = compute_optimal(run.points, by_level(run), resamples=10)
    best_uniform = max(accuracy.value for _, accuracy in found.uniform)
    assert max(point.accuracy.value for point in found.points) > best_uniform - 0.1
    assert all(point.flops < 1.3 * point.budget for point in found.points[1:])


def test_the_command_prints_and_writes_only_where_it_is_told(make, tmp_path):
    run = make.realistic(problems=24, sweep=(1, 4))
    before = {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")}
    base = [str(run.folder), "--by", "oracle"]

    def asked(*arguments):
        return CliRunner().invoke(policy, [*base, *arguments], standalone_mode=False)

    printed = asked()
    assert "24 problems; chosen on one half of each bin" in printed.output
    assert "wrote" not in printed.output
    files = [tmp_path / f"bound.{kind}" for kind in ("txt", "json", "png", "svg")]
    done = asked(*(word for path in files for word in ("--output", str(path))))
    assert done.exception is None
    assert [f"wrote     {path}" for path in files] == done.output.splitlines()[-4:]
    assert files[0].read_text() in done.output
    assert json.loads(files[1].read_text())["points"]
    assert files[2].read_bytes().startswith(b"\x89PNG")
    assert b"compute-optimal by oracle" in files[3].read_bytes()
    for wrong, message in (
        (("--output", "bound.pdf"), "bound.pdf: must end in .txt, .json, .png, .svg"),
        (("--write", str(tmp_path / "p.yaml")), "a policy by oracle difficulty cannot be run"),
        (("--output", str(tmp_path / "absent" / "x.txt")), "absent/x.txt: No such file"),
    ):
        refused = asked(*wrong)
        assert isinstance(refused.exception, UsageError)
        assert message in str(refused.exception)
    assert {path: path.stat().st_mtime_ns for path in run.folder.rglob("*")} == before
    assert len(list(tmp_path.iterdir())) == 1 + len(files)
