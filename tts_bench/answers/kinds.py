"""What an answer is: how it is found in a text, which answers vote together, and which is right."""

from __future__ import annotations

import abc
import re
from dataclasses import dataclass

from tts_bench.answers.equality import canonical, canonical_quick, equal, equal_quick
from tts_bench.answers.extract import boxed, extract, what_is_said
from tts_bench.answers.reference import read_reference
from tts_bench.errors import UsageError, quoted

_SHOWN = 80


class AnswerKind(abc.ABC):
    """What answers are in a data set; a subclass is a frozen dataclass of its settings.

    `extract` sees a text without its thinking; `canonical` and `grade` run in worker processes,
    which are ended when they take too long.
    """

    @abc.abstractmethod
    def extract(self, text: str) -> str | None:
        """The answer in a finished text, or None if there is none."""

    def extract_cut(self, text: str) -> str | None:
        """The answer in a text that was cut off: none, unless a subclass knows better."""
        return None

    def canonical(self, answer: str) -> str:
        """The form under which an answer votes: equal answers have equal forms."""
        return " ".join(answer.split())

    @abc.abstractmethod
    def grade(self, reference: str, answer: str, problem: str) -> bool:
        """Whether the answer is right, given the reference and the text of the problem."""

    def read_reference(self, text: str) -> str:
        """The reference that a cell of a table holds. Raises ValueError if it holds none."""
        return text.strip()

    def find(self, text: str, *, cut_off: bool = False, thinking: bool = False) -> str | None:
        """The answer that a text gives after its thinking; `thinking`: the prompt has opened one.

        Raises UsageError where a subclass cannot read the text, or returns no text.
        """
        said = what_is_said(text, thinking)
        try:
            answer = self.extract_cut(said) if cut_off else self.extract(said)
        except (Exception, SystemExit) as error:
            raise UsageError(
                f"{self._shown('extract', error)} at {quoted(said[-_SHOWN:])}"
            ) from error
        if not isinstance(answer, str | None):
            raise UsageError(
                f"answers {type(self).__name__}: extract must return a text or None, "
                f"not {quoted(answer)}"
            )
        return answer or None

    def quick(self, reference: str | None, answer: str, problem: str) -> bool | str | None:
        """The verdict, or without a reference the form, where no worker is needed; else None."""
        return None

    def ask(self, reference: str | None, answer: str, problem: str) -> bool | str:
        """The verdict, or without a reference the form: what a worker does.

        Raises UsageError for what a subclass raises, or returns of another type.
        """
        what = "canonical" if reference is None else "grade"
        try:
            if reference is None:
                said: object = self.canonical(answer)
            else:
                said = self.grade(reference, answer, problem)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:
            raise UsageError(f"{self._shown(what, error)} at {quoted(answer[-_SHOWN:])}") from error
        if not isinstance(said, str if reference is None else bool):
            wanted = "a text" if reference is None else "true or false"
            raise UsageError(
                f"answers {type(self).__name__}: {what} must return {wanted}, not {quoted(said)}"
            )
        return said

    def _shown(self, what: str, error: BaseException) -> str:
        first = f"{type(error).__name__}: {error}".partition("\n")[0]
        return f"answers {type(self).__name__}: {what} raised {first}"


@dataclass(frozen=True)
class MathAnswers(AnswerKind):
    """Numbers, formulas, lists and words of mathematics (docs/grading.md)."""

    def extract(self, text: str) -> str | None:
        """The last box, "answer is", or number of the last line."""
        return extract(text)

    def extract_cut(self, text: str) -> str | None:
        """The last complete box."""
        return boxed(text)

    def canonical(self, answer: str) -> str:
        """The exact form of its value."""
        return canonical(answer)

    def grade(self, reference: str, answer: str, problem: str) -> bool:
        """Whether the values are equal."""
        return equal(reference, answer)

    def read_reference(self, text: str) -> str:
        """The answer alone, also out of a worked solution."""
        return read_reference(text)[0]

    def find(self, text: str, *, cut_off: bool = False, thinking: bool = False) -> str | None:
        """As `extract` and `boxed` find it."""
        return (boxed if cut_off else extract)(text, thinking=thinking)

    def quick(self, reference: str | None, answer: str, problem: str) -> bool | str | None:
        """Where no algebra is needed."""
        return canonical_quick(answer) if reference is None else equal_quick(reference, answer)


MATH = MathAnswers()

_WRAP = r"""(?:[\s$*_"'“”‘’`({\[<]|\\[(\[]|\\(?:text|textbf|mathrm|mathbf|boxed)\s*\{)*"""
_LEAD = (
    r"(?:(?:the\s+)?(?:correct\s+|final\s+)?(?:option|choice|answer|letter)s?\b[\s:]*(?:is\b)?)?"
)
_STATED = re.compile(
    rf"(?P<lead>{_WRAP}{_LEAD}(?P<wrap>{_WRAP}))(?P<letter>[A-Za-z])(?P<close>[)\]}}\"'”*.:,$]*)"
    r"(?![\w'’-])(?P<rest>\s+[a-z]+)?",
    re.IGNORECASE,
)
_ANNOUNCED = re.compile(
    r"\b(?:answer|option|choice)s?[*_]*\s*"
    r"(?:(?:is|are|would be|should be|must be|will be)\b|[:=(])",
    re.IGNORECASE,
)
_NONE = re.compile(rf"{_WRAP}none\b", re.IGNORECASE)
"""None of the choices, which is a statement, too."""
_AFTER_A = ("because", "since", "as", "and", "is", "which", "with", "by")
"""Words that follow a choice named A or I, and not the article or the pronoun."""
_LONGEST = 200


@dataclass(frozen=True)
class ChoiceAnswers(AnswerKind):
    r"""Letters of multiple choice: `C`, `(C)`, `\boxed{C}`, `the answer is C`, `Answer("C")`."""

    letters: str = "ABCDEFGHIJ"
    """Letters that are choices; any other is no answer."""

    def __post_init__(self) -> None:
        if not self.letters.isalpha() or not self.letters.isupper():
            raise ValueError(f"letters must be capital letters, not {self.letters!r}")

    def extract(self, text: str) -> str | None:
        """The letter in the last box, else of the last "answer is", else alone on the last line."""
        if found := self.extract_cut(text):
            return found
        for place in reversed([one.end() for one in _ANNOUNCED.finditer(text)]):
            stated = text[place : place + _LONGEST]
            if _NONE.match(stated):
                return None
            if found := self._stated(stated, alone=False):
                return found
        lines = [line for line in text.splitlines() if line.strip()]
        return self._stated(lines[-1], alone=True) if lines else None

    def extract_cut(self, text: str) -> str | None:
        """The letter in the last complete box."""
        box = boxed(text)
        return self._stated(box, alone=False) if box else None

    def grade(self, reference: str, answer: str, problem: str) -> bool:
        """Whether both are one letter."""
        return self.read_reference(reference) == self.canonical(answer)

    def canonical(self, answer: str) -> str:
        """The letter, as a capital; the text where it is none."""
        return self._stated(answer, alone=True) or super().canonical(answer)

    def read_reference(self, text: str) -> str:
        """The letter. Raises ValueError if there is none."""
        found = self._stated(text, alone=True) or self.extract_cut(text)
        if found is None:
            raise ValueError(f"holds no choice of {self.letters}: {quoted(text[:_SHOWN])}")
        return found

    def quick(self, reference: str | None, answer: str, problem: str) -> bool | str | None:
        """Always: it is a look at a letter."""
        return self.ask(reference, answer, problem)

    def _stated(self, text: str, *, alone: bool) -> str | None:
        """The letter with which a statement begins; `alone`: and nothing but its value follows."""
        match = _STATED.match(text)
        if match is None or match["letter"].upper() not in self.letters:
            return None
        wrapped = bool(match["wrap"].strip(" \n\t:$*_")) or match["close"][:1] in tuple(")]}\"'")
        ended = not text[match.end("close") :].strip(" \n\t.}$*)_")
        is_closed = bool(match["close"])
        if alone and not (ended or (is_closed and match["close"][0] in ").:]}*")):
            return None
        if match["letter"].islower() and not (wrapped or ended):
            return None
        word = (match["rest"] or "").strip()
        is_word = match["letter"] in "AI" and word and not is_closed and not wrapped
        return None if is_word and word not in _AFTER_A else match["letter"].upper()
