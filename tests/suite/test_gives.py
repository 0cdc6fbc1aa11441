"""What a suite's engines cannot give is refused when the suite is read, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tts_bench.errors import SuiteError, UsageError
from tts_bench.suite.load import load_suite
from tts_bench.suite.registry import STRATEGIES, Registry

CHAT = {"name": "server", "dialect": "chat", "base_url": "http://127.0.0.1:9", "model": "m"}
JUDGE = {"name": "judge", "engine": CHAT}
STEPWISE = {
    "beam_search",
    "budget_forcing",
    "dvts",
    "logprob_beam_search",
    "mcts",
    "particle_filter",
    "rebase",
}


@pytest.fixture
def faults(tmp_path: Path):
    def faults(strategies: list, engine: dict | None = None, **more) -> list[str]:
        """What is wrong, without the place; nothing if the suite is sound."""
        suite = {
            "dataset": {"name": "arithmetic", "problems": 5},
            "engine": {**CHAT, **(engine or {})},
            "sampling": {"max_tokens": 32},
            "strategies": strategies,
            **more,
        }
        path = tmp_path / "s.yaml"
        path.write_text(yaml.safe_dump(suite))
        try:
            load_suite(path, Registry())
        except SuiteError as error:
            return [line.partition("s.yaml:")[2].partition(" ")[2] for line in error.problems]
        return []

    return faults


def entries(registry: Registry) -> list:
    own = {"policy"}
    return [name for name in registry.names(STRATEGIES) if name not in own]


def test_strategies_that_go_on_from_exact_tokens_are_refused_with_those_that_work(faults):
    found = faults(entries(Registry()), verifier=JUDGE)
    assert {line.split()[1] for line in found} == STEPWISE | {"logprob_ranking"}
    [beam] = [line for line in found if "beam_search goes" in line and "logprob" not in line]
    assert beam.startswith(
        "strategies[2].strategy: beam_search goes on from the exact tokens of a text: a chat"
        " endpoint takes messages and gives text; these work: adaptive_best_of_n, "
    )
    for name in ("best_of_n", "self_refine", "token_budget", "compute_optimal", "greedy"):
        assert f" {name}" in beam
    assert " dvts" not in beam
    assert " logprob_ranking" not in beam


def test_what_reads_log_probabilities_needs_an_endpoint_that_is_asked_for_them(faults):
    assert faults(["greedy", "self_consistency", "self_refine", "token_budget"]) == []
    both = ["best_of_n", "logprob_ranking"]
    asked, ranked = faults(both)
    assert asked.startswith(
        "strategies[0].strategy: best_of_n asks verifier 'confidence', which reads the policy's"
        " log-probabilities: a chat endpoint gives them, if at all, with engine.logprobs: true;"
        " these work: "
    )
    assert ranked.startswith("strategies[1].strategy: logprob_ranking reads the policy's log-prob")
    assert faults(both, {"logprobs": True}) == []


@pytest.mark.parametrize(
    ("parameters", "refused"),
    [
        ({"strategy": "self_refine", "choose": "best"}, True),
        ({"strategy": "self_refine", "choose": ["last", "majority"]}, False),
        ({"strategy": "compute_optimal", "selector": "weighted"}, True),
        ({"strategy": "compute_optimal", "selector": "majority"}, False),
    ],
)
def test_parameters_decide_whether_a_verifier_is_asked(faults, parameters, refused):
    assert bool(faults([parameters])) is refused


@pytest.mark.parametrize("name", ["generative", "prm_causal"])
def test_verifiers_that_choose_tokens_are_refused_there(faults, name):
    own = {"name": name, "engine": CHAT}
    [line] = faults(["greedy"], verifier=own)
    assert line.startswith(f"verifier: verifier '{name}' ")
    assert line.endswith("`judge` can do without")
    asked = {"name": name, "engine": {**CHAT, "logprobs": True}}
    assert bool(faults(["greedy"], verifier=asked)) is (name == "prm_causal")


@pytest.mark.parametrize(
    "prompt", [{"chat": False}, {"prefill": "Let"}, {"template_kwargs": {"enable_thinking": False}}]
)
def test_prompts_that_no_endpoint_can_be_given_are_refused(faults, prompt):
    [key] = prompt
    [line] = faults(["greedy"], prompt=prompt)
    assert line.startswith(f"prompt.{key}: cannot be kept: a chat endpoint takes messages")
    if key != "prefill":
        [line] = faults(["greedy"], verifier={**JUDGE, **prompt})
        assert line.startswith(f"verifier.{key}: cannot be kept: a chat endpoint takes messages")


def test_settings_that_mean_nothing_there_have_a_line(faults):
    [line] = faults(["greedy"], {"extra_body": {"seed": 3}})
    assert line == "engine: extra_body must not hold seed, which requests set themselves"
    assert faults(["greedy"], {"shape": {"layers": 2}})[0].startswith("engine.shape: missing key")


OWN = """
from dataclasses import dataclass
from tts_bench import Strategy

@dataclass(frozen=True)
class Own(Strategy):
    needs = {needs}

    async def solve(self, problem, session):
        ...
"""


@pytest.mark.parametrize(
    ("needs", "said"),
    [
        ('"exact_tokens"', "write a list"),
        ('("exact_token",)', "needs an unknown 'exact_token'. Did you mean 'exact_tokens'?"),
    ],
)
def test_a_strategy_of_ones_own_says_what_it_needs(tmp_path, needs, said, faults):
    path = tmp_path / "own.py"
    path.write_text(OWN.format(needs='("exact_tokens",)'))
    [line] = faults([{"strategy": f"{path}:Own"}])
    assert "goes on from the exact tokens" in line
    wrong = tmp_path / "wrong.py"
    wrong.write_text(OWN.format(needs=needs))
    with pytest.raises(UsageError) as caught:
        Registry().load(STRATEGIES, f"{wrong}:Own")
    assert said in str(caught.value)


def test_ls_marks_what_strategies_need(cli):
    lines = cli("ls", "strategies").stdout.splitlines()
    [beam] = [line for line in lines if line.startswith("beam_search ")]
    assert beam.endswith("[needs exact tokens, scores]")
    [greedy] = [line for line in lines if line.startswith("greedy ")]
    assert "[needs" not in greedy


def test_the_docs_name_the_strategies_that_chat_endpoints_have(faults):
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text()
    works, _, refused = page.partition("**What works.**")[2].partition(
        "What goes on from the exact"
    )
    refused = refused.partition(") is refused")[0]
    shipped = set(entries(Registry()))
    assert {name for name in shipped if f"`{name}`" in refused} == STEPWISE
    assert {name for name in shipped if f"`{name}`" in works} == shipped - STEPWISE


def test_a_sampling_that_the_engine_cannot_keep_is_refused_where_it_stands(faults):
    judged = {"verifier": JUDGE}
    said = "the engine cannot draw with it: a chat endpoint takes text, and no tokens"
    tokens = {"max_tokens": 32, "stop_token_ids": [7]}
    assert faults(["greedy"], sampling=tokens, **judged) == [f"sampling.stop_token_ids: {said}"]
    entry = {"strategy": "self_consistency", "n": 4, "stop_token_ids": [7]}
    assert faults(["greedy", entry], **judged) == [f"strategies[1].stop_token_ids: {said}"]
    assert faults([{**entry, "stop_token_ids": []}, "greedy"], **judged) == []
    more = {"max_tokens": 32, "min_p": 0.1, "presence_penalty": 1, "repetition_penalty": 1.1}
    assert faults(["greedy"], sampling=more, **judged) == []


@pytest.mark.parametrize(
    ("dialect", "sampling", "said"),
    [
        ("sglang", {"repetition_penalty": 1.1}, "SGLang counts the output alone"),
        ("sglang", {"bad_words": ["x"]}, "SGLang has no such setting"),
        ("sglang", {"min_p": 0.1, "top_p": 0.9}, "SGLang applies it after top_p"),
        ("llamacpp", {"presence_penalty": 0.1}, "llama.cpp counts the prompt too"),
        ("llamacpp", {"frequency_penalty": 0.1}, "llama.cpp counts the prompt too"),
        ("llamacpp", {"stop_token_ids": [1]}, "llama.cpp has no such setting"),
        ("sglang", {"min_p": 0.1, "presence_penalty": 0.1, "stop_token_ids": [1]}, None),
        ("llamacpp", {"min_p": 0.1, "top_p": 0.9, "repetition_penalty": 1.2}, None),
        ("vllm", {"min_p": 0.1, "top_p": 0.9, "bad_words": ["x"]}, None),
        ("auto", {"repetition_penalty": 1.1}, None),
    ],
)
def test_a_server_that_means_another_thing_by_a_field_is_not_asked(faults, dialect, sampling, said):
    found = faults(
        ["greedy"], {"dialect": dialect}, verifier=JUDGE, sampling={"max_tokens": 8, **sampling}
    )
    assert len(found) == (said is not None)
    assert not said or said in found[0]
