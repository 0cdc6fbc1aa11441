"""Errors, as one tree.

TtsBenchError                 show the message, no traceback
├── UsageError                the user can mend it (exit 2)
│   ├── SuiteError            one or more faults in a suite, each with file:line
│   ├── UnknownName           no such strategy, engine, ...: with a suggestion
│   ├── MissingExtra          an optional dependency is not installed
│   ├── DatasetError          a data set cannot be read or holds nothing usable
│   │   └── BadRow            one of its rows is unusable
│   ├── ModelError            a model cannot be found, loaded or fitted in memory
│   ├── NotGiven              a strategy or verifier needs what the engine cannot give
│   └── StoreError            a run or a store cannot be opened, read or written
├── EngineError               the engine failed at one request
│   └── EngineDied            ... and at all that would follow: it is started anew
├── VerifierError             the verifier failed at one candidate
│   └── VerifierDied          ... and at all that would follow: it is started anew
├── ModelLost                 an engine or a verifier died more often than it may (exit 1)
├── BudgetExhausted           an attempt asked for more than its budget
└── ReplayMiss                `--replay` met a request that was never recorded
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence


class TtsBenchError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(TtsBenchError):
    """The user can mend it: a wrong suite, name, path or environment."""


class SuiteError(UsageError):
    """Faults found in a suite; `problems` holds one line for each.

    >>> str(SuiteError(["a.yaml:3: unknown key 'datset'"]))
    "a.yaml:3: unknown key 'datset'"
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class UnknownName(UsageError):
    """A name that nothing answers to; the message suggests the nearest known ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], where: str = "") -> None:
        self.kind, self.name, self.known = kind, name, tuple(sorted(known))
        hint = did_you_mean(name, self.known) or "."
        super().__init__(f"unknown {kind} {quoted(name)}{hint}{where}")


class MissingExtra(UsageError):
    """An optional dependency is missing; the message holds the command that installs it."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an extra: pip install 'tts-bench[{extra}]'")


class DatasetError(UsageError):
    """A data set cannot be read, or holds nothing usable."""


class BadRow(DatasetError):
    """A row of a table is unusable.

    `where` is its place, `kind` the fault in words that are the same for all rows that have it, and
    `detail` what is particular to this one.
    """

    def __init__(self, where: str, kind: str, detail: str = "") -> None:
        self.where, self.kind = where, kind
        super().__init__(f"{where}: {kind}{detail}")


class ModelError(UsageError):
    """A model cannot be found, loaded, or fitted in memory."""


class NotGiven(UsageError):
    """A strategy or a verifier needs what the engine cannot give (see `types.Need`)."""


class StoreError(UsageError):
    """A run folder or a store cannot be opened, read or written."""


class EngineError(TtsBenchError):
    """The engine failed at one request; the attempt becomes an error row."""


class VerifierError(TtsBenchError):
    """The verifier failed at one candidate; the attempt becomes an error row."""


class EngineDied(EngineError):
    """The engine is gone (its process, its connection, its device) and can serve no request.

    It is closed and started anew, and the requests in flight are made again.
    """


class VerifierDied(VerifierError):
    """The verifier is gone and can score nothing; it is treated as `EngineDied` is."""


class ModelLost(TtsBenchError):
    """An engine or a verifier died more often than it may be started anew; the run stops."""


class BudgetExhausted(TtsBenchError):
    """An attempt asked for more than what its budget has left."""


class ReplayMiss(TtsBenchError):
    """`--replay` met a request that was never recorded.

    `missing` says what that is ("a completion was never recorded"), `where` for whom it was.
    """

    def __init__(self, missing: str, where: str = "") -> None:
        self.missing = missing
        place = f"{where}: " if where else ""
        super().__init__(f"{place}{missing}; the same command without --replay makes it")

    def at(self, where: str) -> ReplayMiss:
        """The same miss, with the place at which it was met."""
        return ReplayMiss(self.missing, where)


QUOTED = 200
"""Most characters of a value that a message quotes."""


def quoted(value: object) -> str:
    """A value as a message quotes it: as Python writes it, on one line, cut to a bearable length.

    >>> quoted("a" * 300) == repr("a" * 200) + "..."
    True
    """
    if isinstance(value, str | bytes):
        return f"{value[:QUOTED]!r}..." if len(value) > QUOTED else repr(value)
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, or lists in lists
        text = f"a value of the kind {type(value).__name__}"
    return f"{text[:QUOTED]}..." if len(text) > QUOTED else text


def one_line(value: object, limit: int = 200) -> str:
    r"""The text of a value in one line of at most so many characters, for a message.

    >>> one_line("a\n  b " + "c" * 500, limit=8)
    'a b c...'
    """
    text = " ".join(str(value)[: 10 * limit].split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


_OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys and does not show, but for tab and newline: control characters, marks that
turn the direction of text, and halves of characters, which cannot be written at all."""


def printable(text: str) -> str:
    r"""The text with everything that a terminal would obey written out as `\uXXXX`.

    Within JSON these are JSON's own escapes, so that it stays what it was.

    >>> printable("\x1b[31mred")
    '\\u001b[31mred'
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A suggestion to append to a message, or nothing if no known name is near.

    >>> did_you_mean("majorty_vote", ["majority_vote", "greedy"])
    ". Did you mean 'majority_vote'?"
    """
    if len(name) > QUOTED:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.55)
    return f". Did you mean {near[0]!r}?" if near else ""
