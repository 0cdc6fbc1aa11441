from __future__ import annotations

import csv
import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tts_bench.errors import UnknownName, UsageError
from tts_bench.report.figures import curve_plots, group_plots
from tts_bench.report.figures.axes import spread
from tts_bench.report.figures.line_styles import line_styles
from tts_bench.report.figures.style import check_look, look
from tts_bench.report.page.overview import describe
from tts_bench.report.points.content import build_report
from tts_bench.report.points.scope import CellRecord, mark_swept
from tts_bench.report.tables.render import csv_table
from tts_bench.report.tables.summary import summarize

DRAWERS = {
    "flops": curve_plots.plot_accuracy_vs_flops,
    "tokens": curve_plots.plot_accuracy_vs_tokens,
    "coverage": curve_plots.plot_coverage,
    "level": group_plots.plot_by_level,
    "subject": group_plots.plot_by_subject,
}


@pytest.fixture(scope="module")
def report(shared):
    return build_report(shared)


def pixels(figure):
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3]


@pytest.mark.parametrize("name", DRAWERS)
def test_every_figure_shows_each_strategy_in_its_colour(report, name):
    image = pixels(DRAWERS[name](report))
    assert image.std() > 10
    colours = {style.colour for style in line_styles(report.scope.cells).values()}
    for colour in colours - {"#000000"}:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.all(image == wanted, axis=-1).sum() > 20, colour


@pytest.mark.parametrize("name", ["flops", "tokens", "coverage"])
def test_labels_do_not_overlap_and_stay_on_the_page(report, name):
    figure = DRAWERS[name](report)
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert len(boxes) >= 6
    for below, above in pairwise(boxes):
        assert above.y0 >= below.y1 - 1
    assert max(box.x1 for box in boxes) <= figure.bbox.x1


def test_variants_of_a_strategy_share_its_colour_and_differ_in_marker():
    cells = [
        CellRecord("g", "greedy", {}, {}),
        CellRecord("a", "rank", {"normalize": "mean", "n": 4}, {}, True, "best", (4,)),
        CellRecord("b", "rank", {"normalize": "sum", "n": 4}, {}, True, "best", (4,)),
        CellRecord("c", "vote", {"n": 4}, {}, True, "majority", (4,)),
    ]
    greedy, mean, total, vote = line_styles(cells).values()
    assert mean.colour == total.colour
    assert mean.marker != total.marker
    assert len({greedy.colour, mean.colour, vote.colour}) == 3
    assert (greedy.label, mean.label) == ("greedy", "rank normalize=mean")


def many_lines(make, right=()):
    """Fourteen strategies, most with variants: 40 lines, of which most end at 0 %."""
    names = [("greedy", 0), *((f"s{i // 3:02}", i % 3) for i in range(39))]
    cells = [make.cell(name, (1, 2), "majority", temperature=t) for name, t in names]
    attempts = [
        make.attempt(cell["id"], f"p{i}", make.pool(["1", "1"] if (k, i) in right else ["2", "3"]))
        for k, cell in enumerate(cells)
        for i in range(4)
    ]
    problems = [{"id": f"p{i}", "level": i % 2, "subject": f"s{i % 2}"} for i in range(4)]
    return make.run(cells, attempts, problems=problems)


def drawn_as(bars):
    """What a reader sees of a line: colour, marker, outline, dashes."""
    line = bars.lines[0]
    outline = to_hex(line.get_markerfacecolor()) != to_hex(line.get_color())
    return to_hex(line.get_color()), line.get_marker(), outline, line.get_linestyle()


def test_forty_lines_differ_from_each_other_in_every_figure_and_are_the_same_in_all(make):
    report = build_report(many_lines(make))
    seen = {}
    for name, draw in DRAWERS.items():
        (axes,) = draw(report).axes
        # Points of groups are not joined by a line.
        told = 3 if name in ("level", "subject") else 4
        found = [drawn_as(bars)[:told] for bars in axes.containers]
        assert len(found) == len(set(found)) == 40, name
        seen[name] = found
    assert seen["flops"] == seen["tokens"] == seen["coverage"]
    assert seen["level"] == seen["subject"] == [one[:3] for one in seen["flops"]]
    shown = describe(report, [], {}, [None] * len(report.curves))["lines"]
    page = [(one["colour"].lower(), one["marker"], one["hollow"], one["dash"]) for one in shown]
    assert page == seen["flops"]


def test_eighty_variants_of_one_strategy_differ_and_twenty_without_their_lines():
    cells = [CellRecord(f"{i}", "s", {"temperature": i / 10}, {}) for i in range(80)]
    styles = list(line_styles(cells).values())
    assert len({(one.colour, one.marker, one.hollow, one.dash) for one in styles}) == 80
    assert len({(one.marker, one.hollow) for one in styles[:20]}) == 20


def test_styles_go_by_names_whatever_the_order_of_the_suite(make):
    cells = [CellRecord(f"{i}", f"s{i:02}", {}, {}) for i in range(14)]
    there, back = line_styles(cells), line_styles(cells[::-1])
    assert there == back
    assert list(back) == [cell.line for cell in cells[::-1]]


def test_labels_of_forty_lines_that_end_at_zero_are_on_the_canvas(make):
    report = build_report(many_lines(make, right={(3, 0)}))
    for style, name in (("default", "flops"), ("default", "level"), ("paper", "coverage")):
        with look(style):
            figure = DRAWERS[name](report)
            figure.canvas.draw()
        legend = figure.axes[0].get_legend()
        texts = legend.get_texts() if legend else figure.axes[0].texts
        boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.y0)
        assert len(boxes) >= 40
        assert boxes[0].y0 >= 0
        assert boxes[-1].y1 <= figure.bbox.y1
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
        assert all(above.y0 >= below.y1 - 2 for below, above in pairwise(boxes))


def test_without_flops_there_is_no_flops_figure(make):
    cell = make.cell("self_consistency", [2], "majority")
    unknown = make.usage(50, (10, 10), known=False)
    attempt = make.attempt(cell["id"], "p", make.pool(["1", "2"]), policy=unknown)
    report = build_report(make.run([cell], [attempt]))
    assert curve_plots.plot_accuracy_vs_flops(report) is None
    assert curve_plots.plot_accuracy_vs_tokens(report) is not None


def test_without_levels_or_pools_there_is_no_such_figure(make):
    cell = make.cell("greedy")
    report = build_report(make.run([cell], [make.attempt(cell["id"], "p", make.pool(["1"]))]))
    assert group_plots.plot_by_level(report) is None
    assert group_plots.plot_by_subject(report) is None
    assert curve_plots.plot_coverage(report) is None


def test_a_run_in_which_everything_failed_still_has_its_files(make):
    cell = make.cell("self_consistency", [1, 2], "majority")
    attempt = make.attempt(cell["id"], "p", status="error", error="broke")
    report = build_report(make.run([cell], [attempt]))
    assert all(draw(report) is None for draw in DRAWERS.values())


def test_with_several_pools_levels_show_the_first_ones_coverage(make):
    cells = []
    for temperature in (0.5, 1.0):
        cell = make.cell("self_consistency", [2], "majority", temperature=temperature)
        cells.append({**cell, "sampling": {**cell["sampling"], "temperature": temperature}})
    pools = [make.pool(["1", "1"]), make.pool(["2", "2"])]
    attempts = [make.attempt(c["id"], "p", p) for c, p in zip(cells, pools, strict=True)]
    problems = [{"id": "p", "level": 3}]
    report = build_report(make.run(cells, attempts, problems=problems))
    (axes,) = group_plots.plot_by_level(report).axes
    bounds = [line for line in axes.lines if line.get_label() == "pass@2 (oracle)"]
    assert [list(line.get_ydata()) for line in bounds] == [[100.0, 100.0]]


def swept(make, waits=(0, 1, 2)):
    """Budget forcing at several waits: dearer and worse with each."""
    cells = [make.cell("greedy"), *(make.cell("budget_forcing", waits=w, wait="W") for w in waits)]
    attempts = [make.attempt("greedy", "p", make.pool(["1"]))]
    for cell in cells[1:]:
        used = make.usage(50, (10 * (1 + cell["params"]["waits"]),))
        pool = make.pool(["1" if cell["params"]["waits"] == 0 else "2"])
        attempts.append(make.attempt(cell["id"], "p", pool, policy=used))
    return build_report(make.run(cells, attempts, problems=[{"id": "p", "level": 1}]))


def test_a_sweep_over_another_count_than_n_is_one_line(make):
    report = swept(make, (2, 0, 1))
    (axes,) = curve_plots.plot_accuracy_vs_flops(report).axes
    joined = [bars.lines[0] for bars in axes.containers if bars.get_label() != "greedy"]
    assert [line.get_label() for line in axes.containers] == [
        "greedy",
        "budget_forcing waits=0..2",
    ]
    assert list(joined[0].get_ydata()) == [100.0, 0.0, 0.0]
    assert np.all(np.diff(joined[0].get_xdata()) > 0)
    assert [p.cell.params.get("waits") for p in report.points] == [None, 0, 1, 2]
    (axes,) = group_plots.plot_by_level(report).axes
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names == ["greedy", "budget_forcing\nwaits=2"]


@pytest.mark.parametrize(
    ("variants", "lines"),
    [
        ([{"waits": 0}, {"waits": 2}], 1),
        ([{"waits": 0, "wait": "a"}, {"waits": 1, "wait": "b"}], 2),
        ([{"waits": w, "wait": x} for w in (0, 1) for x in "ab"], 2),
        ([{"waits": 0, "most": 5}, {"waits": 1, "most": 6}], 2),
        ([{"exploration": 0.5}, {"exploration": 1.5}], 2),
        ([{"budget": 100, "n": 4}, {"budget": 200, "n": 4}], 1),
        ([{"width": 2, "n": 4}, {"width": 4, "n": 4}, {"width": 2, "n": 8}], 2),
        ([{"n": 4}, {"n": 8}], 1),
        ([{"flag": True}, {"flag": False}], 2),
    ],
)
def test_lines_join_cells_that_differ_in_one_count_alone(variants, lines):
    cells = [CellRecord(str(i), "s", one, {}, n=one.get("n")) for i, one in enumerate(variants)]
    assert len({cell.line for cell in mark_swept(cells)}) == lines


def test_max_tokens_is_a_size_and_temperature_is_none():
    def cell(name, value):
        return CellRecord(f"{value}", "greedy", {name: value}, {name: value, "top_k": 0})

    assert len({one.line for one in mark_swept([cell("max_tokens", n) for n in (64, 128)])}) == 1
    assert len({one.line for one in mark_swept([cell("temperature", t) for t in (0, 1)])}) == 2


def test_rings_mark_the_frontier_and_nothing_else(report):
    (axes,) = curve_plots.plot_accuracy_vs_flops(report).axes
    rings = [line for line in axes.lines if line.get_markerfacecolor() == "none"]
    ringed = {
        (x, round(y / 100, 9))
        for ring in rings
        for x, y in zip(ring.get_xdata(), ring.get_ydata(), strict=True)
    }
    assert ringed == {(p.flops, round(p.accuracy.value, 9)) for p in report.frontier}
    for point in report.frontier:
        assert not any(
            (other.flops < point.flops and other.accuracy.value >= point.accuracy.value)
            for other in report.points
        )
    assert 0 < len(report.frontier) < len(report.points)


def test_the_frontier_is_named_in_the_notes_the_table_and_the_summary(make):
    report = swept(make)
    assert [point.name for point in report.frontier] == ["greedy", "budget_forcing"]
    assert any(
        "Pareto frontier (accuracy against FLOPs): greedy, budget" in n for n in report.notes
    )
    rows = list(csv.DictReader(io.StringIO(csv_table(report))))
    assert [row["frontier"] for row in rows] == ["True", "True", "False", "False"]
    assert [one["frontier"] for one in summarize(report)["points"]] == [True, True, False, False]


def test_of_many_subjects_the_largest_are_shown(make):
    cell = make.cell("greedy")
    rows = [
        {"id": f"p{i}-{k}", "level": None, "subject": f"subject {i:02}"}
        for i in range(20)
        for k in range(1 + (i >= 8))
    ]
    attempts = [make.attempt("greedy", row["id"], make.pool(["1"])) for row in rows]
    figure = group_plots.plot_by_subject(build_report(make.run([cell], attempts, problems=rows)))
    names = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert len(names) == 12
    assert "08" in names[0]
    assert "the 12 largest of 20" in figure.texts[1].get_text()


@pytest.mark.parametrize("style", ["paper", "slides", "dark_background"])
@pytest.mark.parametrize("name", DRAWERS)
def test_in_every_look_colours_stay_and_labels_keep_apart(report, name, style):
    with look(style):
        figure = DRAWERS[name](report)
        image = pixels(figure)
    for colour in {one.colour for one in line_styles(report.scope.cells).values()} - {"#000000"}:
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.all(image == wanted, axis=-1).any(), colour
    boxes = sorted((t.get_window_extent() for t in figure.axes[0].texts), key=lambda box: box.y0)
    assert all(above.y0 >= below.y1 - 2 for below, above in pairwise(boxes))
    for text in [*figure.axes[0].texts, figure.axes[0].xaxis.label]:
        box = text.get_window_extent()
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y0 >= -1
    legend = figure.axes[0].get_legend()
    if legend is not None:
        assert legend.get_window_extent().x1 <= figure.bbox.x1 + 4


def test_a_look_of_a_style_sheet_is_used_and_ends(report, tmp_path):
    sheet = tmp_path / "venue.mplstyle"
    sheet.write_text("figure.figsize: 4, 3\nfont.size: 8\n")
    with look(str(sheet)):
        assert list(curve_plots.plot_coverage(report).get_size_inches()) == [4.0, 3.0]
    assert list(curve_plots.plot_coverage(report).get_size_inches()) == [8.6, 5.0]


def test_an_unknown_look_has_a_suggestion_and_a_bad_sheet_a_reason(tmp_path):
    with pytest.raises(UnknownName, match=r"unknown style 'papr'. Did you mean 'paper'\?"):
        check_look("papr")
    with pytest.raises(UsageError, match=r"absent\.mplstyle: No such file"):
        check_look(str(tmp_path / "absent.mplstyle"))
    (tmp_path / "readme.md").write_text("font.size: 8\n")
    with pytest.raises(UsageError, match=r"--style .*readme\.md: not an \.mplstyle file"):
        check_look(str(tmp_path / "readme.md"))
    (tmp_path / "bad.mplstyle").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a text file"):
        check_look(str(tmp_path / "bad.mplstyle"))


def test_spread_of_labels_of_several_rows_leaves_each_its_room():
    low, high = spread([0.5, 0.5], 0.1, [1, 3])
    assert high - low == pytest.approx((0.1 + 0.3) / 2)


def test_spread_moves_down_what_reaches_too_high_with_all_that_it_pushes():
    places = spread([0.1, 0.75, 0.95, 1.0, 1.0], 0.1, highest=1.0)
    assert places == pytest.approx([0.1, 0.65, 0.75, 0.85, 0.95])
    assert spread([0.1, 0.5], 0.1, highest=1.0) == [0.1, 0.5]


def test_spread_moves_up_what_reaches_too_low_and_closes_ranks_where_room_is_short():
    assert spread([0.0, 0.0, 0.0], 0.1, lowest=0.0, highest=1.0) == pytest.approx(
        [0.05, 0.15, 0.25]
    )
    assert spread([0.5] * 4, 0.5, lowest=0.0, highest=1.0) == pytest.approx(
        [0.125, 0.375, 0.625, 0.875]
    )


def test_spread_keeps_order_and_distance_and_moves_nothing_that_has_room():
    assert spread([0.1, 0.5, 0.9], 0.05) == [0.1, 0.5, 0.9]
    places = spread([0.5, 0.5, 0.51, 0.52, 0.9], 0.1)
    assert np.all(np.diff(places) >= 0.1 - 1e-9)
    assert np.mean(places[:4]) == pytest.approx(np.mean([0.5, 0.5, 0.51, 0.52]))
