"""Reward models on real vLLM servers, beside the same in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from reward_models import candidate, make, score, steps, values
from server_process import serving
from vllm_servers import POOLING, VLLMServer

from tts_bench.errors import ModelError
from tts_bench.types import Problem, Score
from tts_bench.verifier.orm import OutcomeRewardModel
from tts_bench.verifier.prm import ProcessRewardModel

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

BEGIN = "1 plus 2 equals 3.\n\n3 plus 4 equals 7.\n\n"
TEXTS = [
    f"{BEGIN}So 7",
    "1 plus 2 equals 4.\n\n",
    BEGIN,
    "x",
    "",
    "7 " * 40,
    f"{BEGIN}So 7\n\nand 8",
]
PROBLEM = "Add 1, 2, 4 and 8."
EACH = ("--pooler-config", json.dumps({"task": "token_classify", "tok_pooling_type": "ALL"}))
TWO_TOKENS = {
    "architectures": ["MistralForSequenceClassification"],
    "classifier_from_token": ["-", "+"],
    "method": "from_2_way_softmax",
}
KINDS: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "trl": (ProcessRewardModel, {}, ()),
    "qwen2.5-math-prm": (ProcessRewardModel, {}, EACH),
    "math-shepherd": (
        ProcessRewardModel,
        {"format": "math-shepherd"},
        ("--hf-overrides", json.dumps(TWO_TOKENS), *EACH),
    ),
    "orm": (OutcomeRewardModel, {}, ()),
    "qwen2.5-math-rm": (OutcomeRewardModel, {"activation": "none"}, ()),
}
"""Class, settings, and what its server is started with beside `--runner pooling`."""


@pytest.mark.parametrize("kind", KINDS)
def test_vllm_servers_give_the_scores_of_vllm_in_this_process(kind: str, tmp_path: Path):
    cls, settings, options = KINDS[kind]
    folder = str(make(kind, tmp_path / kind))
    here = score(cls(folder, backend="vllm", kv_cache_gb=0.125, **settings), PROBLEM, TEXTS)
    with serving(VLLMServer(folder, (*POOLING, *options))) as urls:
        reward = cls(folder, backend="server", base_url=tuple(urls), **settings)
        there = score(reward, PROBLEM, TEXTS)
    assert [one.score for one in there] == [one.score for one in here]
    assert len(set(values(there))) > 4
    assert [one.calls[0].prompt_ids for one in there if one.calls] == [
        one.calls[0].prompt_ids for one in here if one.calls
    ]
    if cls is ProcessRewardModel:
        assert max(map(len, steps(there))) == 4


def test_a_vllm_server_that_is_killed_costs_no_score(tmp_path: Path):
    folder = str(make("trl", tmp_path / "trl"))
    texts = [f"{BEGIN}So {n}" for n in range(100)]
    servers = VLLMServer(folder, POOLING), VLLMServer(folder, POOLING)

    async def scored(urls: list[str], dies: VLLMServer | None = None) -> list[Score]:
        reward = ProcessRewardModel(folder, backend="server", base_url=tuple(urls), max_in_flight=8)
        await reward.start(None)  # type: ignore[arg-type]
        work = [
            asyncio.create_task(reward.score(Problem("p", PROBLEM), [candidate(text)]))
            for text in texts
        ]
        if dies is not None:
            await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            dies.kill()
        found = await asyncio.gather(*work)
        await reward.close()
        return [scoring.score for [scoring] in found]

    with serving(*servers) as urls:
        spoilt = asyncio.run(scored(urls, servers[0]))
        assert spoilt == asyncio.run(scored(urls[1:]))
    assert len(set(spoilt)) > 50


def test_a_vllm_server_that_tells_of_marked_tokens_only_is_refused(tmp_path: Path):
    folder = str(make("qwen2.5-math-prm", tmp_path / "m"))
    with (
        serving(VLLMServer(folder, POOLING)) as (url,),
        pytest.raises(
            ModelError, match=r"numbers for \d+ tokens.* is told of with --runner pooling --pooler"
        ) as caught,
    ):
        score(ProcessRewardModel(folder, backend="server", base_url=url), PROBLEM, TEXTS)
    assert "\n" not in str(caught.value)


def test_a_vllm_server_that_generates_is_refused(vllm_servers: tuple[VLLMServer, VLLMServer]):
    server = vllm_servers[0]
    reward = ProcessRewardModel(
        "tts_bench/tiny/prm", backend="server", base_url=server.url, served_model=server.model
    )
    with pytest.raises(ModelError, match="to generate, not as a reward model: start it with"):
        score(reward, PROBLEM, TEXTS)
