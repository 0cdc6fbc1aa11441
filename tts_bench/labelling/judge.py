"""Labels from a judge: a model reads the solution and names its first wrong step."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tts_bench.answers.thinking import after_thinking
from tts_bench.errors import TtsBenchError, UsageError
from tts_bench.labelling.base import LabellingBound
from tts_bench.labelling.label_file import Labels
from tts_bench.labelling.probe import Probe
from tts_bench.labelling.trace import Trace
from tts_bench.steps import NO_ERROR
from tts_bench.types import Candidate

TEMPLATE = """\
You are given a problem and a solution that is cut into numbered steps. Find the first step that \
is wrong, if there is one.

How to decide:
- Go through the steps in order, and check each against the problem and the steps before it only.
- A step is wrong if a calculation in it is wrong, if it claims what does not follow, if it \
misreads the problem, or if it gives as the answer what the problem does not ask for.
- A step is not wrong because it is short, clumsy, unusual, unnecessary, or merely announces \
what comes next.
- Redo every calculation yourself. Do not trust a step because a later one agrees with it.
- Steps that follow a wrong step are not to be judged.

Problem:
{problem}

Solution:
{steps}

For each step, up to and including the first wrong one, write a line that says what you checked \
and what you found. Then end with exactly one line: "First wrong step: N", where N is the number \
of that step, or "First wrong step: none".
"""

_VERDICT = re.compile(
    r"first wrong step[ *_`\"]*(?::|is\b)[ *_`\"]*(?:step )?(none|\d{1,9})\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Judge:
    """A model as judge: right before the first wrong step that it names, wrong from there on.

    `template` holds `{problem}` and `{steps}`. A reply without a verdict that can be read (none
    at all, a step that does not exist, a reply that was cut off) is drawn again, up to `tries`
    times; then the trace fails. No step is ever labelled by default.
    """

    template: str = TEMPLATE
    tries: int = 3

    name: ClassVar[str] = "judge"
    needs_reference: ClassVar[bool] = False
    needs: ClassVar[Collection[str]] = ()

    def __post_init__(self) -> None:
        if self.tries < 1:
            raise UsageError(f"--tries {self.tries}: must be at least 1")
        for place in ("{problem}", "{steps}"):
            if self.template.count(place) != 1:
                raise UsageError(f"the judge's template must hold {place} once")

    @property
    def draws_repeatedly(self) -> bool:
        return False

    def estimate(self, traces: Sequence[Trace]) -> LabellingBound:
        """As if every reply but the last could not be read."""
        most = len(traces) * self.tries
        how = f"one reply for each of {len(traces):,} solutions, at most {self.tries}"
        return LabellingBound(most, most, how)

    async def label(self, probe: Probe) -> Labels:
        """Ask until a verdict can be read. Raises TtsBenchError if none can."""
        trace = probe.trace
        question = self.question(trace)
        for _ in range(self.tries):
            reply = await probe.ask(question)
            step = first_wrong_step(reply, len(trace.steps), thinking=probe.opened_thinking(reply))
            if step is not None:
                wrong = len(trace.steps) if step == NO_ERROR else step
                labels = tuple(i < wrong for i in range(len(trace.steps)))
                return Labels(labels, verdict=reply.text)
        raise TtsBenchError(f"no verdict in {self.tries} replies; the last: {reply.text[-200:]!r}")

    def question(self, trace: Trace) -> str:
        """The text that is put to the judge."""
        steps = "\n\n".join(f"[{i}] {step.strip()}" for i, step in enumerate(trace.steps, 1))
        # In one pass: a problem may well hold braces, or these very words.
        texts = {"{problem}": trace.problem.text, "{steps}": steps}
        return re.sub(r"\{problem\}|\{steps\}", lambda place: texts[place[0]], self.template)


def first_wrong_step(reply: Candidate, steps: int, *, thinking: bool = False) -> int | None:
    """Index of the first wrong step by the reply's last verdict, `NO_ERROR` for none of them.

    What the judge thinks before it is no verdict; `thinking` tells that its prompt has opened a
    thinking already. None if there is none, if it names a step that
    does not exist, and if the reply was cut off: what it ends with was not meant to be its end.
    """
    found = _VERDICT.findall(after_thinking(reply.text, opened=thinking) or "")
    if not found or reply.finish_reason == "length":
        return None
    if found[-1].lower() == "none":
        return NO_ERROR
    number = int(found[-1])
    return number - 1 if 1 <= number <= steps else None
