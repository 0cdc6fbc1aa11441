"""Whole runs with policy and verifier on real vLLM servers of their own, beside both in here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from attempt_rows import rows
from server_process import serving
from vllm_servers import POOLING, TINY, VLLMServer

pytestmark = [pytest.mark.vllm, pytest.mark.slow, pytest.mark.usefixtures("undrawn")]
PRM = "tts_bench/tiny/prm"
Addresses = dict[str, str]


@pytest.fixture(scope="module")
def addresses(vllm_servers: tuple[VLLMServer, VLLMServer]) -> Iterator[Addresses]:
    """Where the policy is, a second one of it, and the reward model."""
    policy, other = vllm_servers
    with serving(VLLMServer(PRM, POOLING)) as (reward,):
        yield {"policy": policy.url, "other": other.url, "reward": reward}


def here(model: str) -> dict[str, Any]:
    return {"name": "vllm", "model": model, "kv_cache_gb": 0.125}


def there(model: str, url: str) -> dict[str, Any]:
    return {"name": "server", "model": model, "base_url": url}


def reward(**settings: Any) -> dict[str, Any]:
    return {"name": "prm", "model": PRM, "dtype": "float32", "aggregate": "min", **settings}


def verifiers(name: str, at: Addresses) -> tuple[dict[str, Any], dict[str, Any]]:
    """The verifier in this process, and on a server that is not the policy's."""
    if name == "prm":
        on_server = {"backend": "server", "base_url": at["reward"]}
        return reward(backend="vllm", kv_cache_gb=0.125), reward(**on_server)
    settings = {
        "generative": {"max_tokens": 24},
        "judge": {"prompt": "{problem} {solution}", "max_tokens": 24, "unreadable": 0.5},
    }[name]
    engines = here(TINY), there(TINY, at["other"])
    one, other = ({"name": name, "engine": engine, **settings} for engine in engines)
    return one, other


@pytest.mark.parametrize("name", ["prm", "generative", "judge"])
def test_vllm_servers_of_policy_and_verifier_give_the_attempts_of_both_in_this_process(
    name: str, addresses: Addresses, tmp_path: Path, cli
):
    verifier_here, verifier_there = verifiers(name, addresses)
    engines = {"here": here(TINY), "there": there(TINY, addresses["policy"])}
    for place, verifier in (("here", verifier_here), ("there", verifier_there)):
        suite = {
            "name": "s",
            "dataset": {"name": "arithmetic", "problems": 3},
            "engine": engines[place],
            "sampling": {"max_tokens": 160, "temperature": 1.0},
            "verifier": verifier,
            "strategies": [
                {"strategy": "best_of_n", "n": [1, 4]},
                {"strategy": "weighted_vote", "n": 4},
                {"strategy": "beam_search", "n": 4},
            ],
        }
        path = tmp_path / f"{place}.yaml"
        path.write_text(yaml.safe_dump(suite))
        done = cli("run", path, "-o", tmp_path / place, "--display", "none")
        assert done.returncode == 0, done.stderr
    in_here, over_there = rows(tmp_path / "here"), rows(tmp_path / "there")
    assert len(in_here) == 3 * 3
    assert in_here == over_there
    scores = {score for row in in_here for score in row["pool"]["score"]}
    assert len(scores) > 4 or name == "judge"
    assert all(row["verifier"]["requests"] for row in in_here)
