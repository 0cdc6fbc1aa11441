"""A selection rule of one's own: the sweep over n from one pool, as the built-in rules have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tts_bench.report.points.point import Point, read_points
from tts_bench.stats.subsets import expected_best, expected_by_rule
from tts_bench.store.runs import resolve_run

ENGINE = Path(__file__).parents[1] / "plugins" / "scripted.py"
RULES = '''
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from tts_bench import Candidate, SampleAndSelect, Score, Session, answer_classes, best, majority


@dataclass(frozen=True)
class Rule(SampleAndSelect):
    """A rule that tests can compare with a built-in one; its scores say nothing, and differ."""

    async def scores(self, candidates: list[Candidate], session: Session) -> list[Score]:
        return [Score(float(crc32(one.text.encode()))) for one in candidates]

    {choice}
'''
OWN = """def choose(self, candidates: Sequence[Candidate], scores: Sequence[Score]) -> int | None:
        {body}"""
BEST = "return best([s.value for s in scores], [one.answer is not None for one in candidates])"


@pytest.fixture
def run(tmp_path: Path, undrawn, cli):
    """Runs a built-in rule beside rules of one's own; gives the exit code and the points."""

    def run(sizes: list[int], **bodies: str) -> tuple[int, dict[str, dict[int, Point]]]:
        folder = tmp_path / "rules"
        folder.mkdir()
        rules = {name: OWN.replace("{body}", body) for name, body in bodies.items()}
        for name, rule in {"known": "selector = 'best'", **rules}.items():
            (folder / f"{name}.py").write_text(RULES.replace("{choice}", rule))
        suite = {
            "name": "s",
            "dataset": {"name": "arithmetic", "problems": 24},
            "engine": {"name": f"{ENGINE}:Arithmetic"},
            "sampling": {"max_tokens": 64, "temperature": 0.8},
            "strategies": [{"strategy": one, "n": sizes} for one in ["known", *bodies]],
        }
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(suite))
        done = cli(
            "run", tmp_path / "s.yaml", "--include-path", folder, "--output-path", tmp_path / "out"
        )
        points: dict[str, dict[int, Point]] = {}
        for point in read_points(resolve_run(tmp_path / "out" / "s")).points:
            points.setdefault(point.cell.strategy, {})[point.n] = point
        return done.returncode, points

    return run


def test_a_rule_of_ones_own_has_the_numbers_of_the_same_built_in_rule(run, tmp_path: Path):
    code, points = run([1, 2, 8, 16], mine=BEST)
    assert code == 0
    mine, known = points["mine"], points["known"]
    assert mine[1].by_problem == known[1].by_problem  # 16 subsets of one, 120 of two: all of them
    assert mine[2].accuracy.value == pytest.approx(known[2].accuracy.value, abs=1e-9)
    assert 0 < mine[8].monte_carlo_stderr < 0.02
    off = abs(mine[8].accuracy.value - known[8].accuracy.value)
    assert off < 4 * mine[8].monte_carlo_stderr
    assert mine[16].monte_carlo_stderr == 0.0
    assert mine[8].policy == known[8].policy
    assert [mine[n].estimator for n in mine] == [
        "all subsets",
        "all subsets",
        "sampled subsets",
        "one run",
    ]
    assert {known[n].estimator for n in known} == {"all subsets"}
    table = (resolve_run(tmp_path / "out" / "s").folder / "table.md").read_text()
    assert "estimated from" in table
    assert "sampled subsets" in table


def test_a_plain_choice_is_not_the_first_so_many(run):
    """The mean over subsets of one draw is pass@1, whatever was drawn first."""
    _, points = run([1, 4], first="return 0 if candidates[0].answer is not None else None")
    assert points["first"][1].by_problem == points["known"][1].by_problem
    assert points["first"][4].estimator == "one run"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 if len(candidates) < 4 else 0", "choose returned 1, no index of 1 candidates"),
        ("return 0 if len(candidates) == 4 else 1 // 0", "ZeroDivisionError"),
        ("return len(candidates)", "chosen=4 is no index of 4 candidates"),
    ],
)
def test_a_rule_that_fails_on_a_subset_is_an_error_of_its_attempts(run, tmp_path, body, said):
    code, points = run([1, 4], bad=body)
    assert code == 1
    lines = resolve_run(tmp_path / "out" / "s").attempts_path.read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    failed = [row for row in rows if row["cell"].startswith("bad") and row["status"] == "error"]
    assert failed
    assert all(said in row["error"] for row in failed)
    assert points["bad"][1].errors == len(failed)


def test_all_subsets_are_asked_if_there_are_few():
    scores, correct = [0.3, 0.9, 0.1, 0.7, 0.8], [True, False, True, True, False]
    asked = []

    def is_right(members):
        asked.append(tuple(members))
        return correct[max(members, key=lambda i: scores[i])]

    found = expected_by_rule(is_right, 5, 3)
    assert found.value == pytest.approx(expected_best(scores, correct, 3))
    assert found.stderr == 0.0
    assert len({frozenset(members) for members in asked}) == len(asked) == 10
    assert any(list(members) != sorted(members) for members in asked)


def test_an_error_needs_two_subsets():
    with pytest.raises(ValueError, match="at least two subsets"):
        expected_by_rule(lambda members: True, 40, 20, subsets=1)
