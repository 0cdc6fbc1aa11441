"""Every shipped suite, run to its end with small models of the families that it names.

The models have random weights but the architectures, verifier formats and engines of the suite; its
strategies, prompts and sweeps are those of the file. Only sizes are cut: tokens, contexts, and the
largest pools.
"""

from __future__ import annotations

import contextlib
import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from reward_models import SIZES, make
from stand_in_pooling import PoolingStandIn
from stand_in_server import StandIn, in_background

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.store.runs import resolve_run
from tts_bench.suite.load import find_suite, shipped_suites

TINY_MODEL = Path(__file__).resolve().parents[2] / "benchmarks" / "tiny_model.py"
FAMILIES = {
    "meta-llama": "Llama",
    "Qwen": "Qwen2",
    "deepseek-ai": "Qwen2",
    "simplescaling": "Qwen2",
}
"""Architecture of a policy by the organisation that publishes it."""
VERIFIERS = {
    "Qwen/Qwen2.5-Math-PRM-7B": ("qwen2.5-math-prm", {}),
    "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B": ("skywork-o1-open-prm", {}),
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": ("rlhflow", {"format": "rlhflow"}),
    "peiyi9979/math-shepherd-mistral-7b-prm": ("math-shepherd", {"format": "math-shepherd"}),
    "./build/math500_cpu/prm": ("trl", {}),
}
"""Kind of the stand-in for a verifier, and the settings that its hub id would imply."""
LARGEST = 16
"""Draws of a problem; the suites' own sweeps go to 10,000."""
ROOM = {"dtype": "float32", "max_model_len": 512}
POLICY_ROOM = {"dtype": "float32", "max_model_len": 1024}
COLUMNS = {
    "math500": {"unique_id": "p0", "problem": "2 plus 3", "answer": "5", "level": 1},
    "aime24": {"id": "p0", "problem": "2 plus 3", "answer": "5"},
    "aime25": {"id": "p0", "problem": "2 plus 3", "answer": "5"},
}
"""A row of each data set, with its columns."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Path of a model of a kind, made when it is asked for first."""
    folder = tmp_path_factory.mktemp("models")

    def path(kind: str) -> str:
        target = folder / kind
        if not target.exists():
            _policy(kind, target) if kind in ("Llama", "Qwen2") else make(kind, target)
        return str(target)

    return path


def _policy(family: str, folder: Path) -> None:
    # Without the markers of reward models, which a policy with random weights would write.
    words = runpy.run_path(str(TINY_MODEL))["tokenizer_of_sums"]()
    words.save_pretrained(folder)
    special = {"eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    sizes = SIZES | {"max_position_embeddings": 1024}  # room for the longest system prompt
    config = getattr(transformers, f"{family}Config")(**sizes, **special)
    getattr(transformers, f"{family}ForCausalLM")(config).save_pretrained(folder)


def cut(value: Any) -> Any:
    """A sweep or a size with everything above the limit left out."""
    if isinstance(value, list):
        return [one for one in value if one <= LARGEST] or [LARGEST]
    return min(value, LARGEST)


def small(suite: dict[str, Any], rows: Path, models: Any) -> dict[str, Any]:
    """The suite with small models and small sizes."""
    suite = json.loads(json.dumps(suite))  # anchors stand for one list, which is cut for each
    name = suite["dataset"] if isinstance(suite["dataset"], str) else suite["dataset"]["name"]
    if name in COLUMNS:
        part = suite["dataset"] if isinstance(suite["dataset"], dict) else {"name": name}
        # Two levels, for suites that name them; the run takes the first problem.
        lines = [COLUMNS[name], COLUMNS[name] | {"level": 2, "unique_id": "p1", "id": "p1"}]
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        suite["dataset"] = part | {"path": str(rows)}
    engine = suite["engine"]
    if engine["name"] == "server":
        engine |= {"model": models("Qwen2")}
        suite["sampling"] |= {"max_tokens": 48}
    if engine["name"] == "vllm":
        family = FAMILIES.get(engine["model"].split("/")[0], "Llama")
        engine |= {"model": models(family), "kv_cache_gb": 0.125, "tensor_parallel_size": 1}
        engine |= POLICY_ROOM
        suite["sampling"] |= {"max_tokens": 48}
    if isinstance(suite.get("verifier"), dict) and suite["verifier"]["model"] in VERIFIERS:
        kind, implied = VERIFIERS[suite["verifier"]["model"]]
        suite["verifier"] |= {"model": models(kind), **ROOM, **implied}
        if suite["verifier"].get("backend") == "vllm":
            suite["verifier"] |= {"kv_cache_gb": 0.125}
    for entry in suite["strategies"]:
        if isinstance(entry, dict):
            entry |= {
                key: cut(entry[key]) for key in ("n", "max_n", "n_medium", "n_hard") if key in entry
            }
            entry |= {
                key: 96 if isinstance(entry[key], int) else [32, 64]
                for key in ("max_thinking_tokens", "max_answer_tokens", "budget")
                if key in entry
            }
    suite["seeds"] = [0]
    return suite


@contextlib.contextmanager
def served(suite: dict[str, Any]) -> Iterator[None]:
    """Stand-ins for the servers that the suite names, whose addresses it then has."""
    with in_background() as bring_up:
        verifier = suite.get("verifier")
        kinds = {StandIn: suite["engine"], PoolingStandIn: verifier}
        for kind, block in kinds.items():
            if isinstance(block, dict) and "base_url" in block:
                words = transformers.AutoTokenizer.from_pretrained(block["model"])
                server = kind(HuggingFaceTokenizer(words), model=block["model"])
                block["base_url"] = bring_up(server).url
        yield


ON_VLLM = {
    name: yaml.safe_load(file.read_text("utf-8"))["engine"]["name"] == "vllm"
    for name, file in shipped_suites().items()
}


@pytest.mark.parametrize("name", [name for name, on_vllm in ON_VLLM.items() if not on_vllm])
def test_it_runs_to_its_end(name, models, tmp_path, cli, undrawn):
    run_to_the_end(name, models, tmp_path, cli)


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, on_vllm in ON_VLLM.items() if on_vllm])
def test_it_runs_to_its_end_on_vllm(name, models, tmp_path, cli, undrawn):
    run_to_the_end(name, models, tmp_path, cli)


def run_to_the_end(name: str, models: Any, folder: Path, cli: Any) -> None:
    given = small(
        yaml.safe_load(find_suite(name).read_text("utf-8")), folder / "rows.jsonl", models
    )
    path = folder / "suite.yaml"
    with served(given):
        path.write_text(yaml.safe_dump(given))
        done = cli("run", path, "--limit", "1", "--output-path", folder / "results")
    assert done.returncode == 0, done.stderr
    run = resolve_run(folder / "results" / "suite")
    attempts = list(run.attempts())
    assert attempts
    assert not [attempt.error for attempt in attempts if attempt.error]
    assert run.read_manifest().status == "complete"
    assert (run.folder / "report.html").is_file()
