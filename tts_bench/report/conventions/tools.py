"""What other tools print of k draws, under which names, and by which convention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from tts_bench.errors import UsageError, did_you_mean, quoted
from tts_bench.stats.conventions import THIS, Convention
from tts_bench.steps import Aggregate

Quantity = Literal["pass", "mean", "majority", "best", "weighted", "half", "all"]
"""Coverage, the mean verdict, three rules that choose among k; that half are right, or all are."""
Spread = Literal["runs", "problems"]


@dataclass(frozen=True)
class Tool:
    """A convention, and the names under which a tool prints what it gives.

    Facts are from the sources named in `source`, as of the date in docs/published.md.
    """

    name: str
    convention: Convention
    names: Mapping[Quantity, str]
    """The rows that the tool prints: `{k}` draws of `{n}`. What it does not print is absent."""
    source: str
    least: Mapping[Quantity, int] = field(default_factory=dict)
    """The smallest k of a row, where that is not 1."""
    spread: Spread | None = None
    """What stands after ±: the standard deviation of the mean over `runs` (the i-th draw of every
    problem is the i-th run), or the standard error over `problems`."""
    spread_of: tuple[Quantity, ...] = ()
    aggregate: Aggregate | None = None
    """How step scores become one, whatever the run's cells say; None for as they say."""
    powers: bool = False
    """Whether k is a power of two and nothing else."""
    sizes: tuple[int, ...] = ()
    """The k of the rows; none for those of the run."""
    once: tuple[Quantity, ...] = ()
    """What is the same for every k, so that without `sizes` one row has it: that of all draws."""
    counts: bool = False
    """Whether mean tokens and the share of missing answers are printed, too."""
    unlike: tuple[str, ...] = ()
    """What the tool does otherwise and is not done here, a sentence each."""


_MAKER = "answers are found and graded as this run has it, not by the tool's own parser"

TOOLS: Mapping[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="this",
            convention=THIS,
            names={
                "pass": "pass@{k}",
                "majority": "majority@{k}",
                "best": "best@{k}",
                "weighted": "weighted@{k}",
            },
            source="docs/estimators.md",
        ),
        Tool(
            name="nemo-skills",
            convention=Convention(draws="first", score_ties="first", answers="graded"),
            names={
                "mean": "pass@1[avg-of-{k}]",
                "majority": "majority@{k}",
                "best": "rm_best@{k}",
                "weighted": "rm_majority@{k}",
                "pass": "pass@{k}",
            },
            source="NVIDIA-NeMo/Skills, nemo_skills/evaluation/metrics/{base,math_metrics}.py",
            least={"majority": 2},
            spread="runs",
            spread_of=("mean",),
            counts=True,
            unlike=(_MAKER,),
        ),
        Tool(
            name="lighteval",
            convention=Convention(
                draws="first",
                ties="first",
                score_ties="first",
                missing="class",
                answers="literal",
            ),
            names={
                "pass": "pass@k:k={k}&n={n}",
                "mean": "avg@n:n={k}",
                "majority": "maj@n:n={k}",
            },
            source="huggingface/lighteval, src/lighteval/metrics/{metrics_sample,metrics}.py",
            spread="problems",
            spread_of=("pass", "mean", "majority"),
            unlike=(
                _MAKER,
                "maj@n of a task without a normalizer counts whole texts; here it counts answers",
            ),
        ),
        Tool(
            name="search-and-learn",
            convention=Convention(draws="first", ties="first", score_ties="first", missing="class"),
            names={
                "best": "pred_naive@{k}",
                "weighted": "pred_weighted@{k}",
                "majority": "pred_maj@{k}",
                "pass": "pass@{k}",
            },
            source="huggingface/search-and-learn, src/sal/utils/{score,math}.py",
            aggregate="last",
            powers=True,
            unlike=(_MAKER,),
        ),
        Tool(
            name="papers",
            convention=THIS,
            names={
                "mean": "avg@{k}",
                "pass": "pass@{k}",
                "majority": "maj@{k}",
                "half": "G-Pass@{k}_0.5",
                "all": "worst-of-{k}",
                "best": "best-of-{k}",
                "weighted": "weighted-maj@{k}",
            },
            source="reports of reasoning models; G-Pass@k: Liu et al. 2024, 2412.13147",
            least={"majority": 2, "half": 2, "all": 2, "best": 2, "weighted": 2},
            spread="problems",
            spread_of=("mean", "pass", "majority", "half", "all", "best", "weighted"),
            once=("mean",),
        ),
    )
}
"""Tools by the name that `--convention` takes."""

OPTIONS: Mapping[str, tuple[str, ...]] = {
    name: get_args(hint) for name, hint in get_type_hints(Convention).items()
}
"""The options of a convention, and their values."""

DIFFERENCE: Mapping[str, str] = {
    "draws": "the first k draws, not all subsets",
    "ties": "ties of votes",
    "score_ties": "ties of scores",
    "missing": "draws without an answer",
    "votes": "mean scores, not sums",
    "answers": "which answers are one",
    "aggregate": "step scores",
}
"""What an option is about, in words for a reader."""


def read_tool(texts: Sequence[str]) -> Tool:
    """The tool that `--convention` names, with the options changed that its values change.

    Each value is a tool's name or OPTION=VALUE; without a name the options are those of `this`.
    Raises UsageError for another name, option or value, and for two of one kind.
    """
    named = [text for text in texts if "=" not in text]
    if len(named) > 1:
        raise UsageError(f"--convention {named[1]}: {named[0]} is named already; name one tool")
    name = named[0] if named else "this"
    if name not in TOOLS:
        raise UsageError(
            f"--convention {quoted(name)}: no such tool, only {', '.join(TOOLS)} or OPTION=VALUE"
            f"{did_you_mean(name, TOOLS)}"
        )
    changes: dict[str, Any] = {}
    for text in texts:
        option, equals, value = text.partition("=")
        if not equals:
            continue
        if option not in OPTIONS:
            near = did_you_mean(option, OPTIONS)
            known = ", ".join(OPTIONS)
            raise UsageError(f"--convention {text}: no option {quoted(option)}, only {known}{near}")
        if value not in OPTIONS[option]:
            near = did_you_mean(value, OPTIONS[option])
            known = ", ".join(OPTIONS[option])
            raise UsageError(f"--convention {text}: {option} must be one of {known}{near}")
        if option in changes:
            raise UsageError(f"--convention {text}: {option} is given twice")
        changes[option] = value
    tool = TOOLS[name]
    return replace(tool, convention=replace(tool.convention, **changes)) if changes else tool


def differing(convention: Convention) -> list[str]:
    """The options in which a convention is not this project's."""
    names = (one.name for one in fields(Convention))
    return [name for name in names if getattr(convention, name) != getattr(THIS, name)]
