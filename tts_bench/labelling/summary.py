"""Messages of a labelling job to its user, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tts_bench.labelling.agreement import Agreement
from tts_bench.labelling.job import LabellingJob
from tts_bench.labelling.trace import Distinct

MANY_CUT_OFF = 0.05
"""Share of rollouts cut off above which labels are doubtful."""


def announcement(job: LabellingJob, found: Distinct) -> list[str]:
    """What there is to label, and the most that it can cost."""
    traces, problems = found.traces, {trace.problem.id for trace in found.traces}
    steps = sum(len(trace.steps) for trace in traces)
    left_out = [
        f"{count} {what}"
        for count, what in ((found.copies, "copies"), (found.empty, "without a complete step"))
        if count
    ]
    estimate = job.labeller.estimate(traces)
    most = estimate.distinct * job.sampling.max_tokens
    return [
        f"solutions {len(traces):,} of {len(problems):,} problems, {steps:,} steps"
        + (f"; left out: {', '.join(left_out)}" if left_out else ""),
        f"cost      at most {estimate.completions:,} completions ({estimate.how}), "
        f"{estimate.distinct:,} of them distinct: at most {most:,} tokens to generate",
    ]


def outcome(totals: Mapping[str, Any], generated_tokens: int) -> list[str]:
    """What became of it, and what it cost."""
    lines = [
        f"labels    {totals['traces']:,} solutions, {totals['steps']:,} steps of which "
        f"{totals['right_steps']:,} right; {totals['traces_with_error']:,} solutions have a "
        "wrong step"
    ]
    if totals["rollouts"]:
        share = totals["right_rollouts"] / totals["rollouts"]
        lines.append(f"rollouts  {totals['rollouts']:,}, {share:.1%} right")
    lines.append(
        f"spent     {_tokens(totals['completion_tokens'])} completion tokens, prompt tokens "
        f"{_tokens(totals['prompt_tokens_logical'])} logical / "
        f"{_tokens(totals['prompt_tokens_ideal'])} ideal; "
        f"FLOPs {_flops(totals['flops_logical'])} logical / {_flops(totals['flops_ideal'])} ideal"
    )
    lines.append(f"generated {generated_tokens:,} tokens in this session; the rest was stored")
    return lines


def warnings(totals: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about labels that are doubtful, or of no use for training."""
    steps, right = totals["steps"], totals["right_steps"]
    if steps and right == steps:
        yield "every step is labelled right: a reward model learns nothing from these labels"
    if steps and not right:
        yield (
            "every step is labelled wrong: the policy never reaches a reference answer; check "
            "prompt, max_tokens and references"
        )
    rollouts = totals["rollouts"]
    if totals["cut_off_rollouts"] > MANY_CUT_OFF * rollouts:
        share = totals["cut_off_rollouts"] / rollouts
        yield (
            f"{share:.0%} of the rollouts were cut off without an answer and count as wrong: "
            "raise sampling.max_tokens"
        )
    if totals["not_graded_rollouts"]:
        yield (
            f"{totals['not_graded_rollouts']:,} rollouts could not be graded in time and count "
            "as wrong"
        )


def agreement_lines(found: Agreement) -> list[str]:
    """Agreement of two label files."""
    return [
        f"traces    {found.traces:,} in both files; {found.only_a:,} only in the first, "
        f"{found.only_b:,} only in the second",
        f"agree     {_share(found.same_first_error, found.traces)} on the first wrong step or on "
        f"having none ({found.both_without_error:,} without)",
        f"steps     {_share(found.same_steps, found.steps)} labelled alike, up to the second "
        "file's first wrong step",
        f"passed    {_share(found.passed, found.wrong_steps)} first wrong steps of the second file "
        "are right in the first",
        f"blamed    {_share(found.blamed, found.steps - found.wrong_steps)} steps before it are "
        "wrong in the first",
    ]


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,}" + (f" ({part / whole:.1%})" if whole else "")


def _tokens(tokens: int | None) -> str:
    return "unknown" if tokens is None else f"{tokens:,}"


def _flops(flops: float | None) -> str:
    return "unknown" if flops is None else f"{flops:.3g}"
