from __future__ import annotations

import json
from pathlib import Path

import pytest

from tts_bench.cost.price import Price
from tts_bench.errors import SuiteError, UsageError
from tts_bench.suite.load import find_suite, load_suite
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry, shipped

GOOD = """\
dataset: {name: arithmetic, problems: 5}
engine: {name: transformers, model: somewhere}
sampling: {max_tokens: 32, temperature: 0.8}
strategies:
  - greedy
  - strategy: best_of_n
    n: [16, 1, 4]
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


def test_a_good_suite_resolves_to_objects_and_cells(load):
    suite = load(GOOD)
    assert suite.name == "s"
    assert [cell.id for cell in suite.cells] == ["greedy", "best_of_n?n=16"]
    assert suite.cells[1].at == (1, 4, 16)
    assert suite.cells[1].strategy.n == 16
    assert suite.verifier_name == "confidence"
    assert suite.seeds == (0,)


def test_all_faults_are_reported_at_once_each_with_its_line(load):
    text = """\
dataset: {name: arithmetc}
engine: {name: vllm, model: m, dtyp: x}
sampling: {temperature: "hot"}
sampling: {max_tokens: 1}
strateges: []
strategies:
  - majorty
  - {strategy: best_of_n, temprature: 0.5}
  - {strategy: best_of_n, n: [1, two]}
"""
    found = faults(load, text)
    assert found == [
        "s.yaml:1: dataset.name: unknown dataset 'arithmetc'. Did you mean 'arithmetic'?"
        " List them: tts-bench ls datasets",
        "s.yaml:2: engine.dtyp: unknown key 'dtyp'. Did you mean 'dtype'?",
        's.yaml:3: sampling.temperature: must be a number, not "hot"',
        "s.yaml:3: sampling: missing key 'max_tokens'",
        "s.yaml:4: sampling: duplicate key 'sampling', first on line 3",
        "s.yaml:5: strateges: unknown key 'strateges'. Did you mean 'strategies'?",
        "s.yaml:7: strategies[0].strategy: unknown strategy 'majorty'."
        " List them: tts-bench ls strategies",
        "s.yaml:8: strategies[1].temprature: unknown key 'temprature'. Did you mean 'temperature'?",
        's.yaml:9: strategies[2].n[1]: must be an integer, not "two"',
    ]


def test_max_tokens_has_no_default(load):
    assert faults(load, GOOD.replace("max_tokens: 32, ", "")) == [
        "s.yaml:3: sampling: missing key 'max_tokens'"
    ]


@pytest.mark.parametrize("n", ["0", "-1", "[4, 0]", "true", "'4'", "1.5", "[]", "null"])
def test_wrong_values_of_n_are_faults(load, n):
    assert faults(load, GOOD.replace("[16, 1, 4]", n))


@pytest.mark.parametrize(
    "line",
    [
        "temperature: -1",
        "temperature: .inf",
        "temperature: .nan",
        "top_p: 0",
        "top_p: 1.5",
        "top_k: -1",
        "max_tokens: 0",
        "stop: ''",
        "stop: ['']",
    ],
)
def test_senseless_sampling_is_a_fault(load, line):
    key = line.partition(":")[0]
    block = {"max_tokens": "max_tokens: 32"} | {key: line}
    text = GOOD.replace("{max_tokens: 32, temperature: 0.8}", "{" + ", ".join(block.values()) + "}")
    assert faults(load, text)


@pytest.mark.parametrize(
    "seeds", ["[]", "[0, 0]", "0", "[a]", "[0.5]", "[-1]", "[9223372036854775808]"]
)
def test_senseless_seeds_are_a_fault(load, seeds):
    assert len(faults(load, GOOD + f"seeds: {seeds}\n")) == 1


def test_seeds_of_63_bits_are_accepted_and_a_wrong_one_is_named(load):
    assert load(GOOD + "seeds: [0, 9223372036854775807]\n").seeds == (0, 2**63 - 1)
    assert faults(load, GOOD + "seeds:\n  - 4\n  - -1\n") == [
        "s.yaml:10: seeds[1]: must be from 0 to 2**63 - 1, not -1"
    ]
    assert faults(load, GOOD + "seeds: [4]\n", seeds=[-1]) == [
        "--seeds: seeds[0]: must be from 0 to 2**63 - 1, not -1"
    ]


@pytest.mark.parametrize("name", ["a/b", "", "../../n2", "..", ".hidden", "a b", "a\\b", "a\n"])
def test_a_name_that_is_no_plain_folder_is_a_fault(load, name):
    found = faults(load, GOOD + f"name: {json.dumps(name)}\n")
    assert len(found) == 1
    assert found[0].startswith("s.yaml:8: name: must be letters, digits")


@pytest.mark.parametrize("name", ["5", "null", "[a]"])
def test_a_name_that_is_no_word_is_a_fault(load, name):
    assert faults(load, GOOD + f"name: {name}\n")[0].startswith("s.yaml:8: name: must be a string")


def test_a_plain_name_is_accepted(load):
    assert load(GOOD + "name: qwen2.5_7b-v1\n").name == "qwen2.5_7b-v1"


@pytest.mark.parametrize(
    ("file", "name"),
    [("my suite.yaml", "my_suite"), (".x.yaml", "_x"), ("a.b-c.yaml", "a.b-c"), ("..yaml", "_")],
)
def test_the_name_of_an_odd_file_is_made_plain(tmp_path: Path, file, name):
    (tmp_path / file).write_text(GOOD)
    assert load_suite(tmp_path / file, Registry()).name == name


def test_missing_empty_and_wrong_strategies_are_told_apart(load):
    head = GOOD[: GOOD.index("strategies")]
    assert faults(load, head) == ["s.yaml:1: missing key 'strategies'"]
    assert faults(load, head + "strategies: []\n") == [
        "s.yaml:4: strategies: is empty: name one strategy or more"
    ]
    assert faults(load, head + "strategies: greedy\n") == [
        's.yaml:4: strategies: must be a list, not "greedy"'
    ]
    assert faults(load, head + "strategies:\n") == [
        "s.yaml:4: strategies: must be a list, not nothing"
    ]


def test_the_same_cell_twice_is_a_fault(load):
    assert faults(load, GOOD + "  - greedy\n") == [
        "s.yaml:4: strategies: greedy stands there twice"
    ]


def test_set_replaces_adds_and_reports_its_own_faults(load):
    suite = load(GOOD, sets=["sampling.temperature=0.5", "strategies[1].n=[2]", "seeds=[0, 1]"])
    assert suite.cells[1].sampling.temperature == 0.5
    assert suite.cells[1].at == (2,)
    assert suite.seeds == (0, 1)
    assert faults(load, GOOD, sets=["engine.dtyp=x"]) == [
        "--set engine.dtyp=x: engine.dtyp: unknown key 'dtyp'. Did you mean 'dtype'?"
    ]
    assert faults(load, GOOD, sets=["engine"]) == ["--set engine: must be a.b=VALUE"]
    for text in (".=3", "[]=3", "a[=3", "a..b=3"):
        assert faults(load, GOOD, sets=[text]) == [
            f"--set {text}: {text[:-2]!r} is no address such as a.b or a[0].b"
        ]
    assert faults(load, GOOD, sets=["prompt.template=&a [*a]"]) == [
        "--set prompt.template=&a [*a]: [0]: an alias of what it stands in"
    ]
    assert faults(load, GOOD, sets=["strategies[9].n=1"]) == [
        "--set strategies[9].n=1: no strategies[9]"
    ]


def test_overrides_change_model_seeds_and_strategies(load):
    suite = load(GOOD, model="other", seeds=[3], strategies=["greedy"])
    assert suite.engine.model == "other"
    assert suite.seeds == (3,)
    assert [cell.id for cell in suite.cells] == ["greedy"]
    assert faults(load, GOOD, strategies=["gredy"]) == [
        "--strategy gredy: not in this suite. Did you mean 'greedy'?"
    ]


@pytest.mark.parametrize("text", ["", "[]", "just words", "1"])
def test_a_file_that_is_no_mapping_is_one_clear_line(load, text):
    assert len(faults(load, text)) == 1


def test_the_hash_sees_settings_problems_and_limit(load):
    plain = load(GOOD).hash("c", None)
    assert load(GOOD).hash("c", None) == plain
    assert load(GOOD).hash("d", None) != plain
    assert load(GOOD).hash("c", "5") != plain
    assert load(GOOD, sets=["sampling.temperature=0.5"]).hash("c", None) != plain
    assert load(GOOD, sets=["engine.revision=x"]).hash("c", None) != plain


def test_the_hash_ignores_what_describes_or_speeds_up(load):
    plain = load(GOOD).hash("c", None)
    assert load(GOOD, concurrency=3).hash("c", None) == plain
    assert load(GOOD + "description: words\n").hash("c", None) == plain
    assert load(GOOD, sets=["engine.max_batch_size=2"]).hash("c", None) == plain
    vllm = load(GOOD, sets=["engine={name: vllm, model: m}"])
    wider = load(GOOD, sets=["engine={name: vllm, model: m, max_num_seqs: 7}"])
    assert wider.hash("c", None) == vllm.hash("c", None)


def test_a_run_of_some_strategies_is_not_the_run_of_all(load):
    hashes = {
        load(GOOD, strategies=names).hash("c", None)
        for names in ([], ["greedy"], ["best_of_n"], ["greedy", "best_of_n"])
    }
    assert len(hashes) == 3


def test_every_shipped_suite_is_found_by_name_and_is_valid():
    found = sorted(shipped("suites").glob("*.yaml"))
    assert {path.stem for path in found} >= {"quickstart", "ci", "math500", "aime24", "aime25"}
    for path in found:
        assert find_suite(path.stem).samefile(find_suite(f"suites/{path.name}"))
        assert load_suite(path, Registry()).cells


def test_a_misspelt_suite_is_answered_with_a_suggestion():
    with pytest.raises(UsageError, match="Did you mean 'math500'"):
        find_suite("mth500")


def test_a_parameter_of_the_wrong_kind_of_plugin_is_a_fault(load):
    text = GOOD.replace("{name: transformers, model: somewhere}", "{name: arithmetic}")
    assert "unknown engine 'arithmetic'" in faults(load, text)[0]


JUDGE = """\
from dataclasses import dataclass
from typing import ClassVar
from tts_bench.engine.base import Engine
from tts_bench.verifier.base import Verifier

@dataclass(frozen=True)
class Judge(Verifier):
    speed_only: ClassVar[frozenset[str]] = frozenset({"batch"})
    engine: Engine
    votes: int = 1
    batch: int = 8

    def __post_init__(self):
        if not isinstance(self.engine, Engine):
            raise ValueError("engine: a judge needs one")

    async def score(self, problem, candidates):
        return []

@dataclass(frozen=True)
class Optional(Judge):
    engine: Engine | None = None

    def __post_init__(self):
        pass
"""


@pytest.fixture
def judged(load, tmp_path: Path):
    """A suite whose verifier's block holds these keys beside its name."""
    (tmp_path / "judge.py").write_text(JUDGE)

    def judged(keys: str, name: str = "Judge") -> str:
        return GOOD + f"verifier:\n  name: {tmp_path / 'judge.py'}:{name}\n{keys}"

    return judged


def test_a_verifier_may_run_a_model_through_an_engine_of_its_own(load, judged):
    engine = "  engine: {name: transformers, model: the-judge, max_batch_size: 3}\n"
    for name in ("Judge", "Optional"):
        suite = load(judged(f"  votes: 4\n{engine}", name))
        assert (suite.verifier.votes, suite.verifier.engine.model) == (4, "the-judge")
        assert suite.verifier.engine.max_batch_size == 3
        assert suite.engine.model == "somewhere"
    assert load(judged("", "Optional")).verifier.engine is None


def test_faults_in_the_engine_of_a_verifier_are_found_with_the_others(load, judged):
    unknown = "  vots: 4\n  engine: {name: transformrs, model: m}\n"
    assert faults(load, judged(unknown)) == [
        "s.yaml:10: verifier.vots: unknown key 'vots'. Did you mean 'votes'?",
        "s.yaml:11: verifier.engine.name: unknown engine 'transformrs'. "
        "Did you mean 'transformers'? List them: tts-bench ls engines",
    ]
    assert faults(
        load, judged("  engine:\n    name: transformers\n    model: m\n    dtyp: x\n")
    ) == ["s.yaml:13: verifier.engine.dtyp: unknown key 'dtyp'. Did you mean 'dtype'?"]
    assert faults(load, judged("  engine: {name: transformers}\n")) == [
        "s.yaml:10: verifier.engine: missing key 'model'"
    ]
    assert faults(load, judged("  engine: 5\n")) == [
        "s.yaml:10: verifier.engine: must name engine with the key 'name'"
    ]
    assert faults(load, judged("")) == ["s.yaml:8: verifier: missing key 'engine'"]


def test_a_verifier_that_runs_no_engine_takes_none(load):
    block = "verifier: {name: confidence, engine: {name: transformers, model: m}}\n"
    assert faults(load, GOOD + block) == [
        "s.yaml:8: verifier.engine: unknown key 'engine'; known: none"
    ]


def test_the_hash_sees_what_decides_a_verifiers_scores_and_not_its_speed(load, judged):
    text = judged("  engine: {name: transformers, model: m}\n")
    plain = load(text).hash("c", None)
    for same in ("verifier.batch=2", "verifier.engine.max_batch_size=2"):
        assert load(text, sets=[same]).hash("c", None) == plain
    for other in ("verifier.votes=2", "verifier.engine.model=n"):
        assert load(text, sets=[other]).hash("c", None) != plain


def test_a_price_is_no_setting_that_decides(load, judged):
    plain = load(GOOD)
    priced = load(GOOD, sets=["engine.price={input: 2, cached_input: 0.5, output: 8}"])
    assert (plain.engine.price, priced.engine.price) == (None, Price(2.0, 0.5, 8.0))
    assert priced.hash("c", None) == plain.hash("c", None)
    assert priced.engine.settings_key() == plain.engine.settings_key()
    text = judged("  engine: {name: transformers, model: m}\n")
    plain = load(text)
    for block in ("verifier", "verifier.engine"):
        same = load(text, sets=[f"{block}.price={{gpu_hour: shared}}"])
        assert same.hash("c", None) == plain.hash("c", None)
        assert same.verifier.settings_key() == plain.verifier.settings_key()


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ("{}", "engine.price: names no price"),
        ("3", "engine.price: must be a mapping, not 3"),
        ("{input: -1}", "engine.price.input: must be at least 0, not -1"),
        ("{input: cheap}", "engine.price.input: must be a number, not"),
        ("{inputs: 1}", "engine.price.inputs: unknown key 'inputs'. Did you mean 'input'?"),
        ("{input: 1, gpu_hour: 2}", "engine.price: is by the token (input, output) or by gpu_hour"),
        ("{cached_input: 1, output: 2}", "engine.price: cached_input needs input"),
        ("{gpu_hour: dear}", "engine.price.gpu_hour: must be a number or 'shared'"),
        ("{input: 1, gpus: 8}", "engine.price: gpus needs gpu_hour"),
        ("{gpu_hour: shared}", "engine.price: gpu_hour: shared is for a verifier"),
    ],
)
def test_a_senseless_price_is_one_fault(load, price: str, reason: str):
    (fault,) = faults(load, GOOD, sets=[f"engine.price={price}"])
    assert reason in fault
