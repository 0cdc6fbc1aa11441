"""Two label files: how far they agree, and what both of them vouch for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tts_bench.errors import UsageError
from tts_bench.labelling.label_file import LabelRow


@dataclass(frozen=True)
class Agreement:
    """Counts over the traces that two label files share; `a` is judged by `b`.

    Steps are compared up to and with the first that is wrong by `b`: what follows a wrong step
    has no label of its own that all methods would mean the same by.
    """

    traces: int
    only_a: int
    only_b: int
    same_first_error: int
    """Traces on whose first wrong step, or on having none, both agree."""
    both_without_error: int
    steps: int
    same_steps: int
    wrong_steps: int
    """First wrong steps by `b`."""
    passed: int
    """Of these, those that `a` labels right."""
    blamed: int
    """Steps before it that `a` labels wrong."""


def compare(a: Mapping[str, LabelRow], b: Mapping[str, LabelRow]) -> Agreement:
    """Compare the labels of two files. Raises UsageError if they share no trace."""
    shared = _shared(a, b)
    pairs = [(a[key], b[key]) for key in shared]
    passed = blamed = wrong = steps = 0
    for one, other in pairs:
        end = other.first_error if other.first_error >= 0 else len(other.labels)
        blamed += sum(not label for label in one.labels[:end])
        steps += end
        if other.first_error >= 0:
            steps, wrong, passed = steps + 1, wrong + 1, passed + one.labels[end]
    same = [one.first_error for one, other in pairs if one.first_error == other.first_error]
    return Agreement(
        traces=len(pairs),
        only_a=len(a) - len(pairs),
        only_b=len(b) - len(pairs),
        same_first_error=len(same),
        both_without_error=sum(step < 0 for step in same),
        steps=steps,
        same_steps=steps - passed - blamed,
        wrong_steps=wrong,
        passed=passed,
        blamed=blamed,
    )


def consensus(a: Mapping[str, LabelRow], b: Mapping[str, LabelRow]) -> list[LabelRow]:
    """The lines of `a` on whose first wrong step, or on having none, `b` agrees.

    The filter of Qwen's "Lessons of developing PRMs" (2501.07301, section 3.1.3): what Monte
    Carlo and a judge agree on is less, and better. A kept line has the labels that both mean: right
    before the first wrong step, wrong from there on. Raises UsageError if the files share no
    trace.
    """
    kept = []
    for key in _shared(a, b):
        row, other = a[key], b[key]
        if row.first_error == other.first_error:
            end = row.first_error if row.first_error >= 0 else len(row.labels)
            labels = tuple(i < end for i in range(len(row.labels)))
            method = f"{row.method}+{other.method}"
            verdict = row.verdict or other.verdict
            kept.append(replace(row, labels=labels, method=method, verdict=verdict))
    return kept


def _shared(a: Mapping[str, LabelRow], b: Mapping[str, LabelRow]) -> list[str]:
    shared = [key for key in a if key in b]
    if not shared:
        raise UsageError(
            "the two files have no trace in common: they must label the same solutions, cut by "
            "the same delimiter"
        )
    return shared
