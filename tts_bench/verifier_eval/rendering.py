"""From labelled steps to the text that a verifier reads, with as many steps as there are labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tts_bench.dataset.step_labels import LabelledSolution
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.errors import UsageError
from tts_bench.steps import split_steps
from tts_bench.types import Candidate, FinishReason, Problem


@dataclass(frozen=True, slots=True)
class Written:
    """A labelled solution as a verifier is shown it."""

    solution: LabelledSolution
    problem: Problem
    candidate: Candidate


@dataclass(frozen=True, slots=True)
class Texts:
    """Every solution that could be written, and what had to be done for it."""

    written: tuple[Written, ...]
    unwritten: tuple[str, ...]
    """Solutions that are left out, each with the reason."""
    mended: int
    """Solutions with steps that held the delimiter, which was taken out of them."""


def write(
    solutions: Iterable[LabelledSolution], delimiter: str, tokenizer: Tokenizer | None = None
) -> Texts:
    """Each solution's steps joined by the verifier's delimiter, as a model writes them.

    White space around a step is dropped, and a delimiter within one becomes a single newline (a
    space where the delimiter is itself a newline): the verifier would take it for the end of a
    step that has no label. The last step is left open, as a model ends it. The tokenizer, if
    there is one, gives the candidates their token ids. Raises UsageError if no solution is
    left.
    """
    written: list[Written] = []
    unwritten: list[str] = []
    mended = 0
    for solution in solutions:
        bare = [_bare(step, delimiter) for step in solution.steps]
        plain = [_without(step, delimiter) for step in bare]
        text = delimiter.join(plain)
        found = len(split_steps(text, delimiter))
        if found != len(plain):
            unwritten.append(f"{solution.id}: {len(plain)} labelled steps are {found} in the text")
            continue
        mended += plain != bare
        ids = tokenizer.encode(text) if tokenizer is not None else ()
        problem = Problem(solution.problem_id, solution.problem)
        written.append(Written(solution, problem, given(len(written), text, ids)))
    if not written:
        raise UsageError(f"no solution can be written with the delimiter {delimiter!r}")
    return Texts(tuple(written), tuple(unwritten), mended)


def given(
    number: int,
    text: str,
    ids: Sequence[int] = (),
    *,
    logprob: float = 0.0,
    generated: int = 0,
    finish_reason: FinishReason = "stop",
) -> Candidate:
    """A candidate that no session of this process drew; `generated` tokens of it are a model's."""
    return Candidate(
        id=number,
        prompt_ids=(),
        token_ids=tuple(ids),
        text=text,
        answer=None,
        answer_class=None,
        logprob=logprob,
        generated_tokens=generated,
        finish_reason=finish_reason,
    )


def _bare(step: str, delimiter: str) -> str:
    return step.strip().removesuffix(delimiter).strip()


def _without(step: str, delimiter: str) -> str:
    """The step with the delimiter, wherever it stands in it, put down to a newline or a space."""
    instead = " " if delimiter.strip() or delimiter == "\n" else "\n"
    if delimiter in instead:
        return step
    while delimiter in step:
        step = step.replace(delimiter, instead)
    return step
