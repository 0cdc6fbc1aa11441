"""`tts-bench grade`: answers in a file against their references."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from tts_bench.commands.echo import echo


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--reference-field", required=True, help="Field with the reference answer.")
@click.option("--response-field", required=True, help="Field with the answer or whole solution.")
@click.option("--finish-reason-field", help="Field that says whether it was cut off.")
@click.option(
    "--answer-kind",
    default="math",
    show_default=True,
    metavar="math|choice|PATH.py:CLASS",
    help="What answers are.",
)
@click.option("--problem-field", help="Field with the problem's text, for a kind that needs it.")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only such rows (repeatable).")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1, max=86400),
    default=10.0,
    show_default=True,
    help="Seconds of processor time for one comparison.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON verdict per line, then a summary.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def grade(
    file: Path,
    reference_field: str,
    response_field: str,
    finish_reason_field: str | None,
    answer_kind: str,
    problem_field: str | None,
    where: tuple[str, ...],
    timeout: float,
    as_json: bool,
    debug: bool,
) -> int:
    """Grade the responses in FILE (.jsonl, .json, .csv or .parquet) against their references."""
    from dataclasses import asdict

    from tts_bench.answers.grader import GradingLimits
    from tts_bench.answers.kinds import MATH
    from tts_bench.answers.responses import grade_responses, summary
    from tts_bench.dataset.references import References
    from tts_bench.dataset.responses import read_responses
    from tts_bench.suite.answers import grader_named, load_answers

    references, kind = References(), load_answers(answer_kind)
    responses = read_responses(
        file,
        reference_field,
        response_field,
        references if kind == MATH else kind.read_reference,
        finish_reason_field,
        where,
        problem_field,
    )
    for note in references.notes:
        echo(f"note: {note}", err=True)

    async def go() -> list[Any]:
        async with grader_named(answer_kind, GradingLimits(cpu_seconds=timeout)) as grader:
            return await grade_responses(responses, grader)

    verdicts = asyncio.run(go())
    total = summary(verdicts)
    if as_json:
        for verdict in verdicts:
            echo(json.dumps(asdict(verdict), ensure_ascii=False))
        echo(json.dumps({"summary": total}))
        return 0
    for number, verdict in enumerate(verdicts, 1):
        word = "timeout" if verdict.timed_out else "correct" if verdict.correct else "wrong"
        echo(f"{number}\t{word}\t{verdict.extracted}")
    echo(" ".join(f"{key}={value}" for key, value in total.items()))
    return 0
