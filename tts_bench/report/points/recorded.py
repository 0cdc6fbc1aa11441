"""What must be known beside the numbers of recorded completions."""

from __future__ import annotations

from collections.abc import Iterator

from tts_bench.report.points.outcomes import Outcomes
from tts_bench.report.points.scope import Scope


def recording_notes(scope: Scope, outcomes: Outcomes) -> Iterator[str]:
    """A sentence for each thing that was taken at the recording's word, or is suspicious."""
    recording = scope.recording
    if recording is None:
        return
    if recording.verdicts == "recorded":
        yield "verdicts are the recording's; nothing was graded here"
    if recording.answers == "recorded":
        same = "of the same text" if recording.equal == "literal" else "equal by our grader"
        none = ", ".join(map(repr, recording.no_answer))
        yield (
            f"answers are the recording's; those {same} vote together"
            f"{f', and {none} is no answer' if none else ''}"
        )
    if recording.answers == "none":
        yield (
            "no answers were recorded, so nothing can vote; random_choice takes any completion, "
            "whatever it answers"
        )
    if recording.mixed:
        yield (
            f"answers that vote together have different verdicts in {recording.mixed} of "
            f"{len(scope.problems)} problems: that of the first drawn counts"
        )
    if recording.selected:
        yield (
            "a completion of every problem is right: if the problems were selected for that, "
            "accuracy and coverage are higher than the model's"
        )
    yield from _tie_notes(scope, outcomes)


def _tie_notes(scope: Scope, outcomes: Outcomes) -> Iterator[str]:
    """Between what a vote of all completions can be, by how its ties are broken."""
    for cell in scope.cells:
        keys = [key for key in outcomes.by_key if key[0] == cell.id]
        bounds = [bound for key in keys if (bound := outcomes.by_key[key].vote) is not None]
        tied = sum(low != high for low, high in bounds)
        if tied and cell.sizes[-1]:
            low, high = (100 * sum(end) / len(bounds) for end in zip(*bounds, strict=True))
            yield (
                f"{cell.strategy}@{cell.sizes[-1]}: ties in {tied} of {len(bounds)} problems; "
                f"{low:.2f} to {high:.2f} % over all ways to break them"
            )
