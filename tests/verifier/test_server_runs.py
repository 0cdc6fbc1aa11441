"""Runs and evaluations whose reward model is behind a server, to their end or to one line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import transformers
import yaml
from stand_in_pooling import PoolingStandIn
from stand_in_server import MODEL, StandIn, in_background

from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.weights import local_path
from tts_bench.store.runs import resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")
PRM = "tts_bench/tiny/prm"
KEY = "open-sesame-18"
PROBES = 9
"""Completions that an engine draws from its server when it starts."""
TRIAL = 8
"""Longest of them."""


@pytest.fixture
def background() -> Iterator[Callable[[StandIn], StandIn]]:
    with in_background() as bring_up:
        yield bring_up


@pytest.fixture(scope="module")
def tokenizer() -> HuggingFaceTokenizer:
    return HuggingFaceTokenizer(transformers.AutoTokenizer.from_pretrained(local_path(PRM)))


def prm(url: str, **settings: Any) -> dict[str, Any]:
    return {"name": "prm", "model": PRM, "backend": "server", "base_url": url, **settings}


def suite(folder: Path, policy: str, verifier: dict[str, Any]) -> Path:
    """The file of a suite with the policy at this address."""
    path = folder / "s.yaml"
    content = {
        "name": "s",
        "dataset": {"name": "arithmetic", "problems": 3},
        "engine": {"name": "server", "model": MODEL, "base_url": policy},
        "sampling": {"max_tokens": 64, "temperature": 1.0},
        "verifier": verifier,
        "strategies": [
            {"strategy": "best_of_n", "n": 4},
            {"strategy": "weighted_vote", "n": 4},
            {"strategy": "beam_search", "n": 4},
        ],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@dataclass
class JudgeStandIn(StandIn):
    """Whoever leaves it room for more than a trial gets a grade, by the prompt."""

    def _draw(
        self, prompt: list[int], seed: int, temperature: float, most: int, stop: list[str]
    ) -> tuple[list[int], str, str | None]:
        if most <= TRIAL:
            return super()._draw(prompt, seed, temperature, most, stop)
        grade = random.Random(str(prompt)).randint(1, 10)
        return list(self.tokenizer.encode(f"Grade: {grade}.")), "stop", None


def test_policy_and_reward_model_on_two_servers_and_the_key_in_no_file(
    background, tokenizer, tmp_path: Path, cli, monkeypatch
):
    monkeypatch.setenv("THE_KEY", KEY)
    policy = background(StandIn(tokenizer))
    reward = background(PoolingStandIn(tokenizer, model=PRM))
    path = suite(tmp_path, policy.url, prm(reward.url, api_key_env="THE_KEY"))
    done = cli("run", path, "-o", tmp_path / "out", "--display", "none")
    assert done.returncode == 0, done.stderr
    run = resolve_run(tmp_path / "out" / "s")
    attempts = list(run.attempts())
    assert len(attempts) == 9
    assert not [one.error for one in attempts if one.error]
    assert set(reward.headers) == {f"Bearer {KEY}"}
    assert set(policy.headers) == {""}
    info = run.read_manifest().verifier
    assert "server vllm 1.0 pooling" in json.dumps(info, default=str)
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in files if KEY.encode() in file.read_bytes()]


def test_policy_and_judge_on_two_servers(background, tokenizer, tmp_path: Path, cli):
    policy, judge = background(StandIn(tokenizer)), background(JudgeStandIn(tokenizer))
    verifier = {"name": "judge", "engine": {"name": "server", "model": MODEL}}
    verifier["engine"]["base_url"] = judge.url
    path = suite(tmp_path, policy.url, verifier)
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    attempts = list(resolve_run(tmp_path / "s").attempts())
    assert len(attempts) == 9
    assert not [one.error for one in attempts if one.error]
    grades = {round(score * 9) + 1 for one in attempts for score in one.pool.score}
    assert grades <= set(range(1, 11))
    assert len(grades) > 3
    assert all(one.verifier.requests for one in attempts)


def test_reward_servers_that_are_gone_stop_the_run_and_the_same_command_goes_on(
    background, tokenizer, tmp_path: Path, cli
):
    def dying(number: int, _: Any) -> None:
        if number == 4:
            reward.loop.create_task(reward.down())

    policy = background(StandIn(tokenizer))
    reward = background(PoolingStandIn(tokenizer, model=PRM, fault=dying))
    path = suite(tmp_path, policy.url, prm(reward.url, patience=0.3, restarts=0))
    command = ("run", path, "-o", tmp_path, "--display", "none", "--concurrency", "1")
    stopped = cli(*command)
    assert stopped.returncode == 1
    assert "no server answers any more" in stopped.stderr
    assert len(stopped.stderr.splitlines()) < 5
    assert not [one for one in resolve_run(tmp_path / "s").attempts() if one.error]
    reward.fault = None
    background(reward)
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    attempts = list(resolve_run(tmp_path / "s").attempts())
    assert len(attempts) == 9
    assert not [one.error for one in attempts if one.error]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"served_model": "other"}, "does not serve 'other'; it has tts_bench/tiny/prm"),
        ({"base_url": "http://127.0.0.1:9"}, "no server answers at http://127.0.0.1:9"),
        ({"api_key_env": "NO_SUCH_KEY"}, "the environment variable NO_SUCH_KEY is not set"),
        ({"base_url": None}, "backend: server needs base_url"),
        ({"backend": "vllm"}, "base_url needs backend: server"),
    ],
)
def test_what_is_wrong_with_it_is_one_line_and_nothing_is_run(
    settings, said, background, tokenizer, tmp_path: Path, cli
):
    policy = background(StandIn(tokenizer))
    reward = background(PoolingStandIn(tokenizer, model=PRM))
    verifier = {key: one for key, one in (prm(reward.url) | settings).items() if one is not None}
    done = cli("run", suite(tmp_path, policy.url, verifier), "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert said in line
    assert policy.served <= PROBES
    assert reward.served == 0


def test_a_policys_server_as_reward_server_is_one_line_and_nothing_is_run(
    background, tokenizer, tmp_path: Path, cli
):
    policy = background(StandIn(tokenizer))
    path = suite(tmp_path, policy.url, prm(policy.url, served_model=MODEL))
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    said = f"error: {policy.url} serves {MODEL} to generate, not as a reward model: start it with"
    [line] = done.stderr.splitlines()
    assert line.startswith(said)
    assert policy.served == PROBES


def untold(number: int, answer: dict) -> dict:
    """The answer of a vLLM that knows no `logprob_token_ids`."""
    [choice] = answer["choices"]
    return {
        **answer,
        "choices": [choice | {"logprobs": choice["logprobs"] | {"top_logprobs": None}}],
    }


@pytest.mark.parametrize("dialect", ["auto", "vllm"])
@pytest.mark.parametrize("name", ["generative", "prm_causal"])
def test_a_server_without_what_a_verifier_reads_is_one_line_and_nothing_is_run(
    name: str, dialect: str, background, tokenizer, tmp_path: Path, cli
):
    policy, other = background(StandIn(tokenizer)), background(StandIn(tokenizer, fault=untold))
    engine = {"name": "server", "model": MODEL, "base_url": other.url, "dialect": dialect}
    form = {"format": {"layout": "pieces", "head": "tokens"}} if name == "prm_causal" else {}
    path = suite(tmp_path, policy.url, {"name": name, "engine": engine, **form})
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "no log-probabilities of chosen tokens" in line
    assert policy.served <= PROBES


def test_a_reward_model_behind_a_server_is_evaluated_on_labelled_steps(
    background, tokenizer, tmp_path: Path, cli
):
    reward = background(PoolingStandIn(tokenizer, model=PRM))
    path, data = tmp_path / "verifier.yaml", tmp_path / "steps.jsonl"
    path.write_text(yaml.safe_dump({"verifier": prm(reward.url)}))
    rows = [
        {
            "prompt": f"Compute {n} + 2.",
            "completions": [f"{n} plus 2 equals {n + 2}.", f"So {n + 2 + n % 2}"],
            "labels": [True, n % 2 == 0],
        }
        for n in range(6)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli("verify", path, data, "-o", tmp_path / "out", "--json", "--display", "none")
    assert done.returncode == 0, done.stderr
    assert reward.served > 6
    again = cli("verify", path, data, "-o", tmp_path / "out", "--json", "--replay")
    said, replayed = json.loads(done.stdout), json.loads(again.stdout)
    del said["spent"]["seconds"], replayed["spent"]["seconds"]
    assert replayed == said
