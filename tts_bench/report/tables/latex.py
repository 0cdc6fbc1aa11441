"""The result table as a paper prints it: LaTeX with booktabs, one row per strategy and n."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from tts_bench.report.format import count, percent, si, signed_interval
from tts_bench.report.points.content import Report
from tts_bench.report.points.scope import settings
from tts_bench.report.tables.render import heading
from tts_bench.report.tables.rows import TableRow, make_rows
from tts_bench.stats.estimators import Estimate

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{EN DASH}": "--",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\N{PLUS-MINUS SIGN}": r"\ensuremath{\pm}",
    **{sign: f"\\{sign}" for sign in "&%$#_"},
}
_SPECIAL = re.compile("|".join(map(re.escape, _ESCAPED)))
_NOT_A_LABEL = re.compile(r"[^A-Za-z0-9.:-]+")


def latex_table(report: Report) -> str:
    """The table as a float of LaTeX; it needs the package `booktabs`."""
    rows = make_rows(report)
    chosen = [row for row in rows if row.kind != "coverage"]
    coverage = [row for row in rows if row.kind == "coverage"]
    points = [row.point for row in rows if row.point]
    compared = {
        r"vs.\ greedy": any(point.difference for point in points),
        r"vs.\ mean draw": any(point.over_mean for point in points),
    }
    heads = ["Strategy", "$n$", r"Accuracy [95\,\% CI]"]
    heads += [head for head, is_there in compared.items() if is_there]
    heads += ["Tokens", "FLOPs"]
    parts = [part for part in (chosen, coverage) if part]
    body = [list(_lines(part, list(compared.values()))) for part in parts]
    label = _NOT_A_LABEL.sub("-", report.scope.suite)
    return "\n".join(
        [
            *(f"% note: {' '.join(note.split())}" for note in report.notes),
            r"% needs \usepackage[T1]{fontenc} and \usepackage{booktabs}",
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_caption(report)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}",
            r"\toprule",
            _row(heads),
            *(line for part in body for line in (r"\midrule", *part)),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escaped(text: str) -> str:
    r"""A text as LaTeX prints it, whatever stands in it.

    >>> print(escaped("100%"))
    100\%
    """
    plain = " ".join(text.split())
    return _SPECIAL.sub(lambda found: _ESCAPED[found[0]], plain)


def _caption(report: Report) -> str:
    return (
        f"{escaped(heading(report))}. Accuracy in per cent; tokens and ideal FLOPs of the policy"
        " per problem. Rows of pass@$k$ are an upper bound: nobody chooses among the draws."
    )


def _lines(rows: Sequence[TableRow], compared: Sequence[bool]) -> Iterator[str]:
    for row in rows:
        name = escaped(f"{row.name} {settings(row.varying)}".rstrip())
        differences = (row.point.difference, row.point.over_mean) if row.point else (None, None)
        cells = [name, "-" if row.n is None else str(row.n), _accuracy(row.accuracy)]
        shown = zip(differences, compared, strict=True)
        cells += [_signs(signed_interval(one)) for one, is_there in shown if is_there]
        cells += [escaped(count(row.policy.completion_tokens)), escaped(si(row.policy.flops_ideal))]
        yield _row(["--" if cell == "-" else cell for cell in cells])


def _accuracy(estimate: Estimate) -> str:
    low, high = percent(estimate.low), percent(estimate.high)
    return f"{percent(estimate.value)} [{low}, {high}]"


def _signs(difference: str) -> str:
    """With minus signs in place of hyphens."""
    return re.sub(r"([+-])(?=\d)", r"$\1$", difference)


def _row(cells: Sequence[str]) -> str:
    line = " & ".join(cells)
    # A bracket or star at the beginning would be an option of the end of the line before.
    return f"{'{}' if line[:1] in '[*' else ''}{line} \\\\"
