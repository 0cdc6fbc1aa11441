"""The record of a labelling job: its manifest, and its counts and costs summed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tts_bench.engine.base import EngineInfo
from tts_bench.errors import UsageError
from tts_bench.labelling.label_file import FORMAT_VERSION, LabelRow
from tts_bench.labelling.probe import CUT_OFF, NOT_GRADED, RIGHT
from tts_bench.store import environment

_ENGINE = ("engine", "model", "revision", "dtype", "max_model_len")
"""What decides the draws of an engine."""
_SESSION = ("argv", "started", "ended", "status", "generated_tokens", "environment")


def check_same(
    output: Path, settings: Mapping[str, Any], earlier: Mapping[str, Any] | None
) -> None:
    """Raise UsageError where the output's earlier sessions had other settings."""
    if earlier is None:
        return
    old = dict(_flat(earlier["settings"]))
    new = dict(_flat(json.loads(json.dumps(settings, default=str))))
    differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if differing:
        key = differing[0]
        raise UsageError(
            f"{output} holds labels made with {key} {_shown(old.get(key))}, which is now "
            f"{_shown(new.get(key))}: choose another --output"
        )


def begin(
    output: Path,
    parts: Mapping[str, Any],
    info: EngineInfo,
    earlier: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest of a session that begins. Raises UsageError for another model than before."""
    engine, sessions = asdict(info), []
    if earlier is not None:
        for key in _ENGINE:
            if earlier["engine"][key] != engine[key]:
                raise UsageError(
                    f"{output} was begun with {key} {earlier['engine'][key]}, which is now "
                    f"{engine[key]}: choose another --output"
                )
        sessions = [*earlier["earlier_sessions"], {key: earlier.get(key) for key in _SESSION}]
    return {
        "format_version": FORMAT_VERSION,
        "status": "running",
        **parts,
        "engine": engine,
        "started": now(),
        "ended": None,
        "environment": environment.describe(),
        "earlier_sessions": sessions,
    }


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
        "completion_tokens": sum(one.completion_tokens for one in cost),
        "prompt_tokens_logical": sum(one.prompt_tokens_logical for one in cost),
        "prompt_tokens_ideal": sum(one.prompt_tokens_ideal for one in cost),
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


def now() -> str:
    """UTC time to the second, in ISO 8601."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _sum(flops: Sequence[float | None]) -> float | None:
    """None where one of them is unknown."""
    known = [one for one in flops if one is not None]
    return sum(known) if len(known) == len(flops) else None
