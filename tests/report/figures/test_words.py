"""What users call things reaches figures as plain words, whatever characters they hold."""

from __future__ import annotations

import warnings

import pytest

from tts_bench.report.build import build_report, write_report
from tts_bench.report.figures import curve_plots, group_plots, save
from tts_bench.report.figures.save import Gallery
from tts_bench.report.figures.style import look
from tts_bench.report.figures.words import shown
from tts_bench.report.joint.figure import plot_runs
from tts_bench.report.joint.lines import COSTS, join

HOSTILE = {
    "mathematics": r"$\foo$ and $x_{$",
    "one dollar": "costs $5",
    "escaped": r"\$ \( \frac{1}{",
    "underscore": "_hidden",
    "newlines": "a\nb\r\nc\td",
    "null": "a\x00b\x1b[31m",
    "surrogate": "a\ud800b",
    "chinese": "代数与几何 的 一道题",
    "emoji": "🧮 sums 👩🏽‍🔬",
    "right to left": "\u202eabc אבג",
    "long": "a rather long name of many words " * 150,
    "long word": "x" * 5000,
    "empty": "",
    "blank": " \n ",
}
NARROW = ["mathematics", "chinese", "long", "long word"]
DRAWERS = [
    curve_plots.plot_accuracy_vs_flops,
    curve_plots.plot_accuracy_vs_tokens,
    curve_plots.plot_coverage,
    group_plots.plot_by_level,
    group_plots.plot_by_subject,
]


def hostile_run(make, words):
    """Two variants and two subjects that hold the words, and a suite and a model called so."""
    cells = [
        make.cell("self_consistency", (1, 2), "majority", wait=f"{words}{end}") for end in "12"
    ]
    attempts = [
        make.attempt(cell["id"], f"{words}{i}", make.pool(["1", "2"] if i else ["1", "1"]))
        for cell in cells
        for i in range(4)
    ]
    problems = [
        {"id": f"{words}{i}", "level": i % 2, "subject": f"{words}{i % 2}"} for i in range(4)
    ]
    engine = {"engine": "scripted", "model": words or "m", "shape": {}, "shape_note": ""}
    return make.run(cells, attempts, problems=problems, suite=words, engine=engine)


def texts_of(figure):
    (axes,) = figure.axes
    legend, (low, high) = axes.get_legend(), axes.get_xlim()
    return [
        *figure.texts,
        *axes.texts,
        # Ticks outside the limits are not drawn.
        *(tick.label1 for tick in axes.xaxis.get_major_ticks() if low <= tick.get_loc() <= high),
        *(legend.get_texts() if legend else ()),
    ]


def assert_on_the_canvas(figure):
    figure.canvas.draw()
    canvas = figure.bbox
    for text in texts_of(figure):
        box = text.get_window_extent()
        assert box.x0 >= canvas.x0 - 1, text
        assert box.x1 <= canvas.x1 + 1, text
        assert box.y0 >= canvas.y0 - 1, text
        assert box.y1 <= canvas.y1 + 1, text


@pytest.mark.parametrize(
    ("words", "style"),
    [(words, "default") for words in HOSTILE.values()]
    + [(HOSTILE[name], "paper") for name in NARROW],
    ids=[*HOSTILE, *(f"{name}, narrow" for name in NARROW)],
)
def test_every_figure_is_drawn_without_a_warning_and_within_its_canvas(make, words, style):
    report = build_report(hostile_run(make, words.encode("utf-8", "replace").decode()))
    for draw in DRAWERS:
        with look(style), warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            figure = draw(report)
            assert figure is not None
            assert_on_the_canvas(figure)


def test_missing_letters_are_no_warning_of_the_users(make, recwarn):
    report = build_report(hostile_run(make, HOSTILE["chinese"]))
    gallery = Gallery(make.folder)
    gallery.hang("by_subject", lambda: group_plots.plot_by_subject(report))
    assert [path.name for path in gallery.written] == ["by_subject.png", "by_subject.svg"]
    assert [str(one.message) for one in recwarn if "Glyph" in str(one.message)] == []


def test_names_with_dollars_and_underscores_stand_as_they_are(make):
    with look():
        for words in (r"$\foo$ and $x_{$", "_hidden"):
            make.folder = make.folder / "one"
            figure = group_plots.plot_by_subject(build_report(hostile_run(make, words)))
            found = "\n".join(text.get_text() for text in texts_of(figure))
            assert f"wait={words}1" in found
            assert f"wait={words}2" in found
            assert words in figure.texts[0].get_text()


def test_labels_of_runs_are_words_too(make):
    runs = []
    base = make.folder
    for name in "ab":
        make.folder = base / name
        runs.append(hostile_run(make, HOSTILE["mathematics"]))
    labels = [r"_$\a$", "$5\n" + "x" * 300]
    joint = join(runs, labels=labels)
    with look():
        figure = plot_runs(joint, COSTS["tokens"])
        assert_on_the_canvas(figure)
    assert r"_$\a$" in "\n".join(text.get_text() for text in figure.axes[0].texts)


def test_a_figure_that_cannot_be_drawn_costs_no_other_and_is_named(make, monkeypatch, capsys):
    run = make.realistic(problems=4, sweep=(1, 2))
    write_report(run)
    whole = save.save_figure

    def broken(figure, path):
        if path.name == "coverage":
            raise ValueError("no such\nglyph \x1b[31m")
        return whole(figure, path)

    monkeypatch.setattr(save, "save_figure", broken)
    capsys.readouterr()
    names = {path.name for path in write_report(run)}
    assert {"table.md", "by_level.png", "accuracy_vs_flops.svg", "report.html"} <= names
    # One of an earlier report would show other numbers.
    assert not any(run.folder.glob("coverage.*"))
    line = "no figure coverage: it could not be drawn (ValueError: no such glyph [31m)"
    assert capsys.readouterr().err == f"warning: {line}\n"
    assert line in (run.folder / "report.html").read_text("utf-8")


def test_shown_keeps_both_ends_of_what_is_too_long():
    assert shown("a" * 200 + "end", 50).endswith("aend")
    assert len(shown("a" * 200, 50)) == 50
