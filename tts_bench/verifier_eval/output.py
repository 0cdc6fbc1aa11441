"""Results of an evaluation: a table for the terminal, verify.json, scores.jsonl and plots."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tts_bench.errors import StoreError
from tts_bench.report.figures.save import Gallery
from tts_bench.report.format import count, si
from tts_bench.stats.estimators import Estimate
from tts_bench.store.files import write_atomically
from tts_bench.verifier.base import VerifierInfo
from tts_bench.verifier_eval import plots
from tts_bench.verifier_eval.measures import Choices, Evaluation, Figure
from tts_bench.verifier_eval.scoring import Spent
from tts_bench.verifier_eval.selection import LINES, At

FORMAT_VERSION = 1


@dataclass(frozen=True)
class EvaluationResult:
    """All there is to write and print."""

    name: str
    """The verifier's."""
    settings: Mapping[str, Any]
    """The `verifier:` block as it was given; empty where scores were recorded."""
    verifier_info: VerifierInfo
    data: Mapping[str, Any]
    """Where the texts are from and how many there are."""
    choices: Choices
    evaluation: Evaluation
    spent: Spent | None
    """None where scores were recorded, which do not say what they cost."""
    failures: Sequence[str]
    scores: Sequence[Mapping[str, Any]]
    """A row for each text: its id, its score, its steps' scores, its labels."""
    lines: Mapping[str, Sequence[At]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The verifier and the data, in words."""
        model = self.verifier_info.model.model if self.verifier_info.model else self.name
        return f"{model} on {self.data['name']}"


def table(result: EvaluationResult) -> str:
    """The figures with their intervals, then costs and remarks, for a terminal."""
    rows = [(one.name, _shown(one.estimate), one.note) for one in result.evaluation.figures]
    for line, points in result.lines.items():
        rows += [
            (f"{LINES[line]}, n={at.n}" if i == 0 else f"  n={at.n}", _shown(at.accuracy), "")
            for i, at in enumerate(points)
        ]
    width = max((len(name) for name, _, _ in rows), default=0)
    lines = [result.title, ""]
    lines += [f"{name:<{width}}  {value:<22}  {note}".rstrip() for name, value, note in rows]
    cost = "cost  not recorded" if result.spent is None else cost_line(result.spent)
    return "\n".join([*lines, "", cost, *_remarks(result)])


def cost_line(spent: Spent) -> str:
    """Calls, tokens, FLOPs and seconds."""
    flops = "unknown" if spent.flops_ideal is None else si(spent.flops_ideal)
    logical = "" if spent.flops_logical is None else f" ({si(spent.flops_logical)} without reuse)"
    return (
        f"cost  {count(spent.requests)} calls, {count(spent.prompt_tokens)} tokens read "
        f"({count(spent.prompt_tokens_ideal)} distinct), {count(spent.completion_tokens)} written, "
        f"{flops} FLOPs{logical}, {spent.seconds:.1f} s"
    )


def _remarks(result: EvaluationResult) -> list[str]:
    remarks = [f"note  {note}" for note in result.evaluation.notes]
    if result.failures:
        first, total = result.failures[0], len(result.failures)
        remarks.append(f"note  {total} texts were not scored and are left out; the first: {first}")
    return remarks


def _shown(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if math.isnan(estimate.low):
        return f"{estimate.value:.3f} [n/a]"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def write(result: EvaluationResult, folder: Path) -> list[Path]:
    """Write every file, each in one step; returns the paths. Raises StoreError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror}") from error
    written = [folder / "verify.json", folder / "scores.jsonl"]
    write_atomically(written[0], as_json(result) + "\n")
    write_atomically(written[1], _lines_of(result.scores))
    subtitle = (
        f"{result.data['texts']} texts, {result.data['problems']} problems"
        " · 95 % confidence intervals"
    )
    gallery, words = Gallery(folder), (result.title, subtitle)
    if result.evaluation.bins:
        gallery.hang("reliability", lambda: plots.plot_reliability(result.evaluation.bins, *words))
    if result.lines and max(at.n for at in next(iter(result.lines.values()))) > 1:
        gallery.hang("best_of_n", lambda: plots.plot_selection(result.lines, *words))
    return written + gallery.written


def as_json(result: EvaluationResult) -> str:
    """The content of verify.json."""
    return json.dumps(_record(result), indent=2, default=str)


def _record(result: EvaluationResult) -> dict[str, Any]:
    evaluation = result.evaluation
    return {
        "format_version": FORMAT_VERSION,
        "verifier": {
            "name": result.name,
            "settings": dict(result.settings),
            **asdict(result.verifier_info),
        },
        "data": dict(result.data),
        "choices": asdict(result.choices),
        "threshold": evaluation.threshold,
        "threshold_fitted_on": list(evaluation.fitted_on),
        "metrics": [
            {**_metric(one.name.strip(), one.estimate), "part_of": parent, "note": one.note}
            for parent, one in _with_parents(evaluation)
        ],
        "reliability": {
            kind: [{**asdict(one), **_metric("share right", share)} for one, share in found]
            for kind, found in evaluation.bins.items()
        },
        "selection": {
            line: [{"candidates": at.n, **_metric("accuracy", at.accuracy)} for at in points]
            for line, points in result.lines.items()
        },
        "spent": None if result.spent is None else asdict(result.spent),
        "notes": evaluation.notes,
        "failures": list(result.failures),
    }


def _metric(name: str, estimate: Estimate | None) -> dict[str, Any]:
    """As in a run's summary.json; without a value, or an interval, if there is none."""
    certain = estimate if estimate and not math.isnan(estimate.low) else None
    known = {"ci95": [certain.low, certain.high]} if certain else {}
    return {
        "metric": name,
        "value": estimate.value if estimate else None,
        "stderr": certain.stderr if certain else None,
        **known,
        "n": estimate.n if estimate else 0,
        "higher_is_better": not name.endswith(("ECE", "Brier")),
    }


def _with_parents(evaluation: Evaluation) -> Iterator[tuple[str | None, Figure]]:
    """Each figure with the one that it is a part of: names of parts are indented."""
    parent = None
    for one in evaluation.figures:
        if one.name.startswith(" "):
            yield parent, one
        else:
            parent = one.name
            yield None, one


def _lines_of(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
