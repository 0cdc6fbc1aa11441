"""The transformers engine draws by the same law as vLLM, whatever a sampling says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from tts_bench.engine.base import Engine, Request
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.types import Sampling

TINY = str(Path(__file__).resolve().parents[2] / "tts_bench" / "tiny" / "policy")
DRAWS = 4000
TEXT = "3 plus 4 is 7. 7 7 7 7"
ENDS = "7"
FIELDS: dict[str, dict[str, Any]] = {
    "min_p": {"min_p": 0.3},
    "repetition_penalty": {"repetition_penalty": 1.6},
    "together": {
        "min_p": 0.3,
        "presence_penalty": 2.0,
        "frequency_penalty": -1.5,
        "repetition_penalty": 1.6,
        "bad_words": ("7", "7 7"),
        "top_p": 0.95,
        "top_k": 30,
    },
}
pytestmark = [pytest.mark.vllm, pytest.mark.slow]


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[asyncio.Runner, list[Engine]]]:
    both = [
        TransformersEngine(model=TINY, device="cpu", threads=1),
        VLLMEngine(model=TINY, kv_cache_gb=0.125),
    ]
    with asyncio.Runner() as loop:
        for one in both:
            loop.run(one.start())
        yield loop, both
        for one in both:
            loop.run(one.close())


def seen(loop: asyncio.Runner, engine: Engine, name: str | None) -> Counter[tuple[int, ...]]:
    """How often each text of three tokens was drawn."""
    fields = {} if name is None else dict(FIELDS[name])
    if name == "together":
        fields["stop_token_ids"] = engine.tokenizer.encode(ENDS)[-1:]
    ids = engine.tokenizer.encode(TEXT)
    sampling = Sampling(3, temperature=1.7, **fields)
    asked = [Request(ids, sampling, seed) for seed in range(DRAWS)]
    return Counter(one.token_ids for one in loop.run(engine.generate_all(asked)))


def likelihood(one: Counter[tuple[int, ...]], other: Counter[tuple[int, ...]]) -> float:
    """That both were drawn by one law (chi-squared; what is seldom drawn is one kind)."""
    often = [text for text, count in (one + other).items() if count >= 20]
    table = [[counts[text] for text in often] for counts in (one, other)]
    for row in table:
        row.append(DRAWS - sum(row))
    columns = [column for column in zip(*table, strict=True) if sum(column)]
    if len(columns) == 1:
        return 1.0
    return float(stats.chi2_contingency(list(zip(*columns, strict=True))).pvalue)


@pytest.mark.parametrize("name", FIELDS)
def test_both_engines_draw_by_one_law_and_by_another_one_than_without_the_field(
    engines, name: str
) -> None:
    loop, (ours, theirs) = engines
    mine, other = seen(loop, ours, name), seen(loop, theirs, name)
    assert likelihood(mine, other) > 1e-4
    assert likelihood(mine, seen(loop, ours, None)) < 1e-6
