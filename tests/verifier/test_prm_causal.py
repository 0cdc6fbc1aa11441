from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import transformers
from asked_engines import ModelOnPaper, decided, noting
from counted_verifier import candidate, policy
from shared_vllm import Lent
from stand_in_server import StandIn, listening
from transformers_runs import engine as transformers_engine

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Call, Meter
from tts_bench.engine.base import Engine
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.engine.weights import local_path
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.types import Candidate, Problem
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.cached import pack, unpack
from tts_bench.verifier.formats import Format
from tts_bench.verifier.prm_causal import CausalPRMVerifier

PROBLEM = Problem("p", "1 plus 2")
FORM = Format("pieces", "tokens", prompt="{problem}\n")
SHAPE = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocab=512)
VLLM = pytest.param("vllm", marks=pytest.mark.vllm)


def paper(folder: Path, answer: Any = None) -> tuple[ModelOnPaper, Any]:
    """An engine that notes what it is asked and answers (wrong, right) = (0.2, 0.6) or so."""
    scripted, notes = noting(answer or (lambda *_: decided(0.2, 0.6)))
    return ModelOnPaper(scripted.script, model=str(folder)), notes


def run(verifier: CausalPRMVerifier, work: Any) -> Any:
    async def go() -> Any:
        await verifier.start(policy())
        try:
            return await work()
        finally:
            await verifier.close()

    return asyncio.run(asyncio.wait_for(go(), 300))


def scored(verifier: CausalPRMVerifier, candidates: Sequence[Candidate]) -> list[Scoring]:
    made: list[Scoring] = run(verifier, lambda: verifier.score(PROBLEM, candidates))
    return made


def test_a_step_is_right_against_wrong_behind_its_prefix(tiny_model_dir: Path):
    odds = iter([(0.2, 0.6), (0.45, 0.05)])
    engine, notes = paper(tiny_model_dir, lambda *_: decided(*next(odds)))
    verifier = CausalPRMVerifier(engine=engine, format=FORM, aggregate="min")
    [made] = scored(verifier, [candidate("one\n\ntwo")])
    assert made.score.steps == pytest.approx((0.75, 0.1))
    assert made.score.value == pytest.approx(0.1)
    first, second = (request.prompt_ids for request in notes.requests)
    assert second[: len(first)] == first
    assert [request.sampling.max_tokens for request in notes.requests] == [1, 1]


def test_a_search_asks_once_for_each_new_step(tiny_model_dir: Path):
    engine, notes = paper(tiny_model_dir)
    verifier = CausalPRMVerifier(engine=engine, format=FORM)

    async def beams() -> list[list[Scoring]]:
        texts, levels = [""], []
        for level in range(4):
            texts = [f"{text}step {level}{child}\n\n" for text in texts[:2] for child in "ab"]
            levels.append(await verifier.score(PROBLEM, [candidate(text) for text in texts]))
        return levels

    levels = run(verifier, beams)
    assert len(notes.requests) == sum(map(len, levels)) == 2 + 4 + 4 + 4
    assert len({request.prompt_ids for request in notes.requests}) == len(notes.requests)
    assert [len(made.score.steps) for made in levels[-1]] == [4] * 4
    # And what an attempt pays is each of these steps once: its whole prompt logically, its own
    # tokens ideally.
    meter = Meter(SHAPE)
    for level in levels:
        meter.charge([call for made in level for call in made.calls])
    prompts = [request.prompt_ids for request in notes.requests]
    assert meter.usage.requests == meter.usage.completion_tokens == 14
    assert meter.usage.prompt_tokens_logical == sum(map(len, prompts))
    prefixes = {prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)}
    assert meter.usage.prompt_tokens_ideal == len(prefixes)


def test_what_a_score_costs_does_not_depend_on_what_was_asked_before(tiny_model_dir: Path):
    def calls(*texts: str) -> tuple[Any, ...]:
        verifier = CausalPRMVerifier(engine=paper(tiny_model_dir)[0], format=FORM)

        async def one_by_one() -> list[Scoring]:
            return [(await verifier.score(PROBLEM, [candidate(text)]))[0] for text in texts]

        return run(verifier, one_by_one)[-1].calls

    assert calls("a\n\nb\n\nc") == calls("a\n\n", "a\n\nb\n\n", "a\n\nb\n\nc")


def test_a_call_that_is_shared_is_charged_once_and_others_are_not_held_for_it():
    meter = Meter(SHAPE)
    meter.charge([Call((1, 2), 1, shared=True), Call((1, 2), 1), Call((1, 2), 1)])
    meter.charge([Call((1, 2), 1, shared=True), Call((1, 2, 3), 1, shared=True)])
    assert meter.usage.requests == 4
    assert meter.usage.prompt_tokens_logical == 2 * 3 + 3


def test_scorings_that_run_side_by_side_share_their_prefixes(tiny_model_dir: Path):
    engine, notes = paper(tiny_model_dir)
    verifier = CausalPRMVerifier(engine=engine, format=FORM)

    async def both() -> list[list[Scoring]]:
        some = [candidate("a\n\nb"), candidate("a\n\nc"), candidate("a\n\nb")]
        return await asyncio.gather(*(verifier.score(PROBLEM, some) for _ in range(3)))

    one, other, third = run(verifier, both)
    assert one == other == third
    assert len(notes.requests) == 3


def test_a_failure_is_not_remembered(tiny_model_dir: Path):
    broken = [True]

    def answer(prompt: str, request: Any) -> Any:
        if broken[0]:
            raise EngineError("out of order")
        return decided(0.5, 0.5)

    verifier = CausalPRMVerifier(engine=paper(tiny_model_dir, answer)[0], format=FORM)

    async def twice() -> list[Scoring]:
        with pytest.raises(VerifierError, match="out of order"):
            await verifier.score(PROBLEM, [candidate("a")])
        broken[0] = False
        return await verifier.score(PROBLEM, [candidate("a")])

    assert run(verifier, twice)[0].score.value == 0.5


def test_a_solution_that_is_too_long_fails_before_anything_is_asked(tiny_model_dir: Path):
    engine, notes = paper(tiny_model_dir)
    verifier = CausalPRMVerifier(engine=replace(engine, max_model_len=30), format=FORM)
    with pytest.raises(VerifierError, match="holds 30"):
        scored(verifier, [candidate("short"), candidate("very long " * 20)])
    assert not notes.requests


def test_an_empty_text_scores_0_as_with_any_process_reward_model(tiny_model_dir: Path):
    engine, notes = paper(tiny_model_dir)
    made = scored(CausalPRMVerifier(engine=engine, format=FORM), [candidate(" \n\n")])
    assert made == [Scoring(made[0].score)]
    assert (made[0].score.value, made[0].score.steps) == (0.0, ())
    assert not notes.requests


def test_without_an_engine_or_a_format_of_this_kind_it_does_not_start(tiny_model_dir: Path):
    engine, _ = paper(tiny_model_dir)
    wrong = {
        "needs an `engine` of its own": CausalPRMVerifier(format=FORM),
        "not known as a process reward model": CausalPRMVerifier(engine=engine),
        "use verifier 'prm'": CausalPRMVerifier(engine=engine, format="qwen2.5-math-prm"),
        "no token": CausalPRMVerifier(engine=engine, format=replace(FORM, right_token="yes")),
    }
    for message, verifier in wrong.items():
        with pytest.raises(ModelError, match=message):
            scored(verifier, [])


def test_the_format_itself_is_part_of_what_decides_a_score(tiny_model_dir: Path):
    async def identity(form: Format) -> str:
        verifier = CausalPRMVerifier(engine=paper(tiny_model_dir)[0], format=form)
        info = await verifier.start(policy())
        await verifier.close()
        return info.identity

    forms = [FORM, replace(FORM, step="Then {step}"), replace(FORM, wrong_token="!")]
    assert len({asyncio.run(identity(form)) for form in forms}) == 3


def test_prompts_that_go_on_from_each_other_are_stored_in_parts(tiny_model_dir: Path):
    engine, _ = paper(tiny_model_dir)
    text = "\n\n".join(f"step {i} of a long solution" for i in range(20))
    [made] = scored(CausalPRMVerifier(engine=engine, format=FORM), [candidate(text)])
    blob = pack(made)
    assert unpack(blob) == made
    [short] = scored(CausalPRMVerifier(engine=engine, format=FORM), [candidate(text[:20])])
    ids = sum(len(call.prompt_ids) for call in made.calls)
    assert len(blob) < ids  # 20 whole prompts; without sharing about twice as many bytes
    assert unpack(pack(short)) == short


@pytest.mark.parametrize("name", ["transformers", VLLM])
@pytest.mark.parametrize("form", [FORM, replace(FORM, chat=True), "rlhflow"])
def test_every_step_is_what_one_plain_forward_pass_says(
    name: str, form: Any, tiny_model_dir: Path, request: pytest.FixtureRequest
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    engine: Engine = transformers_engine(tiny_model_dir)
    if name == "vllm":
        engine = Lent(request.getfixturevalue("vllm_engine"))
    verifier = CausalPRMVerifier(engine=engine, format=form)
    texts = ["1 plus 2 equals 3.\n\nSo 3.", "one\n\ntwo\n\n", "1 plus 2 equals 3.\n\nSo 4.\n\nNo."]
    made = scored(verifier, [candidate(text) for text in texts])
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    tokenizer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(
        tiny_model_dir
    )
    plus, minus = (tokenizer(sign)["input_ids"][-1] for sign in "+-")
    for scoring in made:
        whole = torch.tensor([scoring.calls[-1].prompt_ids])
        with torch.no_grad():
            logits = model(whole).logits[0]
        ends = [len(call.prompt_ids) - 1 for call in scoring.calls]
        expected = [float((logits[at, plus] - logits[at, minus]).sigmoid()) for at in ends]
        assert scoring.score.steps == pytest.approx(expected, abs=1e-4)
        assert scoring.score.value == scoring.score.steps[-1]


SERVED = "tts_bench/tiny/policy"
ON_SERVERS = ["1 plus 2 equals 3.\n\nSo 3", "1 plus 2 equals 4.\n\n", "x", ""]


def on_server(url: str, **settings: Any) -> CausalPRMVerifier:
    return CausalPRMVerifier(
        engine=ServerEngine(base_url=url, **{"model": SERVED, **settings}), format=FORM
    )


def test_on_a_server_the_tokenizer_is_that_which_the_engine_names():
    async def go(**settings: Any) -> list[Scoring]:
        words = transformers.AutoTokenizer.from_pretrained(local_path(SERVED))
        server = StandIn(HuggingFaceTokenizer(words), model=settings.get("model", SERVED))
        async with listening(server) as (url,):
            verifier = on_server(url, **settings)
            await verifier.start(policy())
            try:
                return await verifier.score(PROBLEM, list(map(candidate, ON_SERVERS)))
            finally:
                await verifier.close()

    named = asyncio.run(go(model="verifier-1", tokenizer_model=SERVED))
    assert named == asyncio.run(go())
    assert [len(one.score.steps) for one in named] == [2, 1, 1, 0]


@pytest.mark.slow
@pytest.mark.vllm
def test_a_vllm_server_gives_the_scores_of_vllm_in_this_process(vllm_servers: Any):
    here = VLLMEngine(model=SERVED, kv_cache_gb=0.125)
    texts = list(map(candidate, ON_SERVERS))
    expected = scored(CausalPRMVerifier(engine=here, format=FORM), texts)
    found = scored(on_server(vllm_servers[0].url), texts)
    assert [one.score for one in found] == [one.score for one in expected]
    assert len({one.score.value for one in found}) == 4
