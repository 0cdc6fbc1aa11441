"""A stored completion is read once, however many strategies draw it."""

from __future__ import annotations

from tts_bench.answers.kinds import MathAnswers
from tts_bench.engine.base import Completion
from tts_bench.strategy.known_answers import KnownAnswers


class Counted(MathAnswers):
    """Counts the texts that are read."""

    def __init__(self) -> None:
        self.read: list[tuple[str, bool, bool]] = []

    def find(self, text: str, *, cut_off: bool = False, thinking: bool = False) -> str | None:
        self.read.append((text, cut_off, thinking))
        return super().find(text, cut_off=cut_off, thinking=thinking)


def completion(text: str, key: str, finish_reason: str = "stop") -> Completion:
    return Completion((1,), text, -1.0, finish_reason, key=key)


def test_a_completion_is_read_once_also_if_it_has_no_answer():
    kind = Counted()
    known = KnownAnswers(kind)
    for _ in range(3):
        assert known.of(completion("so it is 12", "a"), False) == "12"
        assert known.of(completion("nothing", "b"), False) is None
    assert len(kind.read) == 2


def test_what_decides_the_answer_decides_whether_it_is_known():
    known = KnownAnswers(Counted())
    assert known.of(completion("12</think>13", "a"), True) == "13"
    assert known.of(completion("12", "b"), False) == "12"
    assert known.of(completion("12", "b"), True) is None
    assert known.of(completion("12", "c", "length"), False) is None


def test_a_completion_that_is_not_stored_is_read_each_time():
    known = KnownAnswers(Counted())
    assert known.of(completion("12", ""), False) == "12"
    assert known.of(completion("13", ""), False) == "13"


def test_a_text_of_several_completions_is_none_of_them():
    known = KnownAnswers(Counted())
    last = completion("3", "a")
    assert known.read("1" + last.text, last, False) == "13"
    assert known.of(last, False) == "3"


def test_what_was_read_first_is_forgotten_first():
    kind = Counted()
    known = KnownAnswers(kind, most=2)
    for key in ("a", "b", "c", "c", "b"):
        assert known.of(completion("12", key), False) == "12"
    assert len(kind.read) == 3
    known.of(completion("12", "a"), False)
    assert len(kind.read) == 4
