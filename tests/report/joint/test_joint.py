"""Several runs on one axis: what may stand there, where they cross, and what is written."""

from __future__ import annotations

import csv
import math

import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex

from tts_bench.commands.report import report
from tts_bench.errors import UnknownName, UsageError
from tts_bench.report.figures.style import look
from tts_bench.report.joint.crossing import find_crossings
from tts_bench.report.joint.crossing_text import crossings_markdown, crossings_terminal
from tts_bench.report.joint.figure import plot_runs
from tts_bench.report.joint.lines import COSTS, join
from tts_bench.report.joint.table import frontier_names
from tts_bench.report.joint.write import write_joint
from tts_bench.types import Usage

FLOPS = COSTS["flops"]
PROBLEMS = 40


def spent(flops: float) -> Usage:
    return Usage(1, 10, 50, 50, flops, flops)


def small_run(make, problems=PROBLEMS, **manifest):
    """Of four draws one is right and is chosen, so accuracy at n is n / 4; each costs 100 FLOPs."""
    cells = [make.cell("best_of_n", (1, 2, 4), "best")]
    attempts = [
        make.attempt(
            "best_of_n?n=4",
            f"p{i}",
            make.pool(["2", "1", "2", "2"], score=(0.0, 1.0, 0.0, 0.0)),
            policy=Usage(4, 40, 200, 200, 400.0, 400.0),
        )
        for i in range(problems)
    ]
    return written(make, "small", cells, attempts, **manifest)


def large_run(make, right, flops=250.0, problems=PROBLEMS, **manifest):
    """Greedy, right on the first of the problems."""
    attempts = [
        make.attempt("greedy", f"p{i}", make.pool(["1" if i < right else "2"]), policy=spent(flops))
        for i in range(problems)
    ]
    return written(make, "large", [make.cell("greedy")], attempts, **manifest)


def written(make, name, cells, attempts, **manifest):
    base = make.folder
    make.folder = base / name
    engine = {"engine": "scripted", "model": f"toy-{name}", "shape": {}, "shape_note": ""}
    if "rows" in manifest:
        manifest["problems"] = manifest.pop("rows")
    run = make.run(cells, attempts, **{"engine": engine, **manifest})
    make.folder = base
    return run


def test_a_small_model_reaches_a_large_one_where_algebra_says(make):
    joint = join([small_run(make), large_run(make, right=30)])
    assert joint.labels == ("toy-small", "toy-large")
    [crossing] = find_crossings(joint, FLOPS)
    # Accuracy 1/2 at 200 FLOPs and 1 at 400: 3/4 halfway in log cost.
    assert crossing.reach.cost == pytest.approx(200 * math.sqrt(2))
    assert crossing.level == pytest.approx(250)
    assert (crossing.a.name, crossing.b.name) == ("toy-small:best_of_n", "toy-large:greedy")
    [gap] = crossing.gaps
    assert gap.difference.value == pytest.approx(0.5 + 0.5 * math.log2(250 / 200) - 0.75)
    # The large model's accuracy is 0.75 ± 0.13, so the crossing is about 283 x 2^(± 0.27).
    assert 200 < crossing.reach.low < 283 < crossing.reach.high < 400
    text = crossings_terminal([crossing], "FLOPs")
    assert text.startswith("toy-small:best_of_n reaches toy-large:greedy at 283 [")
    assert "(1.1x its cost) FLOPs" in text


def test_no_crossing_is_said_with_its_side_and_with_open_ends(make):
    joint = join([small_run(make), large_run(make, right=40)])
    [met] = find_crossings(joint, FLOPS)
    assert met.reach.cost == pytest.approx(400)  # equal at the last point
    make.folder = make.folder / "others"
    joint = join([small_run(make, problems=20), large_run(make, right=2, problems=20)])
    [ahead] = find_crossings(joint, FLOPS)
    assert not ahead.found
    assert ahead.reach.missing > 0.9
    assert "never behind from 100 to 400" in crossings_markdown([ahead], "FLOPs")
    assert "no crossing in the measured range: 1 of 1 pairs" in crossings_terminal([ahead], "x")


def test_the_curve_that_is_behind_first_does_the_reaching(make):
    """Named either way round, the same curve reaches the other."""
    cells = [make.cell("self_consistency", (1, 4), "majority")]
    attempts = [
        make.attempt(
            cells[0]["id"],
            f"p{i}",
            make.pool(["1", "1", "2", "3"] if i < 24 else ["2", "1", "2", "2"]),
            policy=Usage(4, 40, 200, 200, 440.0, 440.0),
        )
        for i in range(PROBLEMS)
    ]
    other = written(make, "other", cells, attempts)
    joint = join([small_run(make), other])
    [one] = find_crossings(joint, FLOPS)
    names = [line.name for line in joint.lines]
    [again] = find_crossings(joint, FLOPS, [(names[1], names[0])])
    assert (one.a.name, one.reach) == (again.a.name, again.reach)
    # At one draw best_of_n has 1/4, the vote 0.6 · 1/2 + 0.4 · 1/4 = 0.4.
    assert one.a.strategy == "best_of_n"
    assert one.found
    assert len(one.gaps) == 3


def test_points_alone_do_not_cross(make):
    joint = join([large_run(make, 10), written(make, "b", *one_greedy(make))])
    assert find_crossings(joint, FLOPS) == []
    with pytest.raises(UsageError, match="both are single points"):
        find_crossings(joint, FLOPS, [("toy-large:greedy", "toy-b:greedy")])
    with pytest.raises(UnknownName, match=r"Did you mean 'toy-large:greedy'"):
        find_crossings(joint, FLOPS, [("toy-large:gredy", "toy-b:greedy")])


def one_greedy(make):
    rows = [make.attempt("greedy", f"p{i}", make.pool(["1"])) for i in range(PROBLEMS)]
    return [make.cell("greedy")], rows


def test_runs_meet_on_the_problems_that_all_attempted(make):
    joint = join([small_run(make), large_run(make, right=20, problems=20)])
    assert len(joint.problems) == 20
    assert {point.problems for line in joint.lines for point in line.points} == {20}
    [greedy] = [line for line in joint.lines if line.strategy == "greedy"]
    assert greedy.points[0].accuracy.value == 1.0
    assert any("20 problems are not in all runs" in note for note in joint.notes)


def test_what_cannot_stand_in_one_figure_is_refused_with_the_reason(make):
    small = small_run(make)
    with pytest.raises(UsageError, match="named twice"):
        join([small, small])
    cells, _ = one_greedy(make)
    apart = written(make, "apart", cells, [make.attempt("greedy", "q", make.pool(["1"]))])
    with pytest.raises(UsageError, match="no problem in common"):
        join([small, apart])
    with pytest.raises(UsageError, match="1 labels for 2 runs"):
        join([small, large_run(make, 3)], labels=["a"])
    with pytest.raises(UnknownName, match=r"unknown strategy 'best_of_m'. Did you mean"):
        join([small, large_run(make, 3)], strategies=["best_of_m"])


@pytest.mark.parametrize("part", ["text", "reference", None])
def test_other_data_under_the_same_names_is_seen_problem_by_problem(make, part):
    def rows(run):
        changed = {part: f"of {run}"} if part else {}
        return [
            {"id": f"p{i}", "level": None, "subject": None, "text": "?", "reference": "1"}
            | (changed if i == 3 else {})
            for i in range(PROBLEMS)
        ]

    runs = [
        small_run(make, **data("a", rows("a"))),
        large_run(make, 5, **data("b", rows("b"))),
    ]
    if part is None:
        assert len(join(runs).problems) == PROBLEMS
        return
    with pytest.raises(UsageError, match=rf"differ in 1 of 40 .*the {part} of p3"):
        join(runs)
    assert join(runs, force=True).lines


def data(hash_, rows):
    return {"dataset": {"name": "toy", "content_hash": hash_, "size": 99}, "rows": rows}


def test_everything_is_written_twice_alike(make, tmp_path):
    joint = join([small_run(make), large_run(make, 30)], labels=["1.5B", "7B"])
    crossings = find_crossings(joint, FLOPS)
    paths = write_joint(joint, crossings, tmp_path / "out", style="paper")
    first = [path.read_bytes() for path in paths]
    assert write_joint(joint, crossings, tmp_path / "out", style="paper") == paths
    assert [path.read_bytes() for path in paths] == first
    names = {path.name for path in paths}
    assert {"table.md", "table.csv", "crossings.md", "crossings.csv"} < names
    assert {"accuracy_vs_flops.svg", "accuracy_vs_tokens.png", "accuracy_vs_seconds.svg"} < names
    with (tmp_path / "out" / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["run"], row["strategy"], row["n"]) for row in rows] == [
        ("1.5B", "best_of_n", "1"),
        ("1.5B", "best_of_n", "2"),
        ("1.5B", "best_of_n", "4"),
        ("7B", "greedy", ""),
    ]
    assert [row["frontier_all"] for row in rows] == ["True"] * 4
    with (tmp_path / "out" / "crossings.csv").open() as file:
        crossing, gap = csv.DictReader(file)
    assert float(crossing["cost"]) == pytest.approx(200 * math.sqrt(2))
    assert (crossing["kind"], gap["kind"], gap["cost"]) == ("crossing", "gap", "250.0")


def test_the_frontier_over_all_runs_leaves_out_what_another_run_does_better(make):
    joint = join([small_run(make), large_run(make, right=30, flops=150.0)])
    assert frontier_names(joint, FLOPS) == [
        "toy-small:best_of_n@1",
        "toy-large:greedy",
        "toy-small:best_of_n@4",
    ]


def test_runs_differ_in_marker_and_dashes_and_share_a_strategys_colour(make):
    joint = join([small_run(make), written(make, "b", *again(make))])
    figure = plot_runs(joint, FLOPS)
    [first, second] = [bars.lines[0] for bars in figure.axes[0].containers]
    assert first.get_color() == second.get_color()
    assert first.get_marker() != second.get_marker()
    assert first.get_linestyle() != second.get_linestyle()
    assert [bars.get_label() for bars in figure.axes[0].containers] == [
        "best_of_n · toy-small",
        "best_of_n · toy-b",
    ]
    # Seconds are known at the largest n alone.
    [line, _] = [bars.lines[0] for bars in plot_runs(joint, COSTS["seconds"]).axes[0].containers]
    assert list(line.get_xdata()) == [2.0]


def test_lines_of_many_runs_differ_and_their_labels_stay_on_the_canvas(make):
    """Five runs of eight strategies, all of which end near 0 %."""
    names = ["greedy", *(f"strategy_of_a_long_name_{i}" for i in range(7))]
    runs = []
    for k in range(5):
        cells = [make.cell(name, (1, 2), "majority") for name in names]
        attempts = [
            make.attempt(cell["id"], f"p{i}", make.pool(["2", "1" if i == k else "2"]))
            for cell in cells
            for i in range(40)
        ]
        runs.append(written(make, f"run{k}", cells, attempts))
    joint = join(runs)
    for style in ("default", "paper"):
        with look(style):
            figure = plot_runs(joint, COSTS["tokens"])
            figure.canvas.draw()
        (axes,) = figure.axes
        seen = set()
        for bars in axes.containers:
            line = bars.lines[0]
            outline = to_hex(line.get_markerfacecolor()) != to_hex(line.get_color())
            seen.add((line.get_color(), line.get_marker(), line.get_linestyle(), outline))
        assert len(seen) == len(joint.lines) == 40
        for text in [*axes.texts, *figure.texts, axes.xaxis.label, axes.yaxis.label]:
            box = text.get_window_extent()
            assert box.x0 >= 0, text
            assert box.y0 >= 0, text
            assert box.x1 <= figure.bbox.x1, text
            assert box.y1 <= figure.bbox.y1, text


def again(make):
    cells = [make.cell("best_of_n", (1, 2, 4), "best")]
    pool = make.pool(["1", "1", "2", "2"], score=(0.0, 1.0, 0.0, 0.0))
    usage = Usage(4, 40, 200, 200, 800.0, 800.0)
    rows = [make.attempt("best_of_n?n=4", f"p{i}", pool, policy=usage) for i in range(PROBLEMS)]
    return cells, rows


def test_runs_that_nothing_short_tells_apart_are_called_by_letters(make):
    engine = {"engine": "scripted", "model": "same", "shape": {}, "shape_note": ""}
    long = "2026-11-21T16-59-30Z_4a1e-"
    cells, rows = one_greedy(make)
    runs = [written(make, f"{long}{i}/r{'x' * 30}", cells, rows, engine=engine) for i in range(2)]
    assert join(runs).labels == ("A", "B")


def test_the_command_writes_into_a_folder_and_keeps_options_of_several_runs_apart(make, tmp_path):
    small, large = small_run(make), large_run(make, 30)
    arguments = [str(small.folder), str(large.folder), "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(report, [*arguments, "--cost", "tokens"], standalone_mode=False)
    assert done.exception is None
    assert "toy-small: tiny/run" in done.output
    assert (
        "# Where curves cross (tokens per problem)" in (tmp_path / "out/crossings.md").read_text()
    )
    alone = CliRunner().invoke(report, [arguments[0], "--label", "x"], standalone_mode=False)
    assert isinstance(alone.exception, UsageError)


def test_curves_of_one_run_cross_too(make, tmp_path):
    cells = [make.cell("best_of_n", (1, 2, 4), "best"), make.cell("greedy")]
    attempts = []
    for i in range(PROBLEMS):
        pool = make.pool(["2", "1", "2", "2"], score=(0.0, 1.0, 0.0, 0.0))
        drawn = Usage(4, 40, 200, 200, 400.0, 400.0)
        attempts.append(make.attempt("best_of_n?n=4", f"p{i}", pool, policy=drawn))
        once = make.pool(["1" if i < 30 else "2"])
        attempts.append(make.attempt("greedy", f"p{i}", once, policy=spent(250.0)))
    run = written(make, "both", cells, attempts)
    command = [str(run.folder), "--pair", "best_of_n", "greedy", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(report, command, standalone_mode=False)
    assert done.exception is None
    # As between two runs: 3/4 lies halfway in log cost between 200 and 400.
    assert "best_of_n reaches greedy at 283 [" in done.output
    assert "| best_of_n | greedy | 283 [" in (tmp_path / "out" / "crossings.md").read_text()
    # A point of a curve, as a level.
    joint = join([run], labels=[""])
    [half] = find_crossings(joint, FLOPS, [("best_of_n", "best_of_n@2")])
    assert (half.b.name, half.reach.cost) == ("best_of_n@2", pytest.approx(200))
    with pytest.raises(UnknownName, match=r"unknown curve 'best_of_n@3'. Did you mean 'best_of_n@"):
        joint.find("best_of_n@3")
    before = sorted(run.folder.iterdir())
    for pair, error in ((["best_of", "greedy"], UnknownName), (["greedy"] * 2, UsageError)):
        wrong = CliRunner().invoke(report, [*command[:2], *pair], standalone_mode=False)
        assert type(wrong.exception) is error
        assert len(str(wrong.exception).splitlines()) == 1
        assert wrong.output == ""
    assert sorted(run.folder.iterdir()) == before
