"""Reward models on vLLM's pooling runner, beside the same on transformers and beside a policy."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from reward_models import candidate, make, score, score_rounds

from tts_bench.engine.base import Request
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.types import Problem, Sampling
from tts_bench.verifier.base import Scoring, Verifier
from tts_bench.verifier.orm import OutcomeRewardModel
from tts_bench.verifier.prm import ProcessRewardModel

pytestmark = pytest.mark.vllm

BEGIN = "1 plus 2 equals 3.\n\n3 plus 4 equals 7.\n\n"
FIRST = [f"{BEGIN}So 7", "1 plus 2 equals 4.\n\n", BEGIN, "x"]
LATER = [f"{BEGIN}7 plus 8 equals 15.\n\n", f"{BEGIN}So 7\n\nand 8", *FIRST]
PROBLEM = "Add 1, 2, 4 and 8."
SAMPLING = Sampling(max_tokens=48)


def on_vllm(folder: Path, cls: Any = ProcessRewardModel, **settings: Any) -> Any:
    return cls(str(folder), backend="vllm", kv_cache_gb=0.125, **settings)


def all_scores(verifier: Verifier) -> list[Scoring]:
    rounds = score_rounds(verifier, [[(PROBLEM, FIRST)], [(PROBLEM, LATER), ("Why?", FIRST)]])
    return [scoring for round_ in rounds for scorings in round_ for scoring in scorings]


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["trl", "qwen2.5-math-prm", "math-shepherd", "rlhflow", "orm", "qwen2.5-math-rm"]
)
def test_scores_are_those_of_transformers_and_prefixes_are_read_from_the_cache(
    kind: str, tmp_path: Path
):
    folder = make(kind, tmp_path / kind)
    cls = OutcomeRewardModel if kind in ("orm", "qwen2.5-math-rm") else ProcessRewardModel
    named = {"format": kind} if kind in ("math-shepherd", "rlhflow") else {}
    expected = all_scores(cls(str(folder), device="cpu", threads=1, **named))
    found = all_scores(on_vllm(folder, cls, **named))
    for one, other in zip(found, expected, strict=True):
        assert one.score.value == pytest.approx(other.score.value, abs=1e-5)
        assert one.score.steps == pytest.approx(other.score.steps, abs=1e-5)
        assert one.calls[0].prompt_ids == other.calls[0].prompt_ids
    cached = [scoring.calls[0].cached_prompt_tokens for scoring in found]
    assert cached[0] == 0
    assert cached[4] >= 32  # a block of the cache on a CPU


def test_a_value_head_is_refused_before_anything_is_loaded(tmp_path: Path):
    folder = make("skywork-o1-open-prm", tmp_path / "skywork")
    with pytest.raises(ModelError, match="set backend: transformers"):
        score(on_vllm(folder), PROBLEM, FIRST)


def test_a_text_that_is_too_long_is_an_error(tmp_path: Path):
    folder = make("trl", tmp_path / "trl")
    with pytest.raises(VerifierError, match="reads 64"):
        score(on_vllm(folder, max_model_len=64), PROBLEM, ["1 " * 100])


@pytest.mark.parametrize("first", ["policy", "verifier"])
def test_policy_and_verifier_share_a_process_and_close_in_either_order(
    first: str, tiny_model_dir: Path, tmp_path: Path
):
    folder = make("trl", tmp_path / "trl")
    alone = score(on_vllm(folder), PROBLEM, FIRST)

    async def main() -> None:
        policy = VLLMEngine(model=str(tiny_model_dir), kv_cache_gb=0.125)
        verifier = on_vllm(folder)
        await policy.start()
        prompt = policy.tokenizer.encode("one plus two equals")
        requests = [Request(prompt, SAMPLING, seed) for seed in range(32)]
        drawn = await policy.generate_all(requests)
        await verifier.start(policy)
        candidates = [candidate(text, i) for i, text in enumerate(FIRST)]
        for _ in range(3):  # both at work at once, from two threads
            again, *scored = await asyncio.gather(
                policy.generate_all(requests),
                *(verifier.score(Problem(PROBLEM, PROBLEM), [one]) for one in candidates),
            )
            assert [one.token_ids for one in again] == [one.token_ids for one in drawn]
            assert [one[0].score for one in scored] == [one.score for one in alone]
        if first == "policy":
            await policy.close()
            (scoring,) = await verifier.score(Problem(PROBLEM, PROBLEM), candidates[:1])
            assert scoring.score == alone[0].score
            await verifier.close()
        else:
            await verifier.close()
            again = await policy.generate_all(requests)
            assert [one.token_ids for one in again] == [one.token_ids for one in drawn]
            await policy.close()
        with pytest.raises(EngineError):
            await policy.generate(requests[0])

    asyncio.run(main())


def test_an_engine_starts_again_after_both_were_closed(tiny_model_dir: Path):
    async def main() -> int:
        policy = VLLMEngine(model=str(tiny_model_dir), kv_cache_gb=0.125)
        await policy.start()
        done = await policy.generate(Request(policy.tokenizer.encode("one"), SAMPLING, 0))
        await policy.close()
        return len(done.token_ids)

    assert asyncio.run(main()) > 0
