"""A gate's verdict as text for a terminal, as Markdown for a pull request and as JUnit XML."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from tts_bench.report.gate.verdict import Check, GateVerdict

_SHOWN = 20
"""Failed attempts that a text lists; JUnit has them all."""


def terminal(verdict: GateVerdict) -> str:
    """The verdict and its reasons."""
    lines = [f"gate      {_headline(verdict)}"]
    for check in _listed(verdict):
        mark = "ok  " if check.status == "passed" else "FAIL"
        lines.append(f"{mark}  {check.name}  {check.quantity}: {check.detail}")
    notes = [f"note      {note}" for note in verdict.notes]
    return "\n".join([*lines, *_more(verdict), *notes])


def markdown(verdict: GateVerdict) -> str:
    """A summary for a pull request."""
    rows = [
        f"| {'✅' if check.status == 'passed' else '❌'} | {_cell(check.name)} "
        f"| {check.quantity} | {_cell(check.detail)} |"
        for check in _listed(verdict)
    ]
    table = ["| | what | quantity | found |", "| --- | --- | --- | --- |", *rows] if rows else []
    heading = f"### tts-bench gate: {_headline(verdict)}"
    notes = [line for note in verdict.notes for line in ("", f"Note: {note}.")]
    return "\n".join([heading, "", *table, *_more(verdict), *notes]) + "\n"


def junit(verdict: GateVerdict) -> str:
    """JUnit XML: a test case for every check."""
    failed = len(verdict.failures)
    suite = ElementTree.Element(
        "testsuite",
        name=f"tts-bench gate ({verdict.mode})",
        tests=str(len(verdict.checks)),
        failures=str(failed),
        errors="0",
        skipped="0",
    )
    for check in verdict.checks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=check.name, name=check.quantity, time="0"
        )
        if check.status == "failed":
            ElementTree.SubElement(case, "failure", message=check.detail).text = check.detail
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _headline(verdict: GateVerdict) -> str:
    word = "passed" if verdict.passed else "FAILED"
    count = f"{len(verdict.failures)} of {len(verdict.checks)} checks failed"
    return f"{word} ({verdict.mode}): {verdict.run} against {verdict.baseline}, {count}"


def _listed(verdict: GateVerdict) -> Sequence[Check]:
    """All points; of attempts only those that failed, and not more than fit."""
    if verdict.mode == "statistical":
        return verdict.checks
    return verdict.failures[:_SHOWN]


def _more(verdict: GateVerdict) -> list[str]:
    hidden = len(verdict.failures) - _SHOWN if verdict.mode == "exact" else 0
    return ["", f"... and {hidden} more"] if hidden > 0 else []


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
