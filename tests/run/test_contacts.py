"""Whom a run would contact; nobody is, to say so."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tts_bench.errors import ModelError
from tts_bench.run.contacts import contacts, replicas
from tts_bench.run.forecast import forecast
from tts_bench.run.plan import RunOptions, make_plan
from tts_bench.suite.load import Suite, find_suite, load_suite, shipped_suites
from tts_bench.suite.registry import Registry

TINY = "tts_bench/tiny/policy"
SUITE = """
dataset: {dataset}
engine: {engine}
verifier: {verifier}
sampling: {{max_tokens: 100}}
strategies: [greedy]
"""


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No socket connects, and the hub's cache is empty."""

    def refuse(*_: object) -> None:
        raise AssertionError("somebody was contacted")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def suite_of(tmp_path: Path):
    def suite_of(
        engine: str = f"{{name: transformers, model: {TINY}}}",
        verifier: str = "confidence",
        dataset: str = "{name: arithmetic, problems: 2}",
    ) -> Suite:
        path = tmp_path / "s.yaml"
        path.write_text(SUITE.format(engine=engine, verifier=verifier, dataset=dataset))
        return load_suite(path, Registry())

    return suite_of


def test_models_of_this_machine_need_nobody(suite_of):
    assert contacts(suite_of()) == ["nobody"]


def test_servers_are_named_with_the_variable_of_their_key(suite_of, monkeypatch):
    engine = (
        f"{{name: server, model: {TINY}, base_url: ['http://a:1/v1', 'http://b'], api_key_env: K}}"
    )
    monkeypatch.delenv("K", raising=False)
    assert contacts(suite_of(engine)) == [
        "policy: http://a:1, http://b (key from K, which is not set)"
    ]
    monkeypatch.setenv("K", "sesame")
    assert contacts(suite_of(engine)) == ["policy: http://a:1, http://b (key from K)"]


def test_a_ray_that_runs_is_named_with_the_replicas_that_are_wanted(suite_of):
    engine = "{name: ray, model: /there/policy, address: 'ray://a:10001', replicas: 4}"
    suite = suite_of(engine)
    assert contacts(suite) == ["policy: the Ray at ray://a:10001"]
    assert list(replicas(suite)) == ["policy: 4, each with 1 CPU and, if any, 1 GPU"]


def test_a_ray_that_would_be_started_is_nobody(suite_of, tmp_path: Path):
    engine = f"{{name: ray, model: {TINY}, tensor_parallel_size: 2, resources: {{A100: 2}}}}"
    suite = suite_of(engine)
    assert contacts(suite) == ["nobody"]
    text = forecast(make_plan(suite, RunOptions(tmp_path / "results")))
    assert (
        "\nreplicas  policy: as many as find room on a Ray that is started here, each with 1 CPU,"
        " 2 A100 and, if any, 2 GPUs\n"
    ) in text
    assert "\nmemory" not in text


@pytest.mark.parametrize("address", ["http://a:8265", "a", "''"])
def test_an_address_of_no_ray_is_refused(suite_of, address: str):
    with pytest.raises(ModelError, match="is none of: auto, host:port, ray://host:port"):
        contacts(suite_of(f"{{name: ray, model: m, address: {address}}}"))


def test_a_model_that_must_be_here_is_looked_for_here(suite_of, tmp_path: Path):
    suite = suite_of(f"{{name: ray, model: {tmp_path}/nothing}}")
    with pytest.raises(ModelError, match="no model folder at"):
        forecast(make_plan(suite, RunOptions(tmp_path / "results")))


@pytest.mark.parametrize(
    "verifier",
    [
        "{name: judge, engine: {name: server, model: tts_bench/tiny/policy, base_url: 'http://c'}}",
        "{name: prm, model: tts_bench/tiny/prm, backend: server, base_url: 'http://c'}",
    ],
)
def test_a_verifiers_server_is_named_too(suite_of, verifier: str):
    name = verifier[7 : verifier.index(",")]
    assert contacts(suite_of(verifier=verifier)) == [f"verifier {name}: http://c"]


def test_what_comes_from_the_hub_is_named_with_what_it_is_for(suite_of):
    suite = suite_of(
        "{name: server, model: org/served, base_url: 'http://a', tokenizer_model: org/words}",
        "{name: prm, model: org/prm}",
        "math500",
    )
    assert contacts(suite) == [
        "policy: http://a",
        "Hugging Face Hub: tokenizer of policy org/words (not here yet), model of the verifier prm"
        " org/prm (not here yet), data set HuggingFaceH4/MATH-500 (read already)",
    ]


def test_a_chat_endpoint_needs_the_hub_for_its_sizes_alone(suite_of):
    engine = "{name: server, dialect: chat, model: m, base_url: 'http://a', logprobs: true"
    assert contacts(suite_of(f"{engine}}}")) == ["policy: http://a"]
    assert contacts(suite_of(f"{engine}, shape: org/m}}")) == [
        "policy: http://a",
        "Hugging Face Hub: sizes of the policy's model org/m (not here yet)",
    ]


def test_a_data_set_in_a_file_is_not_of_the_hub(suite_of):
    assert contacts(suite_of(dataset="{name: math500, path: here.jsonl}")) == ["nobody"]


def test_of_a_plug_in_nothing_is_promised(suite_of, tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench.verifier.base import Verifier\n"
        "@dataclass(frozen=True)\n"
        "class Oracle(Verifier):\n"
        "    async def score(self, problem, candidates):\n"
        "        return []\n"
    )
    suite = suite_of(verifier=f"{tmp_path / 'mine.py'}:Oracle")
    assert contacts(suite) == ["verifier: whomever Oracle asks, a plug-in"]


@pytest.mark.parametrize("name", sorted(shipped_suites()))
def test_every_shipped_suite_says_whom_it_needs(name: str):
    lines = contacts(load_suite(find_suite(name), Registry()))
    assert lines
    known = ("nobody", "Hugging Face Hub: ")
    # Of the shipped suites only the one that says so in its name asks servers.
    known += ("policy: http://", "verifier prm: http://") if "servers" in name else ()
    assert all(line.startswith(known) for line in lines)


def test_the_dry_run_contacts_nobody(suite_of, tmp_path: Path):
    suite = suite_of(f"{{name: server, model: {TINY}, base_url: 'http://a:1'}}")
    text = forecast(make_plan(suite, RunOptions(tmp_path / "results")))
    assert "\ncontacts  policy: http://a:1\n" in text
