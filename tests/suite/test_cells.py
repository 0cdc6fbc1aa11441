"""Cells of a suite, and the plug-ins that they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_bench.errors import SuiteError
from tts_bench.store.manifest import CellEntry
from tts_bench.suite.load import load_suite
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry

GOOD = """\
dataset: {name: arithmetic, problems: 5}
engine: {name: transformers, model: somewhere}
sampling: {max_tokens: 32, temperature: 0.8}
strategies:
  - greedy
  - strategy: best_of_n
    n: [16, 1, 4]
"""


FLAT = """
from dataclasses import dataclass
from typing import ClassVar
from tts_bench import SampleAndSelect, Solution

@dataclass(frozen=True)
class Flat(SampleAndSelect):
    selector: ClassVar[str] = "majority"

    async def scores(self, candidates, session):
        return []

@dataclass(frozen=True)
class Own(Flat):
    async def solve(self, problem, session):
        return Solution((), None)

@dataclass(frozen=True)
class Bare(SampleAndSelect):
    pass
"""

VERIFIER = """
from dataclasses import dataclass
from tts_bench.verifier.confidence import ConfidenceVerifier

@dataclass(frozen=True)
class Mine(ConfidenceVerifier):
    k: int = 1
"""


ONLY = """
@dataclass(frozen=True)
class Only(SampleAndSelect):
    selector: ClassVar[str] = "majority"
"""


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str, **overrides):
        path = tmp_path / "s.yaml"
        path.write_text(text)
        return load_suite(path, Registry(), Overrides(**overrides))

    return load


def faults(load, text: str, **overrides) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load(text, **overrides)
    return [
        line[line.index("s.yaml") :] if "s.yaml" in line else line for line in caught.value.problems
    ]


def test_a_list_where_a_scalar_is_expected_is_a_sweep(load):
    text = (
        GOOD + "  - {strategy: logprob_ranking, normalize: [mean, sum], temperature: [0.5, 1.0]}\n"
    )
    ids = [cell.id for cell in load(text).cells[2:]]
    assert ids == [
        "logprob_ranking?n=16&normalize=mean&temperature=0.5",
        "logprob_ranking?n=16&normalize=mean&temperature=1.0",
        "logprob_ranking?n=16&normalize=sum&temperature=0.5",
        "logprob_ranking?n=16&normalize=sum&temperature=1.0",
    ]


def test_under_a_budget_each_n_is_a_cell_of_its_own(load):
    cells = load(GOOD + "budget: {tokens: 100}\n").cells
    assert [(cell.id, cell.at) for cell in cells[1:]] == [
        ("best_of_n?n=1", (1,)),
        ("best_of_n?n=4", (4,)),
        ("best_of_n?n=16", (16,)),
    ]


def test_a_list_where_a_list_is_expected_is_no_sweep(load):
    suite = load(GOOD + "  - {strategy: best_of_n, n: 2, stop: ['a', 'b']}\n")
    assert suite.cells[-1].sampling.stop == ("a", "b")


def test_a_flat_strategy_with_a_solve_of_its_own_runs_once_per_n(load, tmp_path: Path):
    (tmp_path / "flat.py").write_text(FLAT)
    entry = f"  - {{strategy: '{tmp_path / 'flat.py'}:CLASS', n: [1, 4]}}\n"
    pooled = load(GOOD + entry.replace("CLASS", "Flat")).cells[2:]
    assert [(cell.strategy.n, cell.at, cell.selector) for cell in pooled] == [
        (4, (1, 4), "majority")
    ]
    alone = load(GOOD + entry.replace("CLASS", "Own")).cells[2:]
    assert [(cell.strategy.n, cell.at, cell.selector) for cell in alone] == [
        (1, (), None),
        (4, (), None),
    ]


@pytest.mark.parametrize(
    ("selector", "message"),
    [
        ("", "Bare has neither a `choose` nor a selector"),
        ("    selector = 'majorty'", "Did you mean 'majority'"),
    ],
)
def test_a_flat_strategy_without_a_rule_is_a_fault(load, tmp_path: Path, selector, message):
    (tmp_path / "bare.py").write_text(FLAT + selector)
    found = faults(load, GOOD + f"  - '{tmp_path / 'bare.py'}:Bare'\n")
    assert len(found) == 1
    assert found[0].startswith("s.yaml:8: strategies[2]")
    assert message in found[0]


def test_a_plugin_whose_types_cannot_be_resolved_is_a_fault(load, tmp_path: Path):
    text = VERIFIER.replace("k: int = 1", "k: 'Decimal' = 1")
    (tmp_path / "typed.py").write_text(text)
    found = faults(load, GOOD + f"verifier: '{tmp_path / 'typed.py'}:Mine'\n")
    assert len(found) == 1
    assert "s.yaml:8: verifier.name: Mine.k: no type " in found[0]


@pytest.mark.parametrize("kind", ["strategy", "verifier", "folder"])
def test_the_hash_sees_a_change_in_a_plugins_code(load, tmp_path: Path, kind):
    path = tmp_path / "plugins" / "mine.py"
    path.parent.mkdir()
    path.write_text(VERIFIER if kind == "verifier" else FLAT.partition("@dataclass")[0] + ONLY)
    lines = {
        "strategy": f"  - '{path}:Only'\n",
        "verifier": f"verifier: '{path}:Mine'\n",
        "folder": "  - mine\n",
    }
    file = tmp_path / "s.yaml"
    file.write_text(GOOD + lines[kind])
    suite = load_suite(file, Registry([path.parent]))
    before = suite.hash("c", None)
    assert suite.hash("c", None) == before
    path.write_text(path.read_text() + "# changed\n")
    assert suite.hash("c", None) != before


def test_the_manifest_notes_the_n_that_is_a_default(tmp_path: Path):
    path = tmp_path / "suite.yaml"
    path.write_text(GOOD + "  - mcts\n")
    rows = [cell.describe() for cell in load_suite(path, Registry(), Overrides()).cells]
    assert [(row["strategy"], row["n"]) for row in rows] == [
        ("greedy", None),
        ("best_of_n", 16),
        ("mcts", 16),
    ]
    assert rows[-1]["params"] == {}


def test_further_fields_are_keys_of_the_suite_and_of_strategies_and_can_be_swept(load):
    entry = "  - {strategy: self_consistency, n: 2, min_p: [0.0, 0.1], bad_words: [no, never]}\n"
    suite = load(GOOD.replace("0.8}", "0.8, presence_penalty: 1}") + entry)
    first, *_, plain, cut = suite.cells
    shared = {"max_tokens": 32, "temperature": 0.8, "top_p": 1.0, "top_k": 0, "stop": ()}
    assert first.describe()["sampling"] == shared | {"presence_penalty": 1.0}
    words = {"presence_penalty": 1.0, "bad_words": ("never", "no")}
    assert plain.describe()["sampling"] == shared | words
    assert cut.describe()["sampling"] == shared | words | {"min_p": 0.1}
    assert cut.id == 'self_consistency?bad_words=["no", "never"]&min_p=0.1&n=2'
    assert CellEntry.model_validate(cut.describe()).sampling["bad_words"] == ("never", "no")


def test_further_fields_can_be_set_and_what_means_nothing_is_told(load):
    suite = load(GOOD, sets=("sampling.repetition_penalty=1.2",))
    assert suite.cells[0].sampling.repetition_penalty == 1.2
    with pytest.raises(SuiteError, match=r"sampling: min_p must be from 0 to 1, not 2\.0"):
        load(GOOD, sets=("sampling.min_p=2",))
    with pytest.raises(SuiteError, match=r"unknown key 'repetition_penalti'. Did you mean"):
        load(GOOD, sets=("sampling.repetition_penalti=2",))
