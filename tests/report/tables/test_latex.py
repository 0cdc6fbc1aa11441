"""The table of a paper: LaTeX that compiles, whatever the names are."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tts_bench.report.points.content import Report, build_report
from tts_bench.report.tables.latex import escaped, latex_table

HOSTILE = "a_b & 100% #1 $x^2$ {~} \\end{table} | <c> …\nnext"


@pytest.fixture(scope="module")
def report(shared) -> Report:
    return build_report(shared)


def body(text: str) -> list[list[str]]:
    """Cells of the rows between the rules."""
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    return [re.split(r"(?<!\\)&", line.removesuffix(r"\\")) for line in lines]


def check_syntax(text: str) -> None:
    """Braces and dollars in pairs, environments nested, as many cells in every row as columns."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\{}&%$#_,]", "", code)
    depth = 0
    for sign in re.findall("[{}]", bare):
        depth += 1 if sign == "{" else -1
        assert depth >= 0
    assert depth == 0
    assert bare.count("$") % 2 == 0
    assert not re.search('[#%~^<>|"]', bare)
    opened = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", code):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    [columns] = re.findall(r"\\begin\{tabular\}\{(\w+)\}", code)
    assert {len(row) for row in body(text)} == {len(columns)}


def compiled(text: str, folder: Path) -> None:
    page = r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs}\begin{document}"
    (folder / "t.tex").write_text(f"{page}\n{text}\\end{{document}}\n")
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_each_strategy_and_n_is_a_row_with_its_interval(report):
    text = latex_table(report)
    check_syntax(text)
    head, *rows = body(text)
    assert head[2].strip() == r"Accuracy [95\,\% CI]"
    assert [cell.strip() for cell in head[3:5]] == [r"vs.\ greedy", r"vs.\ mean draw"]
    assert len(rows) == len(report.points) + 3
    for row, point in zip(rows, report.points, strict=False):
        accuracy = point.accuracy
        shares = (accuracy.value, accuracy.low, accuracy.high)
        value, low, high = (f"{100 * share:.1f}" for share in shares)
        assert row[2].strip() == f"{value} [{low}, {high}]"
        assert row[1].strip() == ("--" if point.n is None else str(point.n))
    assert text.count(r"\midrule") == 2


def test_names_that_mean_something_to_latex_are_text(report, tmp_path):
    scope = replace(report.scope, suite=HOSTILE)
    first = report.points[0]
    cell = replace(first.cell, strategy=HOSTILE)
    hostile = replace(
        report,
        scope=scope,
        points=(replace(first, cell=cell), *report.points[1:]),
        notes=("two\nlines",),
    )
    text = latex_table(hostile)
    check_syntax(text)
    assert "% note: two lines\n" in text
    assert escaped("a_b & 100%") in text
    if shutil.which("pdflatex"):
        compiled(text, tmp_path)


def test_it_is_printed_and_nothing_is_written(make, cli):
    run = make.realistic(problems=4, sweep=(1, 2))
    before = sorted(run.folder.iterdir())
    code, out, err = cli("report", run.folder, "--format", "latex")
    assert (code, err) == (0, "")
    check_syntax(out)
    assert sorted(run.folder.iterdir()) == before
    code, _, err = cli("report", run.folder, "--format", "latex", "--output", "x")
    assert code == 2
    assert err == "error: --format prints the table of one run, and takes --price alone\n"


def test_every_vote_of_one_is_the_mean_draw(report):
    votes = [point for point in report.points if point.n == 1]
    assert votes
    for point in votes:
        assert point.over_mean is not None
        assert point.over_mean.value == pytest.approx(0, abs=1e-9)
    assert any(abs(point.over_mean.value) > 0.01 for point in report.points if point.over_mean)
