"""Runs on chat endpoints: tokens by the endpoint's own count, replayed without it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from stand_in_chat import ChatStandIn, refusal

from tts_bench.store.runs import RunStore, resolve_run

pytestmark = pytest.mark.usefixtures("undrawn")

SHAPE = {
    "layers": 2,
    "hidden": 8,
    "heads": 2,
    "kv_heads": 1,
    "head_dim": 4,
    "intermediate": 16,
    "vocab": 32,
}
NONE = {"cached_tokens": 0}
ALL = [
    "greedy",
    {"strategy": "best_of_n", "n": [1, 4]},
    {"strategy": "self_consistency", "n": [1, 4]},
    {"strategy": "weighted_vote", "n": [1, 4]},
    "adaptive_best_of_n",
    "adaptive_consistency",
    {"strategy": "compute_optimal", "n": 4, "max_n": 8},
    {"strategy": "early_stopping_consistency", "max_n": 10},
    {"strategy": "self_refine", "choose": "best", "rounds": 1},
    "token_budget",
]


@pytest.fixture
def background() -> Iterator[Callable[[ChatStandIn], ChatStandIn]]:
    """Brings endpoints up in a thread of their own, beside a run in this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    servers = []

    def bring_up(server: ChatStandIn) -> ChatStandIn:
        asyncio.run_coroutine_threadsafe(server.up(), loop).result(30)
        server.loop = loop
        servers.append(server)
        return server

    yield bring_up
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.down(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def graded(messages: list[dict[str, str]], seed: int) -> str:
    """A judge's words."""
    return f"Fine so far, say {seed % 7} reasons.\n\nGrade: {1 + seed % 10}"


def suite_of(path: Path, server: ChatStandIn, strategies: list, **more) -> Path:
    engine = {
        "name": "server",
        "dialect": "chat",
        "base_url": server.url,
        "model": server.model,
        "patience": 10.0,
    }
    suite = {
        "name": "s",
        "dataset": {"name": "arithmetic", "problems": 3},
        "engine": {**engine, **more.pop("engine", {})},
        "sampling": {"max_tokens": 60, "temperature": 1.0},
        "prompt": {"system": "Put the answer in a box."},
        "strategies": strategies,
        **more,
    }
    path.write_text(yaml.safe_dump(suite))
    return path


def judge(server: ChatStandIn) -> dict:
    engine = {
        "name": "server",
        "dialect": "chat",
        "base_url": f"{server.url}/v1",
        "model": server.model,
    }
    return {"name": "judge", "engine": engine}


def rows(run: RunStore) -> list[str]:
    return sorted(run.attempts_path.read_text().splitlines())


def test_every_strategy_that_needs_no_exact_tokens_runs_and_replays(background, tmp_path, cli):
    policy = background(ChatStandIn("openrouter", thought="hm"))
    critic = background(ChatStandIn("ollama", reply=graded, model="critic"))
    engine = {"shape": SHAPE}
    path = suite_of(tmp_path / "s.yaml", policy, ALL, engine=engine, verifier=judge(critic))
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    run = resolve_run(tmp_path / "s")
    manifest = run.read_manifest()
    assert manifest.engine.engine == "server chat"
    assert manifest.verifier.model.model == "critic"
    attempts = list(run.attempts())
    assert len(attempts) == 3 * len(ALL)
    for attempt in attempts:
        assert attempt.error is None
        assert attempt.prompt_tokens is None
        assert attempt.pool.logprob == ()
        if len(attempt.pool) == attempt.policy.requests:
            assert attempt.policy.completion_tokens == sum(attempt.pool.tokens)
        assert attempt.policy.flops_logical > 0
    pooled = next(one for one in attempts if one.cell.startswith("best_of_n"))
    texts = pooled.policy
    assert texts.prompt_tokens_logical == 4 * texts.prompt_tokens_ideal
    words = len(manifest.problems[0].text.split())
    assert texts.prompt_tokens_ideal == 4 + 6 + 4 + words
    assert (pooled.verifier.requests, pooled.verifier.flops_logical) == (4, None)
    assert pooled.verifier.completion_tokens == 4 * len(graded([], 1).split())
    before = rows(run)
    asked = policy.served, critic.served
    resolve_run(tmp_path / "s").attempts_path.unlink()
    again = cli("run", path, "-o", tmp_path, "--display", "none", "--replay")
    assert again.returncode == 0, again.stderr
    assert (policy.served, critic.served) == asked
    assert rows(resolve_run(tmp_path / "s")) == before


def test_a_judge_on_an_endpoint_grades_a_policy_in_this_process(background, tmp_path, cli):
    critic = background(ChatStandIn("openai", reply=graded))
    here = {"name": "transformers", "model": "tts_bench/tiny/policy", "threads": 1}
    path = suite_of(tmp_path / "s.yaml", critic, [ALL[1]], verifier=judge(critic))
    suite = yaml.safe_load(path.read_text()) | {"engine": here}
    del suite["prompt"]
    path.write_text(yaml.safe_dump(suite))
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    for attempt in resolve_run(tmp_path / "s").attempts():
        assert attempt.error is None
        assert len(attempt.pool.score) == 4
        assert attempt.policy.flops_logical > 0
        assert attempt.verifier.flops_logical is None
        assert attempt.verifier.completion_tokens > 0


@pytest.mark.parametrize(
    ("settings", "calls", "turns"),
    [({"rounds": 2}, 3, 5), ({"n": 2}, 4, 3), ({"max_tokens": 0}, 1, 1)],
)
def test_a_generative_verifier_decides_in_a_turn_of_its_own(
    background, tmp_path, cli, settings, calls, turns
):
    policy = background(ChatStandIn())
    critic = background(ChatStandIn(likeliest={"Yes": 0.6, "No": 0.2}, model="critic"))
    verifier = judge(critic) | {"name": "generative", **settings}
    verifier["engine"]["logprobs"] = True
    path = suite_of(tmp_path / "s.yaml", policy, [ALL[1]], verifier=verifier)
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    for attempt in resolve_run(tmp_path / "s").attempts():
        assert attempt.pool.score == (0.75,) * 4
        assert attempt.verifier.requests == 4 * calls
    asked = [body["messages"] for body in critic.bodies if "top_logprobs" in body]
    assert all(one[-1]["content"].endswith("Is the solution correct? Answer:") for one in asked)
    assert max(map(len, asked)) == turns


def test_a_generative_verifier_that_could_not_decide_is_refused_at_the_start(
    background, tmp_path, cli
):
    critic = background(ChatStandIn(likeliest={"Hm": 0.6}))
    verifier = judge(critic) | {"name": "generative"}
    verifier["engine"]["logprobs"] = True
    path = suite_of(tmp_path / "s.yaml", critic, [ALL[1]], verifier=verifier)
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    assert "none of the 1 likeliest first tokens begins with 'Y' or 'N'" in done.stderr


def test_a_conversation_goes_on_in_messages_without_what_was_thought(background, tmp_path, cli):
    policy = background(ChatStandIn("deepseek", thought="secretly", usage=False))
    strategies = [{"strategy": "self_refine", "rounds": 1}, "token_budget"]
    path = suite_of(tmp_path / "s.yaml", policy, strategies)
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    longest = max((body["messages"] for body in policy.bodies), key=len)
    roles = [message["role"] for message in longest]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
    assert "secretly" not in json.dumps(longest)
    assert longest[-1]["content"].startswith("Now write the whole solution again")
    attempt, *_ = (one for one in resolve_run(tmp_path / "s").attempts() if len(one.pool) == 2)
    assert not any(one.facts for one in resolve_run(tmp_path / "s").attempts())
    assert attempt.pool.tokens == (None, None)
    assert attempt.policy.completion_tokens is None
    table = (resolve_run(tmp_path / "s").folder / "table.md").read_text()
    assert "does not count tokens" in table


def test_a_budget_that_nobody_can_hold_stops_the_run(background, tmp_path, cli):
    policy = background(ChatStandIn(usage=False))
    more = {"budget": {"tokens": 200}}
    path = suite_of(tmp_path / "s.yaml", policy, ["adaptive_consistency"], **more)
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    assert "budget.tokens cannot be held" in done.stderr


def test_a_strategy_that_never_said_it_goes_on_from_tokens_ends_the_run(background, tmp_path, cli):
    own = tmp_path / "own.py"
    own.write_text(
        "from dataclasses import dataclass\n"
        "from tts_bench import Solution, Strategy\n\n"
        "@dataclass(frozen=True)\n"
        "class Own(Strategy):\n"
        "    async def solve(self, problem, session):\n"
        "        drawn = await session.sample(1)\n"
        "        return Solution(tuple(await session.extend(drawn, inject='Wait')), 0)\n"
    )
    policy = background(ChatStandIn())
    path = suite_of(tmp_path / "s.yaml", policy, [{"strategy": f"{own}:Own"}])
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    assert f"error: {own}:Own: it goes on from the exact tokens of a text" in done.stderr


def test_a_key_that_expires_stops_the_run_and_the_same_command_goes_on(
    background, tmp_path, cli, monkeypatch
):
    monkeypatch.setenv("THE_KEY", "open-sesame-17")

    def expiring(number, answer):
        return refusal(401, "The key has expired") if number > 9 else None

    policy = background(ChatStandIn("ollama", fault=expiring, key="open-sesame-17"))
    engine = {"api_key_env": "THE_KEY"}
    path = suite_of(tmp_path / "s.yaml", policy, [ALL[2], "token_budget"], engine=engine)
    command = ("run", path, "-o", tmp_path, "--display", "none", "--concurrency", "1")
    stopped = cli(*command)
    assert stopped.returncode == 2
    assert "the key in the environment variable THE_KEY is refused (401: The key has" in (
        stopped.stderr
    )
    policy.fault = None
    before = policy.served
    done = cli(*command)
    assert done.returncode == 0, done.stderr
    attempts = list(resolve_run(tmp_path / "s").attempts())
    assert len(attempts) == 6
    assert all(one.error is None for one in attempts)
    assert policy.served - before < 3 * (4 + 2) + 3  # what was drawn was not drawn again
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in files if b"open-sesame" in file.read_bytes()]


def test_a_key_that_the_endpoint_says_again_is_not_shown(background, tmp_path, cli, monkeypatch):
    monkeypatch.setenv("MY_OWN", "open-sesame-17")
    policy = background(
        ChatStandIn(fault=lambda *_: refusal(403, "open-sesame-17 may not ask model small-1"))
    )
    path = suite_of(tmp_path / "s.yaml", policy, ["greedy"], engine={"api_key_env": "MY_OWN"})
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 2
    assert "the key in the environment variable MY_OWN is refused (403: " in done.stderr
    assert "open-sesame" not in done.stdout + done.stderr


def test_seeds_that_are_not_kept_are_said_and_the_run_is_replayed_all_the_same(
    background, tmp_path, cli
):
    policy = background(ChatStandIn("ollama", seeds=False))
    path = suite_of(tmp_path / "s.yaml", policy, [ALL[2]])
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    run = resolve_run(tmp_path / "s")
    assert run.read_manifest().engine.notes == ("the same seed gave two texts",)
    assert "the same seed gave two texts" in (run.folder / "table.md").read_text()
    before = rows(run)
    resolve_run(tmp_path / "s").attempts_path.unlink()
    again = cli("run", path, "-o", tmp_path, "--display", "none", "--replay")
    assert again.returncode == 0, again.stderr
    assert rows(resolve_run(tmp_path / "s")) == before


def test_the_dry_run_contacts_nobody(tmp_path, cli):
    server = ChatStandIn(port=9)
    path = suite_of(tmp_path / "s.yaml", server, ALL[:1], engine={"shape": SHAPE})
    done = cli("run", path, "-o", tmp_path, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "policy: http://127.0.0.1:9" in done.stdout


def test_judges_of_labels_and_of_verify_are_counted_by_their_endpoint(background, tmp_path, cli):
    policy = background(ChatStandIn("openrouter"))
    path = suite_of(tmp_path / "s.yaml", policy, [ALL[2]])
    assert cli("run", path, "-o", tmp_path, "--display", "none").returncode == 0
    run = resolve_run(tmp_path / "s").folder
    for usage, said in ((True, "60 completion tokens"), (False, "unknown completion tokens")):
        critic = background(
            ChatStandIn(reply=lambda _, seed: f"{seed} First wrong step: none", usage=usage)
        )
        asked = suite_of(tmp_path / "judge.yaml", critic, ["greedy"])
        labels = tmp_path / f"labels{usage}.jsonl"
        store = ("--output-path", tmp_path / f"store{usage}")
        done = cli("label", "judge", asked, "--solutions", run, "--output", labels, *store)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
        verifier = tmp_path / "verifier.yaml"
        grader = background(ChatStandIn(reply=graded, usage=usage, model=f"grader-{usage}"))
        verifier.write_text(yaml.safe_dump({"verifier": judge(grader)}))
        done = cli("verify", verifier, run, "-o", tmp_path / f"v{usage}")
        assert done.returncode == 0, done.stderr
        assert ("– written" in done.stdout) is not usage


@pytest.mark.parametrize("method", ["mc", "omega"])
def test_labels_by_rollouts_are_refused_before_anything_is_asked(tmp_path, cli, method):
    path = suite_of(tmp_path / "s.yaml", ChatStandIn(port=9), ["greedy"])
    solutions = tmp_path / "solutions.jsonl"
    solutions.write_text(json.dumps({"problem": "1 + 1?", "solution": "Two.\n\n2", "answer": "2"}))
    done = cli("label", method, path, "--solutions", solutions, "--output", tmp_path / "l.jsonl")
    assert done.returncode == 2
    assert "`label judge` needs none" in done.stderr


def billed(usages: list[dict]) -> float:
    """Dollars as the provider would bill them, at 2 in, 0.5 cached and 10 out a million."""
    cached = sum(one["prompt_tokens_details"]["cached_tokens"] for one in usages)
    read = sum(one["prompt_tokens"] for one in usages)
    written = sum(one["completion_tokens"] for one in usages)
    return (2 * (read - cached) + 0.5 * cached + 10 * written) / 1e6


def test_dollars_are_what_the_endpoints_usage_comes_to(background, tmp_path, cli):
    usages: list[dict] = []

    def note(number: int, answer: dict) -> None:
        usages.append(answer["usage"])

    server = background(ChatStandIn("openrouter", thought="hm", fault=note))
    price = {"input": 2, "cached_input": 0.5, "output": 10}
    strategies = [{"strategy": "self_consistency", "n": [1, 4]}]
    path = suite_of(tmp_path / "s.yaml", server, strategies, engine={"price": price})
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    summary = json.loads((resolve_run(tmp_path / "s").folder / "summary.json").read_text())
    by_n = {point["n"]: point["dollars"] for point in summary["points"]}
    draws = usages[-3 * 4 :]  # what came before was drawn to try the endpoint
    assert by_n[4] == pytest.approx(billed(draws) / 3)
    assert by_n[1] == pytest.approx(
        billed([one | {"prompt_tokens_details": NONE} for one in draws]) / 12
    )


def test_an_endpoint_without_usage_has_no_dollars(background, tmp_path, cli):
    server = background(ChatStandIn(usage=False))
    price = {"input": 2, "output": 10}
    path = suite_of(tmp_path / "s.yaml", server, ["greedy"], engine={"price": price})
    done = cli("run", path, "-o", tmp_path, "--display", "none")
    assert done.returncode == 0, done.stderr
    folder = resolve_run(tmp_path / "s").folder
    assert "dollars" not in json.loads((folder / "summary.json").read_text())["points"][0]
    assert "tokens, or FLOPs that hours are shared by, are not known" in " ".join(
        done.stdout.split()
    )
