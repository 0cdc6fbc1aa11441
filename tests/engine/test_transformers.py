from __future__ import annotations

import asyncio
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from transformers_runs import complete, engine, run

from tts_bench.engine.base import Completion, Request
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.errors import EngineError
from tts_bench.types import Sampling

PROMPTS = ["3 plus 4", "", "the sum of 12 and 29", "é", "1 plus 1 equals 2.\n\n" * 8, "x" * 40]


def prompt(folder: Path, text: str) -> tuple[int, ...]:
    from transformers import AutoTokenizer

    messages = [{"role": "user", "content": text}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return tuple(
        tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    )


def mixed_requests(folder: Path) -> list[Request]:
    samplings = [
        Sampling(30),
        Sampling(17, temperature=0.7, top_p=0.9),
        Sampling(25, temperature=0),
        Sampling(9, top_k=20),
    ]
    return [
        Request(prompt(folder, text), samplings[i % len(samplings)], seed=100 + i)
        for i, text in enumerate([*PROMPTS, PROMPTS[0], PROMPTS[4]])
    ]


def same_draws(some: list[Completion], others: list[Completion]) -> bool:
    assert [c.logprob for c in some] == pytest.approx([c.logprob for c in others], abs=1e-4)
    keep = [replace(c, logprob=0.0, cached_prompt_tokens=0) for c in some]
    return keep == [replace(c, logprob=0.0, cached_prompt_tokens=0) for c in others]


def test_greedy_equals_generate_of_transformers(tiny_model_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    prompts = [prompt(tiny_model_dir, text) for text in PROMPTS]
    ours = complete(tiny_model_dir, [Request(p, Sampling(60, temperature=0), 0) for p in prompts])
    for ids, completion in zip(prompts, ours, strict=True):
        theirs = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=60)
        assert list(completion.token_ids) == theirs[0, len(ids) :].tolist()


@pytest.mark.parametrize("words", [(), (" plus", "one")])
def test_greedy_text_with_penalties_and_bad_words_is_that_of_transformers(
    tiny_model_dir: Path, words: tuple[str, ...]
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    spelt: Any = AutoTokenizer.from_pretrained(tiny_model_dir)
    sampling = Sampling(40, temperature=0, repetition_penalty=1.3, bad_words=words)
    prompts = [prompt(tiny_model_dir, text) for text in PROMPTS]
    requests = [Request(p, sampling, 0) for p in prompts]
    plain = [Request(p, Sampling(40, temperature=0), 0) for p in prompts]
    ours = complete(tiny_model_dir, [*requests, *plain])
    forbidden = [
        spelt.encode(one, add_special_tokens=False)
        for word in words
        for one in (word.lstrip(), f" {word.lstrip()}")
    ]
    more: dict[str, Any] = {"bad_words_ids": forbidden} if words else {}
    for ids, completion in zip(prompts, ours, strict=False):
        theirs = model.generate(
            torch.tensor([ids]),
            do_sample=False,
            max_new_tokens=40,
            repetition_penalty=1.3,
            **more,
        )
        assert list(completion.token_ids) == theirs[0, len(ids) :].tolist()
    assert [one.token_ids for one in ours[:6]] != [one.token_ids for one in ours[6:]]


def test_logprob_is_that_of_the_unmodified_distribution(tiny_model_dir: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    requests = mixed_requests(tiny_model_dir)
    for request, completion in zip(requests, complete(tiny_model_dir, requests), strict=True):
        ids = torch.tensor([request.prompt_ids + completion.token_ids])
        with torch.no_grad():
            logprobs = model(ids).logits[0].double().log_softmax(-1)
        at = range(len(request.prompt_ids) - 1, ids.shape[1] - 1)
        forced = sum(float(logprobs[i, ids[0, i + 1]]) for i in at)
        assert completion.logprob == pytest.approx(forced, abs=1e-3)


def test_first_tokens_follow_the_models_distribution(tiny_model_dir: Path) -> None:
    import numpy as np
    import torch
    from scipy import stats
    from transformers import AutoModelForCausalLM

    ids, count = prompt(tiny_model_dir, "1 plus 2"), 3000
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    with torch.no_grad():
        share = model(torch.tensor([ids])).logits[0, -1].double().softmax(-1).numpy()
    requests = [Request(ids, Sampling(1), seed) for seed in range(count)]
    done = complete(tiny_model_dir, requests, max_batch_size=256)
    seen = np.bincount([c.token_ids[0] for c in done], minlength=len(share)).astype(float)
    common = share * count > 10
    observed = [*seen[common], seen[~common].sum()]
    expected = [*(share[common] * count), share[~common].sum() * count]
    assert stats.chisquare(observed, expected).pvalue > 1e-3


def test_the_end_of_a_turn_stops_without_a_stop_string(tiny_model_dir: Path) -> None:
    ids = prompt(tiny_model_dir, "1 plus 2")
    requests = [Request(ids, Sampling(400, temperature=1.5), seed) for seed in range(8)]
    ended = [c for c in complete(tiny_model_dir, requests) if c.finish_reason == "stop"]
    assert ended
    for completion in ended:
        assert completion.token_ids[-1] == 2
        assert 2 not in completion.token_ids[:-1]
        assert completion.stop is None
        assert "<|end|>" not in completion.text


def test_more_requests_than_rows_are_all_served(endless: Path) -> None:
    requests = [
        Request(prompt(endless, str(i % 5)), Sampling(1 + 7 * i % 30), seed=i) for i in range(40)
    ]
    few = complete(endless, requests, max_batch_size=4)
    assert [len(c.token_ids) for c in few] == [r.sampling.max_tokens for r in requests]
    assert same_draws(few, complete(endless, requests))


def test_draws_of_one_prompt_compute_it_once(endless: Path) -> None:
    ids = prompt(endless, "one prompt")
    requests = [Request(ids, Sampling(20), seed) for seed in range(12)]
    done = complete(endless, requests, max_batch_size=5)
    assert [c.cached_prompt_tokens for c in done[:1]] == [0]
    computed = sorted({c.cached_prompt_tokens for c in done})
    assert computed == [0, len(ids) - 1]
    # All twelve are cut at the same step, so each of the three rounds pays once.
    assert sum(c.cached_prompt_tokens == 0 for c in done) <= 4


def test_prompts_of_one_token_join_others(endless: Path) -> None:
    requests = [
        Request(ids, Sampling(8, temperature=0), 0)
        for ids in ((7,), (5, 6, 9, 4), (8,), (7,), (11, 12))
    ]

    async def alone(running: TransformersEngine) -> list[Completion]:
        return [await running.generate(request) for request in requests]

    assert same_draws(complete(endless, requests), run(endless, alone))


def test_what_the_engine_says_of_itself(tiny_model_dir: Path) -> None:
    import transformers

    async def main() -> None:
        running = engine(tiny_model_dir)
        info = await running.start()
        assert info.engine == f"transformers {transformers.__version__}"
        assert (info.dtype, info.max_model_len) == ("float32", 512)
        assert info.shape is not None
        assert info.revision.startswith("sha256:")
        assert running == engine(tiny_model_dir)
        assert asdict(running) == asdict(engine(tiny_model_dir))
        assert hash(running) == hash(engine(tiny_model_dir))
        text = "3 plus 4"
        assert running.tokenizer.encode_chat([{"role": "user", "content": text}], {}) == prompt(
            tiny_model_dir, text
        )
        assert len(running.tokenizer.encode(text)) < len(prompt(tiny_model_dir, text))
        with pytest.raises(EngineError, match="already"):
            await running.start()
        await running.close()

    asyncio.run(main())


@pytest.mark.parametrize("window", [6, 40])
def test_sliding_attention_equals_generate_of_transformers(
    tmp_path: Path, tiny_model_dir: Path, window: int
) -> None:
    import torch
    from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=384,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        sliding_window=window,
        max_position_embeddings=512,
        initializer_range=0.2,
        eos_token_id=2,
    )
    torch.manual_seed(0)
    model = MistralForCausalLM(config).eval()
    model.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(tmp_path)
    prompts = [prompt(tmp_path, text) for text in PROMPTS]
    requests = [Request(ids, Sampling(40, temperature=0), 0) for ids in prompts]
    for ids, completion in zip(prompts, complete(tmp_path, requests), strict=True):
        theirs = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=40)
        assert list(completion.token_ids) == theirs[0, len(ids) :].tolist()


@pytest.mark.slow
def test_a_real_model_answers_and_ends_its_turn(smollm2: Path) -> None:
    ids = prompt(smollm2, "What is 2 + 3?")
    done = complete(smollm2, [Request(ids, Sampling(40, temperature=0), seed) for seed in (0, 1)])
    assert [c.finish_reason for c in done] == ["stop", "stop"]
    assert "5" in done[0].text
    assert done[1].text == done[0].text
    assert done[1].cached_prompt_tokens == len(ids) - 1
