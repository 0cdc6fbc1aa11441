"""A compute-optimal policy in a file: which strategy each difficulty gets, at each budget."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from tts_bench.errors import SuiteError, UsageError
from tts_bench.strategy.base import Strategy
from tts_bench.suite.fields import build, field_types
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.suite.yaml_document import YamlDocument, read_yaml
from tts_bench.types import Problem


@dataclass(frozen=True)
class Choice:
    """A strategy and its parameters."""

    strategy: str
    params: dict[str, Any]


@dataclass(frozen=True)
class AtBudget:
    """What each bin gets, easiest first, where a problem may cost so much in the mean."""

    flops: float
    choices: list[Choice]


@dataclass(frozen=True)
class PolicyFile:
    """The content of a policy file, as `tts-bench policy --write` makes it."""

    format_version: Literal[1]
    made_of: str
    by: Literal["level", "predicted"]
    bins: list[str]
    budgets: list[AtBudget]
    levels: list[int] | None = None
    """The level of each bin, if they are levels."""
    probe: int = 0
    """Draws whose mean verifier score tells the bin, if it is predicted."""
    edges: list[float] | None = None
    """Mean scores between the bins, descending: one between each two."""

    def __post_init__(self) -> None:
        if not self.budgets:
            raise ValueError("budgets is empty")
        for one in self.budgets:
            if len(one.choices) != len(self.bins):
                raise ValueError(f"{len(one.choices)} choices for {len(self.bins)} bins")
        if self.by == "level" and len(self.levels or ()) != len(self.bins):
            raise ValueError("levels must name the level of each bin")
        if self.by == "predicted" and (self.edges is None or self.probe < 1):
            raise ValueError("a policy that predicts needs edges and a probe of at least 1")
        if self.by == "predicted" and len(self.edges or ()) != len(self.bins) - 1:
            raise ValueError(
                f"{len(self.edges or ())} edges for {len(self.bins)} bins, which need one between "
                "each two; write the file anew with: tts-bench policy RUN --by predicted --write"
            )


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy at one budget, its strategies made."""

    file: PolicyFile
    strategies: tuple[Strategy, ...]
    """By bin, easiest first."""

    def for_level(self, problem: Problem) -> Strategy:
        """The strategy of the problem's level. Raises UsageError for a level without one."""
        levels = self.file.levels or []
        if problem.level not in levels:
            known = ", ".join(map(str, levels))
            raise UsageError(f"{problem.id}: the policy knows levels {known}, not {problem.level}")
        return self.strategies[levels.index(problem.level)]

    def for_score(self, score: float) -> Strategy:
        """The strategy of the bin of a probe's mean verifier score."""
        edges = self.file.edges or []
        return self.strategies[sum(score < edge for edge in edges)]


@lru_cache(maxsize=32)
def load_policy(path: str, budget: float) -> LoadedPolicy:
    """The policy of a file at its largest budget up to `budget` FLOPs per problem.

    Raises SuiteError with every fault of the file, UsageError if all its budgets are larger.
    """
    if not Path(path).is_file():
        raise UsageError(
            f"{path}: no such policy file; make one with: tts-bench policy RUN --write"
        )
    document = read_yaml(Path(path), path)
    file = build(PolicyFile, document.data, (), document)
    if file is None or document.faults:
        raise SuiteError(document.report())
    affordable = [one for one in file.budgets if one.flops <= budget]
    if not affordable:
        least = min(one.flops for one in file.budgets)
        raise UsageError(
            f"{path}: its smallest budget is {least:.3g} FLOPs, more than {budget:.3g}"
        )
    chosen = max(affordable, key=lambda one: one.flops)
    strategies = [_made(choice, i, document) for i, choice in enumerate(chosen.choices)]
    if document.faults:
        raise SuiteError(document.report())
    return LoadedPolicy(file, tuple(one for one in strategies if one is not None))


def _made(choice: Choice, bin_number: int, document: YamlDocument) -> Strategy | None:
    cls = Registry().load(STRATEGIES, choice.strategy)
    unknown = sorted(set(choice.params) - set(field_types(cls)))
    if unknown:
        document.fault(
            ("budgets",),
            f"{choice.strategy} of bin {bin_number + 1} has no parameter {unknown[0]!r} (sampling "
            "is the suite's)",
        )
        return None
    made: Strategy | None = build(cls, choice.params, ("budgets",), document)
    return made
