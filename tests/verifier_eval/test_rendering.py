from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_bench.dataset.step_labels import LabelledSolution
from tts_bench.engine.scripted import CharacterTokenizer
from tts_bench.errors import UsageError
from tts_bench.steps import split_steps
from tts_bench.verifier_eval.rendering import write


def solution(*steps: str) -> LabelledSolution:
    return LabelledSolution("Why?", steps, tuple(True for _ in steps), "s", "p")


def text_of(*steps: str, delimiter: str = "\n\n") -> tuple[str, int]:
    found = write([solution(*steps)], delimiter)
    return found.written[0].candidate.text, found.mended


def test_steps_are_joined_and_the_last_one_stays_open():
    assert text_of("a", "b", "c") == ("a\n\nb\n\nc", 0)
    assert text_of("a", "b", delimiter="\n") == ("a\nb", 0)
    assert text_of("a", "b", delimiter="<step>") == ("a<step>b", 0)


def test_a_delimiter_that_ends_a_step_is_not_doubled():
    assert text_of("a\n\n", "b\n\n") == ("a\n\nb", 0)
    assert text_of("a<step>", "b", delimiter="<step>") == ("a<step>b", 0)


def test_a_delimiter_within_a_step_is_taken_out_and_counted():
    assert text_of("a\n\n\n\nb", "c") == ("a\nb\n\nc", 1)
    assert text_of("a\nb", "c", delimiter="\n") == ("a b\nc", 1)
    assert text_of("a<step>b", "c", delimiter="<step>") == ("a b<step>c", 1)


steps = st.lists(
    st.text(alphabet="ab \n", min_size=1, max_size=8).filter(str.strip), min_size=1, max_size=5
)


@settings(deadline=None)
@given(steps, st.sampled_from(["\n\n", "\n", "ab", "\n\n\n"]))
def test_the_text_has_as_many_steps_as_there_are_labels_or_is_left_out(parts, delimiter):
    try:
        found = write([solution(*parts)], delimiter)
    except UsageError:
        assert delimiter == "ab"
        return
    [one] = found.written
    assert len(split_steps(one.candidate.text, delimiter)) == len(parts)


def test_a_solution_that_cannot_be_written_is_left_out_with_its_reason():
    found = write([solution("ab", "c"), solution("x", "c")], "ab")
    assert [one.candidate.text for one in found.written] == ["xabc"]
    assert found.unwritten == ("s: 2 labelled steps are 1 in the text",)
    with pytest.raises(UsageError, match="no solution can be written with the delimiter 'ab'"):
        write([solution("ab", "c")], "ab")


def test_token_ids_are_the_tokenizers_if_there_is_one():
    [one] = write([solution("a", "b")], "\n\n", CharacterTokenizer()).written
    assert one.candidate.token_ids == tuple(map(ord, "a\n\nb"))
    assert one.candidate.finished
    [bare] = write([solution("a", "b")], "\n\n").written
    assert bare.candidate.token_ids == ()
    assert bare.problem.text == "Why?"
