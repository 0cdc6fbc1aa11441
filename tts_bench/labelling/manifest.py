"""The record of a labelling job: its manifest, and its counts and costs summed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tts_bench.errors import UsageError
from tts_bench.labelling.label_file import LabellingManifest, LabellingSession, LabelRow
from tts_bench.labelling.probe import CUT_OFF, NOT_GRADED, RIGHT

_ENGINE = ("engine", "model", "revision", "dtype", "max_model_len")
"""What decides the draws of an engine."""


def check_same(
    output: Path, settings: Mapping[str, Any], earlier: LabellingManifest | None
) -> None:
    """Raise UsageError if the output's earlier sessions had other settings."""
    if earlier is None:
        return
    old = dict(_flat(earlier.settings))
    new = dict(_flat(json.loads(json.dumps(settings, default=str))))
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        key = differing[0]
        raise UsageError(
            f"{output} holds labels made with {key} {_shown(old.get(key))}, which is now "
            f"{_shown(new.get(key))}: choose another --output"
        )


def go_on(
    output: Path, record: LabellingManifest, earlier: LabellingManifest | None
) -> LabellingManifest:
    """The manifest with the earlier sessions. Raises UsageError if they had another model."""
    if earlier is None:
        return record
    for key in _ENGINE:
        before, today = getattr(earlier.engine, key), getattr(record.engine, key)
        if before != today:
            raise UsageError(
                f"{output} was begun with {key} {before}, which is now {today}: "
                "choose another --output"
            )
    session = LabellingSession(
        argv=earlier.argv,
        started=earlier.started,
        ended=earlier.ended,
        status=earlier.status,
        generated_tokens=earlier.generated_tokens,
        environment=earlier.environment,
    )
    return record.changed(earlier_sessions=(*earlier.earlier_sessions, session))


def totals(rows: Sequence[LabelRow]) -> dict[str, Any]:
    """Counts and costs of label lines, summed.

    Costs are what the method takes: every trace pays for all of its draws, shared or not.
    """
    cost = [row.usage for row in rows]
    rollouts = "".join(behind for row in rows for behind in row.outcomes)
    return {
        "traces": len(rows),
        "steps": sum(len(row.labels) for row in rows),
        "right_steps": sum(sum(row.labels) for row in rows),
        "traces_with_error": sum(row.first_error >= 0 for row in rows),
        "right_answers": sum(row.correct is True for row in rows),
        "rollouts": len(rollouts),
        "right_rollouts": rollouts.count(RIGHT),
        "cut_off_rollouts": rollouts.count(CUT_OFF),
        "not_graded_rollouts": rollouts.count(NOT_GRADED),
        "requests": sum(one.requests for one in cost),
        "completion_tokens": _sum([one.completion_tokens for one in cost]),
        "prompt_tokens_logical": _sum([one.prompt_tokens_logical for one in cost]),
        "prompt_tokens_ideal": _sum([one.prompt_tokens_ideal for one in cost]),
        "flops_logical": _sum([one.flops_logical for one in cost]),
        "flops_ideal": _sum([one.flops_ideal for one in cost]),
    }


def _flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings under dotted keys, as a suite's are set on the command line."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield above + key, value


def _shown(value: object) -> str:
    return "not set" if value is None else json.dumps(value)[:80]


def _sum(counts: Sequence[float | None]) -> float | None:
    """None if one of them is unknown."""
    known = [one for one in counts if one is not None]
    return sum(known) if len(known) == len(counts) else None
