"""Reward models on vLLM's pooling runner, beside the same on transformers and beside a policy."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from reward_models import candidate, make, score

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
    """What it says of texts, once and again beside others; and that one too long is refused."""

    async def ask(problem: str, texts: list[str]) -> list[Scoring]:
        candidates = [candidate(text, i) for i, text in enumerate(texts)]
        return list(await verifier.score(Problem(problem, problem), candidates))

    async def main() -> list[Scoring]:
        await verifier.start(None)  # type: ignore[arg-type]
        try:
            first = await ask(PROBLEM, FIRST)
            later = await asyncio.gather(ask(PROBLEM, LATER), ask("Why?", FIRST))
            with pytest.raises(VerifierError, match="reads 512"):
                await ask(PROBLEM, ["1 " * 600])
            return [*first, *later[0], *later[1]]
        finally:
            await verifier.close()

    return asyncio.run(main())


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


@pytest.mark.usefixtures("no_vllm_open")
def test_policy_and_verifier_share_a_process_and_close_in_either_order(
    tiny_model_dir: Path, tmp_path: Path
):
    """The second round shows as well that engines start again after all were closed."""
    folder = make("trl", tmp_path / "trl")
    candidates = [candidate(text, i) for i, text in enumerate(FIRST)]
    problem = Problem(PROBLEM, PROBLEM)

    async def at_work(policy: VLLMEngine, verifier: Verifier, rounds: int) -> tuple[Any, Any]:
        """What both say, asked at once, from two threads: each time the same."""
        prompt = policy.tokenizer.encode("one plus two equals")
        requests = [Request(prompt, SAMPLING, seed) for seed in range(32)]
        said = []
        for _ in range(rounds):
            drawn, *scored = await asyncio.gather(
                policy.generate_all(requests),
                *(verifier.score(problem, [one]) for one in candidates),
            )
            said.append(([one.token_ids for one in drawn], [one.score for (one,) in scored]))
        assert all(one == said[0] for one in said)
        return said[0]

    async def main() -> None:
        policy = VLLMEngine(model=str(tiny_model_dir), kv_cache_gb=0.125)
        verifier = on_vllm(folder)
        await policy.start()
        prompt = policy.tokenizer.encode("one plus two equals")
        requests = [Request(prompt, SAMPLING, seed) for seed in range(32)]
        alone = [one.token_ids for one in await policy.generate_all(requests)]
        await verifier.start(policy)
        drawn, scores = await at_work(policy, verifier, 3)
        assert drawn == alone
        await policy.close()
        with pytest.raises(EngineError):
            await policy.generate(requests[0])
        assert [one.score for one in await verifier.score(problem, candidates)] == scores
        await verifier.close()

        await verifier.start(policy)
        assert [one.score for one in await verifier.score(problem, candidates)] == scores
        await policy.start()
        assert await at_work(policy, verifier, 1) == (drawn, scores)
        await verifier.close()
        assert [one.token_ids for one in await policy.generate_all(requests)] == drawn
        await policy.close()

    asyncio.run(main())
