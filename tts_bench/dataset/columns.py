"""Which column of a table holds what: the usual names of every role, and one way to find them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from tts_bench.dataset.row import Row
from tts_bench.errors import DatasetError, did_you_mean, quoted

Names = tuple[tuple[str, ...], ...]
"""Usual names of a role in ranks: a later rank is looked at only if no earlier one is there.

Names of one rank are equally likely to be meant: a table that has two of them is ambiguous.
"""

_PROBLEM: Names = (("problem", "question"), ("prompt",))
_REFERENCE: Names = (
    ("reference",),
    (
        "gold_answer",
        "ground_truth_answer",
        "expected_answer",
        "reference_answer",
        "correct_answer",
        "gt_answer",
        "ground_truth",
        "gold",
    ),
    ("answer",),
)
"""Where a table has both, its `answer` may be what the model said."""
_PROBLEM_ID: Names = (("problem_id",), ("id", "unique_id"))
_PROMPT: Names = (("prompt",), ("problem", "question"))
_COMPLETION: Names = (("completion",), ("solution", "text"), ("answer",))

_FINISH_REASON: Names = (
    ("finish_reason", "finish_reasons"),
    ("stop_reason", "stop_reasons"),
    ("is_reasoning_complete",),
)

PROBLEMS: Mapping[str, Names] = {
    "problem": _PROBLEM,
    "reference": _REFERENCE,
    "id": (("id", "unique_id"),),
    "level": (("level",),),
    "subject": (("subject",),),
}
"""A data set's problems."""

POOLS: Mapping[str, Names] = {
    **PROBLEMS,
    "reference": (*_REFERENCE, ("solution",)),
    "id": (*_PROBLEM_ID, ("problem_idx", "uuid")),
    "text": (
        (
            "completion",
            "completions",
            "response",
            "responses",
            "generation",
            "generations",
            "sampled_solutions",
            "samples",
        ),
        ("text",),
        ("answer",),
        ("rollout_*", "completion_*", "response_*", "generation_*", "sample_*"),
    ),
    "answer": (
        (
            "pred",
            "preds",
            "prediction",
            "predictions",
            "parsed_answer",
            "parsed_answers",
            "extracted_answer",
            "extracted_answers",
            "predicted_answer",
            "predicted_answers",
            "pred_answer",
            "pred_answers",
            "model_answer",
            "model_answers",
        ),
        ("answers",),
        ("pred_*", "prediction_*", "answer_*"),
    ),
    "score": (
        ("score", "scores"),
        ("sampled_prm_scores", "prm_scores", "prm_score", "step_scores"),
        ("agg_scores",),
        ("score_*", "prm_score_*"),
    ),
    "tokens": (
        ("tokens", "num_tokens"),
        ("completion_tokens", "output_tokens", "generated_tokens"),
        ("tokens_*", "output_tokens_*"),
    ),
    "finish_reason": _FINISH_REASON,
    "verdict": (
        ("correct", "is_correct", "is_corrects"),
        ("correctness_math_verify", "math_verify_correct", "symbolic_correct"),
        ("correct_*", "is_correct_*"),
    ),
    "model": (("model_name",), ("model",)),
    "draw": (("idx_answer",),),
}
"""Recorded completions; a name with `*` is that of numbered columns, one for each completion."""

SOLUTIONS: Mapping[str, Names] = {
    "id": _PROBLEM_ID,
    "problem": _PROBLEM,
    "reference": _REFERENCE,
    "solution": (("solution", "response", "completion", "text"),),
    "steps": (("steps", "completions"),),
    "finish_reason": _FINISH_REASON,
}
"""Solutions whose steps are to be labelled."""

LABELLED_STEPS: Mapping[str, Names] = {
    "problem": _PROBLEM,
    "steps": (("steps", "completions"),),
    "labels": (("labels", "ratings"),),
    "soft": (("soft",),),
    "score": (("step_scores", "step_score"), ("scores",)),
    "first_error": (("label",),),
    "correct": (("correct", "final_answer_correct"),),
    "id": (("id",),),
    "problem_id": (("problem_id",),),
    "group": (("split", "subset"),),
    "alternatives": (("alternatives",),),
}
"""Solutions whose steps are labelled."""

RANKED: Mapping[str, Names] = {
    "problem": _PROBLEM,
    "id": (("problem_id", "problem_idx"), ("id", "unique_id")),
    "text": (
        ("eval_solution", "eval_solutions", "solution", "solutions"),
        ("completion", "completions", "response", "responses", "generation", "generations"),
        ("steps", "text", "texts"),
    ),
    "score": (("step_scores",), ("score", "scores"), ("reward", "rewards")),
    "verdict": (("correct", "is_correct", "is_corrects", "right"), ("solution_type",)),
    "level": (("level",),),
}
"""Problems with one right candidate among several."""

CONVERSATIONS: Mapping[str, Names] = {
    "prompt": _PROMPT,
    "completion": _COMPLETION,
    "messages": (("messages",),),
}
"""What a policy learns from."""

OUTCOMES: Mapping[str, Names] = {
    "prompt": _PROMPT,
    "completion": _COMPLETION,
    "label": (("label",), ("correct",)),
}
"""What an outcome reward model learns from."""

Option = Literal["columns", "--column", "--map"]
"""Where a user names columns: a key in YAML, or an option of the command line."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Finds the column of each role; a column that the user named wins over the usual names.

    Raises DatasetError for a named role that `names` does not have.
    """

    names: Mapping[str, Names]
    """Roles, and the usual names of each."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Columns that the user named, by role."""
    required: tuple[str, ...] = ()
    option: Option = "columns"

    def __post_init__(self) -> None:
        for role, column in self.given.items():
            if role not in self.names:
                near = did_you_mean(role, self.names)
                known = ", ".join(self.names)
                raise DatasetError(
                    f"{self.spelt(role, column)}: no role {quoted(role)}, only {known}{near}"
                )

    def find(self, names: Sequence[str], where: str) -> dict[str, str]:
        """The column of each role among the `names` that a table (or a row) has.

        Raises DatasetError, with `where`, if a named column or a required role is not there, or
        two columns may hold one role.
        """
        found: dict[str, str] = {}
        for role in self.names:
            # A column holds one thing: an earlier role's is none of a later one's usual names.
            found[role] = self._one(role, names, set(found.values()), where)
        for role in self.required:
            if not found[role]:
                raise DatasetError(self.missing(role, names, where, set(found.values())))
        return {role: column for role, column in found.items() if column}

    def find_in(self, row: Row) -> dict[str, str]:
        """The column of each role in a row; of the usual names, only those with something in them.

        For rows that need not be of one table. Raises as `find` does.
        """
        named = set(self.given.values())
        names = [name for name, cell in row.cells.items() if cell is not None or name in named]
        return self.find(names, row.where)

    def cells(self, row: Row) -> dict[str, Any]:
        """What a row says of each role that it has. Raises as `find` does."""
        return {role: row.cells[column] for role, column in self.find_in(row).items()}

    def missing(
        self, role: str, names: Sequence[str], where: str, taken: Collection[str] = ()
    ) -> str:
        """A message that says that no column holds the role; `taken` ones hold others."""
        wanted = (self.given[role],) if role in self.given else sum(self.names[role], ())
        sought = " or ".join(map(quoted, wanted))
        there = ", ".join(map(quoted, names)) or "none"
        free = [name for name in names if name not in taken]
        near = next(filter(None, (did_you_mean(name, free) for name in wanted)), "")
        hint = near or ("" if role in self.given else f"; name it: {self.spelt(role, 'NAME')}")
        return f"{where}: no column {sought} for the {role}; there are {there}{hint}"

    def _one(self, role: str, names: Sequence[str], taken: Collection[str], where: str) -> str:
        if role in self.given:
            if self.given[role] not in names:
                raise DatasetError(self.missing(role, names, where))
            return self.given[role]
        free = set(names) - set(self.given.values()) - set(taken)
        for rank in self.names[role]:
            present = [name for name in rank if name in free]
            if len(present) > 1:
                raise DatasetError(
                    f"{where}: {' and '.join(map(repr, present))} may each be the {role}; "
                    f"say which: {self.spelt(role, present[0])}"
                )
            if present:
                return present[0]
        return ""

    def spelt(self, role: str, column: str) -> str:
        """How a user names the column of a role."""
        if self.option == "columns":
            return f"columns: {{{role}: {column}}}"
        return f"{self.option} {role}={column}"


def parse_columns(texts: Sequence[str], option: Option) -> dict[str, str]:
    """Columns by role from the values of an option, each `ROLE=NAME`. Raises DatasetError."""
    columns: dict[str, str] = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not equals or not role or not name:
            raise DatasetError(f"{option} {text}: must be ROLE=NAME")
        if role in columns:
            raise DatasetError(f"{option} {text}: {role} is named twice")
        columns[role] = name
    return columns
