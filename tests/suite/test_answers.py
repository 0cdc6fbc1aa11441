"""Kinds of answers as suites name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tts_bench.answers.kinds import MATH, ChoiceAnswers
from tts_bench.errors import SuiteError
from tts_bench.store.runs import resolve_run
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import Registry

SUITE = """\
dataset: {name: jsonl, path: q.jsonl}
engine: {name: "player.py:Player"}
sampling: {max_tokens: 50, temperature: 1.0}
strategies: [{strategy: self_consistency, n: [1, 4]}]
"""
PLAYER = '''
from collections.abc import Callable
from dataclasses import dataclass, field

from tts_bench import AnswerKind, Request, ScriptedEngine


def play(prompt: str, request: Request) -> str:
    said = ["Answer: (B) 3", "the answer is b.", "Answer: C", "Answer: none of them"]
    return said[request.seed % 4]


@dataclass(frozen=True)
class Player(ScriptedEngine):
    script: Callable[[str, Request], str] = field(default=play)


@dataclass(frozen=True)
class Last(AnswerKind):
    """The last word; right if the problem has it."""

    sign: str = "."

    def extract(self, text):
        return text.rstrip(self.sign).split()[-1]

    def grade(self, reference, answer, problem):
        return answer in problem
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "player.py").write_text(PLAYER)
    (tmp_path / "q.jsonl").write_text(json.dumps({"problem": "1 + 2, not them", "answer": "B"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(folder: Path, *lines: str) -> Any:
    (folder / "s.yaml").write_text(SUITE + "".join(f"{line}\n" for line in lines))
    return load_suite(folder / "s.yaml", Registry())


def test_a_suite_without_the_key_and_one_with_math_are_the_same(folder: Path):
    plain, said = load(folder), load(folder, "answers: math")
    assert plain.answers == said.answers == MATH
    assert plain.hash("c", None) == said.hash("c", None)
    assert "answers" not in plain.resolved
    choice = load(folder, "answers: choice")
    assert choice.answers == ChoiceAnswers()
    assert choice.hash("c", None) != plain.hash("c", None)
    assert load(folder, "answers: {name: choice, letters: ABCD}").answers == ChoiceAnswers("ABCD")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "answers: chioce",
            "s.yaml:5: answers.name: unknown answers 'chioce'. Did you mean 'choice'?",
        ),
        ("answers: {name: choice, leters: A}", "unknown key 'leters'. Did you mean 'letters'?"),
        ("answers: {name: choice, letters: '12'}", "letters must be capital letters, not '12'"),
        ("answers: 'player.py:Player'", "no subclass of AnswerKind there"),
        ("answers: [choice]", "must name answers with the key 'name'"),
    ],
)
def test_faults_are_told_with_their_line(folder: Path, line: str, message: str):
    with pytest.raises(SuiteError) as caught:
        load(folder, line)
    assert message in str(caught.value)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(
    ("line", "answers", "right"),
    [
        ("answers: choice", {"B", "C", None}, {"B"}),
        ("answers: {name: 'player.py:Last', sign: '.b'}", {"3", "is", "C", "them"}, {"them"}),
    ],
)
def test_a_run_finds_and_grades_such_answers(
    folder: Path, cli, line: str, answers: set[str | None], right: set[str]
):
    (folder / "s.yaml").write_text(SUITE.replace("[1, 4]", "[1, 32]") + line + "\n")
    name = load_suite(folder / "s.yaml", Registry()).resolved["answers"]["name"]
    assert f"answers   {name}\n" in cli("run", "s.yaml", "--dry-run").stdout
    code, out, err = cli("run", "s.yaml", "--display", "none")
    assert code == 0, err
    assert f"note: answers are of the kind {name}" in out
    run = resolve_run(Path("results/s"))
    [attempt] = run.attempts()
    assert set(attempt.pool.answer) == answers
    pairs = zip(attempt.pool.answer, attempt.pool.correct, strict=True)
    assert {answer for answer, correct in pairs if correct} == right
    assert cli("ls", "answers").stdout.startswith("choice")


def test_a_reference_that_is_no_choice_is_told_before_anything_runs(folder: Path, cli):
    (folder / "q.jsonl").write_text(json.dumps({"id": "x", "problem": "1 + 2", "answer": "12"}))
    (folder / "s.yaml").write_text(SUITE + "answers: choice\n")
    code, _, err = cli("run", "s.yaml", "--dry-run")
    assert code == 2
    assert "q.jsonl: the reference of problem 'x' holds no choice of ABCDEFGHIJ: '12'" in err
    assert len(err.splitlines()) == 1
