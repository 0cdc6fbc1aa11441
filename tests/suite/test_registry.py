from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tts_bench.errors import UnknownName, UsageError
from tts_bench.suite.registry import (
    DATASETS,
    ENGINES,
    KINDS,
    STRATEGIES,
    Registry,
    shipped,
    source_hash,
)

PLUGIN = """
from dataclasses import dataclass
from tts_bench import Problem, Session, Solution, Strategy

@dataclass(frozen=True)
class Mine(Strategy):
    k: int = 3
    async def solve(self, problem: Problem, session: Session) -> Solution:
        return Solution((), None)
"""

UNDECORATED = """
from tts_bench import SampleAndSelect

class Mine(SampleAndSelect):
    k: int = 3
    selector = "best"
"""

FLAT = """
from dataclasses import dataclass
from tts_bench import SampleAndSelect

@dataclass(frozen=True)
class Flat(SampleAndSelect):
    SELECTOR
    async def scores(self, candidates, session):
        return []
"""


def test_every_built_in_name_loads_to_a_class_of_its_kind():
    registry = Registry()
    for kind in KINDS.values():
        for name in registry.names(kind):
            assert issubclass(registry.load(kind, name), kind.base)


def test_the_strategies_are_the_files_of_the_folder():
    assert set(Registry().names(STRATEGIES)) >= {
        "best_of_n",
        "greedy",
        "logprob_ranking",
        "self_consistency",
        "weighted_vote",
    }


def test_a_file_in_an_included_folder_is_a_strategy(tmp_path: Path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert Registry([tmp_path]).load(STRATEGIES, "mine").__name__ == "Mine"
    assert "mine" not in Registry().names(STRATEGIES)


def test_a_class_is_found_by_path(tmp_path: Path):
    (tmp_path / "two.py").write_text(PLUGIN + PLUGIN.replace("Mine", "Other"))
    assert Registry().load(STRATEGIES, f"{tmp_path / 'two.py'}:Other").__name__ == "Other"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownName, match=r"unknown engine 'vlm'. Did you mean 'vllm'"):
        Registry().load(ENGINES, "vlm")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module_at_all", "cannot be imported: ModuleNotFoundError"),
        ("def f(:", "cannot be imported: SyntaxError"),
        ("x = 1", "must define one Strategy class, and defines 0"),
        (PLUGIN + PLUGIN.replace("Mine", "Other"), "defines 2"),
        (PLUGIN.replace("@dataclass(frozen=True)", ""), "must be a frozen dataclass"),
        (PLUGIN.replace("(frozen=True)", ""), "must be a frozen dataclass"),
        (UNDECORATED, "Mine must be a frozen dataclass"),
        (PLUGIN.replace("async def solve", "async def sovle"), "abstract: it lacks solve"),
        ("import sys; sys.exit(3)", "cannot be imported: SystemExit: 3"),
        (
            FLAT.replace("SELECTOR", ""),
            "Flat has neither a .choose. nor a selector; known: first, best",
        ),
        (
            FLAT.replace("SELECTOR", "selector = 'majorty'"),
            "Flat has an unknown selector 'majorty'. Did you mean 'majority'",
        ),
        (FLAT.replace("SELECTOR", "selector = 3"), "unknown selector 3; known: first"),
    ],
)
def test_a_broken_plugin_is_refused_when_it_is_looked_up(tmp_path: Path, source, message):
    (tmp_path / "bad.py").write_text(source)
    with pytest.raises(UsageError, match=message):
        Registry([tmp_path]).load(STRATEGIES, "bad")


def test_an_undecorated_subclass_without_fields_of_its_own_is_accepted(tmp_path: Path):
    (tmp_path / "plain.py").write_text(UNDECORATED.replace("    k: int = 3\n", ""))
    assert Registry([tmp_path]).load(STRATEGIES, "plain").__name__ == "Mine"


def test_an_abstract_helper_beside_the_strategy_is_no_second_strategy(tmp_path: Path):
    helper = "class Base(Strategy):\n    pass\n\n@dataclass(frozen=True)\nclass Mine(Base)"
    source = PLUGIN.replace("@dataclass(frozen=True)\nclass Mine(Strategy)", helper)
    assert helper in source
    (tmp_path / "mine.py").write_text(source)
    assert Registry([tmp_path]).load(STRATEGIES, "mine").__name__ == "Mine"


def test_an_interrupt_while_a_plugin_is_imported_is_not_swallowed(tmp_path: Path):
    (tmp_path / "slow.py").write_text("raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        Registry([tmp_path]).load(STRATEGIES, "slow")


def test_a_name_in_two_folders_is_a_fault_that_names_both_files(tmp_path: Path):
    (tmp_path / "greedy.py").write_text(PLUGIN)
    registry = Registry([tmp_path])
    assert "greedy" in registry.names(STRATEGIES)
    with pytest.raises(UsageError, match="rename one of them") as caught:
        registry.load(STRATEGIES, "greedy")
    assert str(tmp_path / "greedy.py") in str(caught.value)
    assert str(shipped("strategies") / "greedy.py") in str(caught.value)
    assert registry.load(STRATEGIES, "best_of_n")


def test_a_folder_that_is_included_twice_offers_its_names_once(tmp_path: Path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    registry = Registry([tmp_path, tmp_path / ".." / tmp_path.name, shipped("strategies")])
    assert registry.load(STRATEGIES, "mine").__name__ == "Mine"
    assert registry.load(STRATEGIES, "greedy").__name__ == "Greedy"


def test_a_class_of_another_kind_is_refused():
    plugin = Path(__file__).parents[1] / "plugins" / "scripted.py"
    with pytest.raises(UsageError, match="no subclass of Dataset there"):
        Registry().load(DATASETS, f"{plugin}:Arithmetic")


def test_a_missing_include_folder_is_a_usage_error(tmp_path: Path):
    with pytest.raises(UsageError, match="no such folder"):
        Registry([tmp_path / "absent"])


@pytest.fixture
def package(tmp_path: Path, monkeypatch):
    """Makes an installed package of one module that offers a strategy."""

    def package(name: str, source: str, offers: str) -> None:
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[tts_bench.strategies]\n{offers}\n")
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)

    return package


def test_installed_packages_offer_strategies_by_entry_point(package):
    package("their_pack", PLUGIN, "theirs = their_pack:Mine")
    assert Registry().load(STRATEGIES, "theirs").__module__ == "their_pack"


@pytest.mark.parametrize("source", ["import no_such_module_at_all", "raise SystemExit(3)"])
def test_an_entry_point_that_cannot_be_imported_is_a_usage_error(package, source):
    package("bad_pack", source, "bad = bad_pack:Mine")
    with pytest.raises(UsageError, match="strategy 'bad': bad_pack cannot be imported: "):
        Registry().load(STRATEGIES, "bad")


def test_an_entry_point_without_its_module_is_a_usage_error(package):
    package("odd_pack", "", "gone = no_such_pack_at_all:Mine")
    with pytest.raises(UsageError, match="no_such_pack_at_all cannot be imported"):
        Registry().load(STRATEGIES, "gone")


def test_an_entry_point_does_not_shadow_a_shipped_strategy(package):
    package("shadow_pack", PLUGIN, "greedy = shadow_pack:Mine")
    with pytest.raises(UsageError, match="shadow_pack:Mine"):
        Registry().load(STRATEGIES, "greedy")


def test_the_source_of_a_plugin_is_hashed_and_that_of_the_package_is_not(tmp_path: Path):
    path = tmp_path / "hashed.py"
    path.write_text(PLUGIN)
    cls = Registry([tmp_path]).load(STRATEGIES, "hashed")
    assert source_hash(cls) == hashlib.sha256(PLUGIN.encode()).hexdigest()
    assert source_hash(Registry().load(STRATEGIES, "greedy"))
    assert source_hash(Registry().load(ENGINES, "vllm")) is None
    assert source_hash(int) is None
