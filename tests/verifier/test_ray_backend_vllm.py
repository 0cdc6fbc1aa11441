"""Reward models in replicas on Ray: with light actors, and with vLLM beside it in the process."""

from __future__ import annotations

import asyncio
from typing import Any

import light_actor
import pytest
from ray_clusters import ENGINE, NO_RAY, RayNodes
from reward_models import candidate

from tts_bench.concurrency.upkeep import Upkeep
from tts_bench.errors import VerifierDied, VerifierError
from tts_bench.types import Problem
from tts_bench.verifier.backend import Outputs, Reading
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.prm import ProcessRewardModel

pytest.importorskip("ray", reason=NO_RAY)

PRM = "tts_bench/tiny/prm"
TEXTS = [f"1 plus {i} equals {1 + i}.\n\nSo {1 + i}.\n\n" for i in range(12)]
PROBLEM = Problem("p", "Add 1 and 2.")


def on_ray(nodes: RayNodes, **settings: Any) -> ProcessRewardModel:
    placed = {"address": nodes.address, "replicas": 2, "resources": {ENGINE: 1.0}}
    return ProcessRewardModel(PRM, backend="ray", kv_cache_gb=0.125, **placed, **settings)


def read(verifier: ProcessRewardModel, *positions: tuple[int, ...]) -> list[Any]:
    async def go() -> list[Any]:
        await verifier.start(None)  # type: ignore[arg-type]
        backend = verifier.__dict__["_state"].backend
        try:
            readings = [Reading((5, 6, 7, 8), one) for one in positions]
            calls = (backend.read([one]) for one in readings)
            return await asyncio.gather(*calls, return_exceptions=True)
        finally:
            await verifier.close()

    return asyncio.run(go())


def test_readings_are_answered_and_refused_one_by_one(ray_nodes, monkeypatch):
    light_actor.replace_actor(monkeypatch.setattr)
    one, bad, two = read(on_ray(ray_nodes), (0, 3), (light_actor.BAD,), (3,))
    assert one == [Outputs(((0.0,), (3.0,)))]
    assert two == [Outputs(((3.0,),))]
    assert (type(bad), str(bad)) == (VerifierError, "the text is empty")


def test_a_verifier_whose_replicas_are_all_lost_has_died(ray_nodes, monkeypatch):
    light_actor.replace_actor(monkeypatch.setattr)
    verifier = on_ray(ray_nodes)
    object.__setattr__(verifier, "upkeep", Upkeep(restarts=0))
    told: list[str] = []
    object.__setattr__(verifier, "say", told.append)
    [gone] = read(verifier, (light_actor.GONE,))
    assert type(gone) is VerifierDied
    assert str(gone).startswith("all replicas are lost (")
    assert any("the core is gone" in line for line in told)


@pytest.mark.parametrize("setting", [{"address": "auto"}, {"replicas": 2}, {"resources": {"a": 1}}])
def test_settings_of_ray_need_its_backend(setting):
    with pytest.raises(ValueError, match="needs backend: ray"):
        ProcessRewardModel(PRM, **setting)


def test_where_the_replicas_are_is_no_part_of_the_key():
    here = ProcessRewardModel(PRM, backend="ray")
    there = ProcessRewardModel(PRM, backend="ray", address="auto", replicas=3, resources={"a": 1})
    assert here.settings_key() == there.settings_key()
    assert "address" not in ProcessRewardModel(PRM).settings_key()


def scores(verifier: ProcessRewardModel) -> list[Scoring]:
    async def go() -> list[Scoring]:
        await verifier.start(None)  # type: ignore[arg-type]
        try:
            asked = [candidate(text, i) for i, text in enumerate(TEXTS)]
            return list(await verifier.score(PROBLEM, asked))
        finally:
            await verifier.close()

    return asyncio.run(go())


@pytest.mark.vllm
@pytest.mark.slow
def test_the_scores_are_those_of_vllm_in_the_process(ray_nodes):
    here = scores(ProcessRewardModel(PRM, backend="vllm", kv_cache_gb=0.125))
    there = scores(on_ray(ray_nodes))
    assert [one.score for one in there] == [one.score for one in here]
    assert len({one.score.value for one in there}) > 1
