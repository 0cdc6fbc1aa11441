"""How the rows of recorded completions are to be read, and which column is what."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from tts_bench.dataset.columns import POOLS, Columns
from tts_bench.dataset.items import ToReference
from tts_bench.errors import DatasetError, quoted
from tts_bench.importing.recording import AS_OURS, Recording
from tts_bench.importing.wide import STAR
from tts_bench.steps import Aggregate

_COUNTING = ("text", "answer", "verdict")
_ANSWERS = frozenset(name for rank in POOLS["answer"] for name in rank)


@dataclass(frozen=True)
class Layout:
    """How rows are to be read. Scores that are lists are step scores, folded by `how`."""

    to_reference: ToReference
    mapping: Mapping[str, str]
    """Columns by role (see POOLS)."""
    how: Aggregate = "last"
    recording: Recording = AS_OURS
    by_line: bool = False
    """Whether a row that nothing names is a problem of its own, named by its number."""
    chosen: Collection[str] = ()
    """Columns by which rows were chosen: the user knows what they hold."""
    unmet: set[str] = field(default_factory=set)
    """Words for no answer; those that are found are taken out, so that a typing error is seen."""


def find_columns(names: Sequence[str], layout: Layout, source: str) -> dict[str, str]:
    """The column of each role that is read.

    Raises DatasetError if one is missing or ambiguous, or nothing tells problems apart.
    """
    recording = layout.recording
    columns = Columns(_roles(layout), layout.mapping, option="--map")
    found = columns.find(names, source)
    if missing := [role for role in _needed(found, names, recording) if role not in found]:
        message = columns.missing(missing[0], names, source, set(found.values()))
        raise DatasetError(message + _way_out(missing, names))
    if not any(STAR in found.get(role, "") for role in _COUNTING):
        usual = (role for role, name in found.items() if STAR in name)
        for role in [role for role in usual if role not in layout.mapping]:
            del found[role]
    if not layout.by_line and "id" not in found and "problem" not in found:
        raise DatasetError(f"{source}: neither an id nor a problem tells its rows apart")
    return found


def _roles(layout: Layout) -> dict[str, tuple[tuple[str, ...], ...]]:
    """The roles that are read, and the usual names of each. Raises DatasetError."""
    recording, roles = layout.recording, dict(POOLS)
    for role, is_read, option in (
        ("answer", recording.answers == "recorded", "--answers recorded"),
        ("verdict", recording.verdicts_kept, "--verdicts recorded or both"),
    ):
        if not is_read:
            del roles[role]
            if role in layout.mapping:
                column = layout.mapping[role]
                raise DatasetError(f"--map {role}={column}: read only with {option}")
    return roles


def _needed(found: Mapping[str, str], names: Sequence[str], recording: Recording) -> list[str]:
    """Roles without which nothing can be made of the recording."""
    needed = ["reference"] if recording.graded else ["verdict"]
    has_answers = "text" in found or "answer" in found or not _ANSWERS.isdisjoint(names)
    if recording.graded or has_answers:
        needed.append("text" if recording.answers == "ours" else "answer")
    return needed


def _way_out(missing: Sequence[str], names: Sequence[str]) -> str:
    """What else could be taken where columns are missing."""
    options, columns = [], []
    for role, instead, option in (
        ("text", "answer", "--answers recorded"),
        ("reference", "verdict", "--verdicts recorded"),
    ):
        usual = [name for rank in POOLS[instead] for name in rank if name in names]
        if role in missing and usual:
            options.append(option)
            columns.append(quoted(usual[0]))
    if not options:
        return ""
    say = "say" if columns[1:] else "says"
    return f"; {' '.join(options)} takes what {' and '.join(columns)} {say}"
