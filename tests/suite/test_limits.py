"""Values that no suite can mean are refused, each in one line with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from tts_bench.errors import SuiteError
from tts_bench.suite.folder_name import folder_fault
from tts_bench.suite.load import load_suite
from tts_bench.suite.overrides import Overrides
from tts_bench.suite.registry import Registry

SUITE = {
    "dataset": ["{name: arithmetic, problems: 5}"],
    "engine": ["{name: transformers, model: somewhere}"],
    "sampling": ["{max_tokens: 32}"],
    "strategies": ["[greedy]"],
}
BLOCKS = {
    "transformers": "{name: transformers, model: m, KEY}",
    "vllm": "{name: vllm, model: m, KEY}",
    "prm": "{name: prm, model: m, KEY}",
    "generative": "{name: generative, KEY}",
    "judge": "{name: judge, KEY}",
    "arithmetic": "{name: arithmetic, KEY}",
    "jsonl": "{name: jsonl, path: p.jsonl, KEY}",
    "sampling": "{max_tokens: 32, KEY}",
    "budget": "{KEY}",
    "prompt": "{KEY}",
}
HOME = dict.fromkeys(("transformers", "vllm"), "engine")
HOME |= dict.fromkeys(("prm", "generative", "judge"), "verifier")
HOME |= dict.fromkeys(("arithmetic", "jsonl"), "dataset")
ABSURD = {
    "transformers": ["threads: -1", "threads: 100000", "max_batch_size: 0", "max_model_len: 0"],
    "vllm": [
        "gpu_memory_utilization: 5",
        "gpu_memory_utilization: 0",
        "gpu_memory_utilization: .nan",
        "kv_cache_gb: -1",
        "kv_cache_gb: .inf",
        "tensor_parallel_size: 0",
        "max_num_seqs: 0",
        "max_num_batched_tokens: -4",
        "seed: -1",
        "seed: 9223372036854775808",
        "options: {a: {b: [1, .nan]}}",
        "options: {a: 99999999999999999999}",
    ],
    "prm": ["batch_tokens: 0", "cache_tokens: -1", "gpu_memory_utilization: 1.5", "threads: 0"],
    "generative": ["n: 1000000000000", "rounds: 0", "temperature: -1", "top_p: 2", "seed: -3"],
    "judge": ["retries: -1", "max_tokens: 0", "temperature: .inf", "unreadable: .nan"],
    "arithmetic": ["problems: 0", "problems: 1000000000000", "levels: []", "seed: -1"],
    "jsonl": ["levels: []", "per_level: 0", "skip_per_level: -1", "per_level: 10000000000"],
    "sampling": [
        "temperature: -1",
        "temperature: .nan",
        "temperature: .inf",
        "top_p: 0",
        "top_k: 1000000000000",
        "max_tokens: 0",
        "max_tokens: 1000000000000",
        'stop: ["a\\0"]',
    ],
    "budget": ["tokens: 0", "tokens: 1000000000000", "tokens: 1.5"],
    "prompt": ['system: "\\ud800"', 'template: "{problem}\\0"'],
}
STRATEGIES = [
    "{strategy: best_of_n, n: 1000000000000}",
    "{strategy: best_of_n, n: [4, 0]}",
    "{strategy: best_of_n, n: []}",
    "{strategy: greedy, temperature: -1}",
    "{strategy: mcts, exploration: .nan}",
    "{strategy: mcts, children: 1000000000}",
    "{strategy: rebase, balance: .inf}",
    "{strategy: beam_search, lookahead: 10000000}",
    "{strategy: beam_search, max_steps: 0}",
    "{strategy: beam_search, step_tokens: 10000000000}",
    "{strategy: adaptive_consistency, confidence: .nan}",
    "{strategy: adaptive_consistency, confidence: 2}",
    "{strategy: adaptive_consistency, batch: 0}",
    "{strategy: early_stopping_consistency, max_n: 1000000000000}",
    "{strategy: budget_forcing, waits: 1000000000}",
    "{strategy: budget_forcing, max_answer_tokens: 0}",
    "{strategy: self_refine, rounds: 0}",
    "{strategy: token_budget, budget: 0}",
    "{strategy: compute_optimal, probe: 0}",
    "{strategy: policy, file: p.yaml, budget: .inf}",
    "{strategy: policy, file: p.yaml, budget: 0}",
]


@pytest.fixture
def faults(tmp_path: Path):
    """The faults of a suite that has these lines in place of its own."""

    def faults(overrides: Overrides | None = None, **lines: str) -> list[str]:
        whole = {key: value[0] for key, value in SUITE.items()} | lines
        path = tmp_path / "s.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in whole.items()))
        with pytest.raises(SuiteError) as caught:
            load_suite(path, Registry(), overrides)
        return [line.replace(f"{tmp_path}/", "") for line in caught.value.problems]

    return faults


@pytest.mark.parametrize(
    ("block", "key"), [(block, key) for block, keys in ABSURD.items() for key in keys]
)
def test_an_absurd_value_is_one_line_with_its_place(faults, block, key):
    home = HOME.get(block, block)
    [found] = faults(**{home: BLOCKS[block].replace("KEY", key)})
    line = {"dataset": 1, "engine": 2, "sampling": 3}.get(home, 5)
    assert found.startswith(f"s.yaml:{line}: {home}")
    assert key.partition(":")[0] in found
    assert "\n" not in found
    assert len(found) < 300


@pytest.mark.parametrize("entry", STRATEGIES)
def test_an_absurd_parameter_of_a_strategy_is_one_line_with_its_place(faults, entry):
    found = faults(strategies=f"[greedy, {entry}]")
    assert found
    assert all(one.startswith("s.yaml:4: strategies[1]") for one in found)


@pytest.mark.parametrize("value", ["0", "-1", "1000000000000", "1.5", ".nan", "[]"])
def test_absurd_concurrency_and_seeds_are_refused_from_file_and_command_line(faults, value):
    assert faults(concurrency=value)[0].startswith("s.yaml:5: concurrency: must be")
    option = Overrides(sets=[f"concurrency={value}"])
    assert faults(option)[0].startswith(f"--set concurrency={value}: concurrency: must be")
    if value not in ("0", "1000000000000"):
        assert faults(seeds=f"[{value}]")[0].startswith("s.yaml:5: seeds[0]: must be")


def test_a_number_of_any_length_is_one_short_line(faults):
    for number in ("9" * 3000, "0x" + "f" * 6000, "9" * 6000, "1e400"):
        for found in (faults(concurrency=number), faults(seeds=f"[{number}]")):
            assert all(len(one) < 400 for one in found)


def test_a_long_value_is_quoted_in_part(faults):
    for lines in (
        {"sampling": f"{{max_tokens: {'x' * 5000}}}"},
        {"engine": f"{{name: {'x' * 5000}, model: m}}"},
        {"strategies": f"[{'x' * 5000}]"},
        {"x" * 900: "1"},
        {"name": "x" * 5000},
        {"name": "'" + "x y" * 2000 + "'"},
    ):
        [found] = faults(**lines)
        assert len(found) < 600, found


@pytest.mark.parametrize(
    "name",
    [
        "generations.sqlite",
        "Generations.SQLite",
        "generations.sqlite-wal",
        "latest",
        "joint",
        "..",
        ".",
        "a/b",
        "a.",
        "a\x1bb",
        "x" * 256,
        "数" * 90,
        "",
    ],
)
def test_a_name_that_something_else_has_or_no_disk_takes_is_refused(faults, name):
    assert folder_fault(name)
    quoted = name.replace("\x1b", "\\e")
    [found] = faults(name=f'"{quoted}"')
    assert found.startswith("s.yaml:5: name: must ")
    assert len(found) < 300


@pytest.mark.parametrize("name", ["a", "qwen2.5_7b-v1", "generations", "数学", "a" * 128, "-x"])
def test_a_plain_name_is_taken(name):
    assert folder_fault(name) is None


@pytest.mark.parametrize("stem", ["latest", "generations.sqlite", "y" * 200])
def test_a_file_whose_name_cannot_be_its_runs_says_so(tmp_path, stem):
    path = tmp_path / f"{stem}.yaml"
    text = "".join(f"{key}: {value[0]}\n" for key, value in SUITE.items())
    path.write_text(text)
    with pytest.raises(SuiteError, match="set the key name"):
        load_suite(path, Registry())
    path.write_text(f"{text}name: good\n")
    assert load_suite(path, Registry()).name == "good"
