"""Labellers and comparisons by themselves: search, verdicts, agreement, the file's format."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_bench.errors import UsageError
from tts_bench.labelling.agreement import compare, consensus
from tts_bench.labelling.judge import Judge, first_wrong_step
from tts_bench.labelling.label_file import LabelFile, LabelRow, read_labels, write_labels
from tts_bench.labelling.rollouts import BinarySearch, MonteCarlo, labels_of
from tts_bench.labelling.trace import Trace
from tts_bench.types import Candidate, Problem


@dataclass
class Known:
    """A probe whose prefixes are right up to a step; counts what it is asked."""

    trace: Trace
    right: int
    asked: list[int] = field(default_factory=list)

    def check_fits(self, steps: int) -> None:
        assert steps == self.trace.unsettled

    async def own_answer(self) -> bool | None:
        return None if self.trace.cut_off else self.right == len(self.trace.steps)

    async def rollouts(self, steps: int, n: int) -> str:
        self.asked.append(steps)
        return ("01" * n)[:n] if steps <= self.right else "0" * n


def trace(steps: int, *, cut_off: bool = False) -> Trace:
    return Trace(Problem("p", "?"), "1", tuple(f"{i}\n\n" for i in range(steps)), cut_off, "here")


@given(st.data())
def test_binary_search_finds_the_first_wrong_step_in_log2_probes(data: st.DataObject):
    steps = data.draw(st.integers(1, 40))
    cut_off = data.draw(st.booleans())
    right = data.draw(st.integers(0, steps))
    probe = Known(trace(steps, cut_off=cut_off), right)
    labels = asyncio.run(BinarySearch(2).label(probe))
    assert labels.labels == tuple(i < right for i in range(steps))
    unsettled = steps - (not cut_off)
    assert len(probe.asked) <= math.ceil(math.log2(unsettled + 1))
    assert len(set(probe.asked)) == len(probe.asked)
    if not cut_off and right == steps:
        assert probe.asked == []
    estimate = BinarySearch(2).estimate([probe.trace])
    assert 2 * len(probe.asked) <= estimate.completions


@given(st.integers(1, 12), st.booleans(), st.data())
def test_monte_carlo_asks_behind_every_step_that_the_answer_does_not_settle(
    steps: int, cut_off: bool, data: st.DataObject
):
    right = data.draw(st.integers(0, steps))
    probe = Known(trace(steps, cut_off=cut_off), right)
    labels = asyncio.run(MonteCarlo(4).label(probe))
    assert labels.labels == tuple(i < right for i in range(steps))
    assert sorted(probe.asked) == list(range(1, steps + cut_off))
    assert MonteCarlo(4).estimate([probe.trace]).completions == 4 * len(probe.asked)


def test_hard_labels_need_one_right_rollout_and_soft_ones_count_them():
    labels = labels_of(["0110", "0-?0", "1111"], correct=False)
    assert labels.labels == (True, False, True, False)
    assert labels.soft == (0.5, 0.0, 1.0, 0.0)
    assert labels_of(["1"], correct=None).labels == (True,)


def test_a_threshold_is_a_share_that_must_be_exceeded():
    labels = labels_of(["0110", "0111", "0001"], correct=True, threshold=0.5)
    assert labels.labels == (False, True, False, True)
    assert labels.soft == (0.5, 0.75, 0.25, 1.0)
    # Half of the rollouts behind a right step are right, in this probe.
    assert not any(asyncio.run(BinarySearch(2, 0.5).label(Known(trace(4), 3))).labels)
    with pytest.raises(UsageError, match="--threshold 1"):
        MonteCarlo(8, 1.0)


def reply(text: str, finish_reason: str = "stop") -> Candidate:
    return Candidate(0, (), (), text, None, None, 0.0, 0, finish_reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("First wrong step: 3", 2),
        ("first wrong step: none.", -1),
        ("... so it fails.\n\n**First wrong step:** 1", 0),
        ("**First wrong step: 2**", 1),
        ("The first wrong step is step 2.", 1),
        ("First wrong step: 1? No.\nFirst wrong step: none", -1),
        ("First wrong step: 4", None),
        ("First wrong step: 0", None),
        ("First wrong step: nonesuch", None),
        ("I look for the first wrong step.\n\n1. 2 + 2 = 4 is right", None),
        ("There is nothing wrong.", None),
        ("", None),
    ],
)
def test_a_verdict_is_read_or_there_is_none(text: str, step: int | None):
    assert first_wrong_step(reply(text), steps=3) == step


def test_a_reply_that_was_cut_off_has_no_verdict():
    assert first_wrong_step(reply("First wrong step: 1", "length"), steps=12) is None


def test_a_verdict_within_a_thinking_that_the_prompt_has_opened_is_none():
    thought = reply("First wrong step: 1")
    assert first_wrong_step(thought, steps=3, thinking=True) is None
    closed = reply("First wrong step: 1 </think> First wrong step: 2")
    assert first_wrong_step(closed, steps=3, thinking=True) == 1


def test_the_question_shows_numbered_steps_and_takes_texts_literally():
    told = Trace(Problem("p", r"\frac{1}{2} of {steps}?"), None, ("A \\1.\n\n", "B."), False, "")
    question = Judge("P: {problem}\nS: {steps}").question(told)
    assert question == "P: \\frac{1}{2} of {steps}?\nS: [1] A \\1.\n\n[2] B."
    with pytest.raises(UsageError, match=r"\{steps\} once"):
        Judge("only {problem}")


def row(name: str, *labels: bool, method: str = "mc") -> LabelRow:
    return LabelRow(
        id=name,
        problem_id="p",
        prompt="?",
        completions=tuple(f"{i}\n\n" for i in range(len(labels))),
        labels=labels,
        method=method,
        first_error=labels.index(False) if False in labels else -1,
    )


def rows(*given: LabelRow) -> dict[str, LabelRow]:
    return {one.id: one for one in given}


T, F = True, False
A = rows(row("1", T, T, T), row("2", T, F, T), row("3", T, T, F), row("4", F, T), row("5", T))
B = rows(
    row("1", T, T, T, method="judge"),
    row("2", T, F, F, method="judge"),
    row("3", T, F, F, method="judge"),
    row("4", T, T, method="judge"),
    row("6", T, method="judge"),
)


def test_agreement_counts_by_hand():
    found = compare(A, B)
    assert (found.traces, found.only_a, found.only_b) == (4, 1, 1)
    assert (found.same_first_error, found.both_without_error) == (2, 1)
    # Up to B's first error: 3 steps of "1", 2 of "2", 2 of "3", 2 of "4".
    assert (found.steps, found.wrong_steps) == (9, 2)
    assert (found.passed, found.blamed, found.same_steps) == (1, 1, 7)


def test_consensus_keeps_whole_traces_with_the_labels_that_both_mean():
    kept = consensus(A, B)
    assert [one.id for one in kept] == ["1", "2"]
    assert [one.labels for one in kept] == [(T, T, T), (T, F, F)]
    assert {one.method for one in kept} == {"mc+judge"}
    with pytest.raises(UsageError, match="no trace in common"):
        consensus(rows(row("1", T)), rows(row("2", T)))


def test_a_label_file_is_read_as_it_was_written(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    full = replace(row("2", T, F), soft=(0.5, None), outcomes=("10", ""), correct=False)
    write_labels(path, [row("1", T), full])
    assert read_labels(path) == rows(row("1", T), full)
    with path.open("a") as file:
        file.write('{"id": "torn')
    assert len(read_labels(path)) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [True]},
        {"first_error": 1},
        {"labels": [None, False]},
        {"soft": [0.5]},
    ],
)
def test_a_line_that_contradicts_itself_is_not_read(tmp_path: Path, change: dict):
    path = tmp_path / "labels.jsonl"
    write_labels(path, [row("1", F, F)])
    path.write_text(json.dumps(json.loads(path.read_text()) | change) + "\n")
    with pytest.raises(UsageError, match=r"labels\.jsonl:1: not a line of labels"):
        read_labels(path)


def test_two_processes_do_not_write_one_file(tmp_path: Path):
    path = tmp_path / "labels.jsonl"
    with LabelFile(path) as first:
        first.append(row("1", T))
        with pytest.raises(UsageError, match="another process"), LabelFile(path):
            pass
        first.append(row("2", T))
    assert list(read_labels(path)) == ["1", "2"]
