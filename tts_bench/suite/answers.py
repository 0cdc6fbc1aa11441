"""Kinds of answers by name, and graders for them whose workers find a user's own class again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tts_bench.answers.grader import Grader, GradingLimits, KindFault, KindWork, Question, Reply
from tts_bench.answers.kinds import MATH, AnswerKind
from tts_bench.errors import UsageError
from tts_bench.suite.registry import ANSWERS, Registry


@dataclass(frozen=True)
class NamedWork:
    """What a worker does for a kind of answers that it has to load itself, by its name."""

    name: str
    settings: str
    """Its settings as JSON."""

    def __call__(self, question: Question) -> Reply:
        """The kind's reply, or what it did wrong."""
        try:
            return KindWork(_loaded(self.name, self.settings))(question)
        except UsageError as error:
            return KindFault(str(error))


def load_answers(name: str) -> AnswerKind:
    """The kind of answers of that name, or of `path.py:Class`, with its default settings.

    Raises UsageError.
    """
    return _loaded(_absolute(name), "{}")


def grader_of(
    kind: AnswerKind,
    block: Mapping[str, Any] | None,
    limits: GradingLimits = GradingLimits(),  # noqa: B008 - it is immutable
) -> Grader:
    """A grader for a kind of answers; `block` has its name and settings, if it is not `math`."""
    if block is None:
        return Grader(limits=limits, kind=kind)
    settings = {key: value for key, value in block.items() if key != "name"}
    work = NamedWork(_absolute(block["name"]), json.dumps(settings, sort_keys=True))
    return Grader(limits=limits, kind=kind, work=work)


def grader_named(name: str, limits: GradingLimits = GradingLimits()) -> Grader:  # noqa: B008
    """A grader for the kind of answers of a name. Raises UsageError."""
    kind = load_answers(name)
    return Grader(limits=limits) if kind == MATH else grader_of(kind, {"name": name}, limits)


def _absolute(name: str) -> str:
    """The name, with the whole path of a file: a worker may be in another folder."""
    path, colon, attribute = name.rpartition(".py:")
    return f"{Path(path + '.py').resolve()}:{attribute}" if colon else name


@lru_cache(maxsize=8)
def _loaded(name: str, settings: str) -> AnswerKind:
    cls = Registry().load(ANSWERS, name)
    try:
        kind: AnswerKind = cls(**json.loads(settings))
    except (TypeError, ValueError) as error:
        raise UsageError(f"answers {name}: {error}") from error
    return kind
