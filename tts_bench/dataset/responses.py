"""Responses to be graded, each with the reference answer that stands beside it in a file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tts_bench.answers.responses import Response
from tts_bench.dataset.columns import Columns
from tts_bench.dataset.conditions import only_where
from tts_bench.dataset.finish import finish_reason
from tts_bench.dataset.items import ToReference
from tts_bench.dataset.row import Row, column_names
from tts_bench.dataset.rows import read_rows
from tts_bench.errors import BadRow, DatasetError, quoted


def read_responses(
    path: Path,
    reference_field: str,
    response_field: str,
    to_reference: ToReference,
    finish_reason_field: str | None = None,
    conditions: Sequence[str] = (),
    problem_field: str | None = None,
) -> list[Response]:
    """The response of every row that meets the conditions, in order; it may be null or missing.

    A file is read by its suffix, as JSON lines if that says nothing. Raises DatasetError, with the
    place, for a file that cannot be read or is empty, a field that no row has, a cell that is
    neither text nor a number, a reference that `to_reference` refuses, and a finish reason that is
    not known.
    """
    rows = read_rows(str(path), default=".jsonl")
    if not rows:
        raise DatasetError(f"{path}: no lines to grade")
    rows = only_where(rows, conditions, str(path))
    given = {"reference": reference_field, "response": response_field}
    if finish_reason_field is not None:
        given["finish_reason"] = finish_reason_field
    if problem_field is not None:
        given["problem"] = problem_field
    Columns(dict.fromkeys(given, ()), given).find(column_names(rows), str(path))
    found = []
    for row in rows:
        text = _text(row, reference_field)
        if not text:
            raise DatasetError(
                f"{row.where}: field {quoted(reference_field)} holds no reference answer"
            )
        try:
            reference = to_reference(text)
        except ValueError as error:
            raise BadRow(row.where, f"field {quoted(reference_field)} {error}") from error
        try:
            ended = finish_reason(row.cells.get(finish_reason_field or ""))
        except ValueError as error:
            raise BadRow(row.where, str(error)) from error
        problem = _text(row, problem_field) if problem_field else None
        text = _text(row, response_field)
        found.append(Response(reference, text, ended == "length", problem or ""))
    return found


def _text(row: Row, name: str) -> str | None:
    value: Any = row.cells.get(name)
    is_endless = isinstance(value, float) and math.isinf(value)
    if isinstance(value, bool) or is_endless or not isinstance(value, str | int | float | None):
        raise DatasetError(
            f"{row.where}: field {quoted(name)} must be text or a number, not {quoted(value)}"
        )
    is_empty = value is None or (isinstance(value, float) and math.isnan(value))
    return None if is_empty else str(value).strip()
