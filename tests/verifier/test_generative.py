from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from asked_engines import decided, noting
from counted_verifier import candidate, policy

from tts_bench.cost.flops import ModelShape
from tts_bench.cost.ledger import Meter
from tts_bench.engine.base import Completion, Engine
from tts_bench.engine.scripted import CharacterTokenizer, ScriptedEngine
from tts_bench.errors import EngineError, ModelError, VerifierError
from tts_bench.types import Candidate, Problem
from tts_bench.verifier.base import Scoring
from tts_bench.verifier.generative import GenerativeVerifier, verdicts

PROBLEM = Problem("p", "What is {1} + 1?")
SHAPE = ModelShape(layers=2, hidden=8, heads=2, kv_heads=1, head_dim=4, intermediate=16, vocab=32)
PLAIN = {"prompt": "{problem}|{steps}|", "decision": "#", "yes": "y", "no": "n"}


def scored(
    verifier: GenerativeVerifier, candidates: Sequence[Candidate], on: Engine | None = None
) -> list[Scoring]:
    async def go() -> list[Scoring]:
        await verifier.start(on or policy())
        try:
            return await verifier.score(PROBLEM, candidates)
        finally:
            await verifier.close()

    return asyncio.run(asyncio.wait_for(go(), 600))


def test_the_score_is_yes_against_no_behind_the_rationale():
    def answer(prompt, request):
        return decided(0.3, 0.1) if request.logprob_ids else "I think so."

    engine, notes = noting(answer)
    verifier = GenerativeVerifier(engine=engine, **PLAIN)
    [made] = scored(verifier, [candidate("one\n\ntwo")])
    assert made.score.value == pytest.approx(0.3 / (0.3 + 0.1), abs=1e-6)
    assert made.score.steps == ()
    thought, decision = notes.requests
    assert notes.prompts[0] == "What is {1} + 1?|Step 1: one\n\nStep 2: two|\n"
    assert notes.prompts[1] == notes.prompts[0] + "I think so." + "#"
    assert (thought.sampling.temperature, thought.sampling.max_tokens) == (0.6, 1024)
    assert decision.logprob_ids == (ord("y"), ord("n"))
    assert (decision.sampling.temperature, decision.sampling.max_tokens) == (0.0, 1)


def test_the_decision_temperature_flattens_it():
    engine, _ = noting(lambda _, request: decided(0.8, 0.2) if request.logprob_ids else "so")
    verifier = GenerativeVerifier(engine=engine, decision_temperature=2.0, **PLAIN)
    [made] = scored(verifier, [candidate()])
    # Odds 4 become their square root.
    assert made.score.value == pytest.approx(2 / 3, abs=1e-6)


def test_the_first_token_that_differs_decides_and_those_before_it_are_given():
    engine, notes = noting(lambda _, request: decided(0.5, 0.5) if request.logprob_ids else "so")
    words_alike = {**PLAIN, "yes": " it is correct", "no": " it is wrong"}
    scored(GenerativeVerifier(engine=engine, **words_alike), [candidate()])
    assert notes.prompts[1].endswith("so# it is ")
    assert notes.requests[1].logprob_ids == (ord("c"), ord("w"))


@pytest.mark.parametrize(("yes", "no"), [("yes", "yes"), ("y", "yn")])
def test_words_that_no_token_tells_apart_are_refused_at_the_start(yes, no):
    with pytest.raises(ModelError, match="begin with the same tokens"):
        scored(GenerativeVerifier(**{**PLAIN, "yes": yes, "no": no}), [])


def test_parallel_rationales_have_seeds_of_their_own_and_their_mean_is_the_score():
    def answer(prompt, request):
        if not request.logprob_ids:
            return f"r{request.seed % 1000}"
        return decided(*((0.9, 0.1) if prompt.endswith(first + "#") else (0.3, 0.7)))

    engine, notes = noting(answer)
    verifier = GenerativeVerifier(engine=engine, n=4, **PLAIN)
    first = ""
    scored(verifier, [candidate()])
    seeds = [one.seed for one in notes.requests if not one.logprob_ids]
    assert len(set(seeds)) == 4
    first = f"r{seeds[0] % 1000}"
    [made] = scored(verifier, [candidate()])
    assert made.score.value == pytest.approx((0.9 + 3 * 0.3) / 4, abs=1e-6)
    assert len(made.calls) == 8


def test_every_rationale_of_every_candidate_is_in_flight_at_once():
    waiting, most = 0, 0

    class Slow(ScriptedEngine):
        async def generate(self, request):
            nonlocal waiting, most
            waiting += 1
            most = max(most, waiting)
            await asyncio.sleep(0.01)
            waiting -= 1
            return decided(0.5, 0.5) if request.logprob_ids else await super().generate(request)

    engine = Slow(lambda prompt, request: "so")
    verifier = GenerativeVerifier(engine=engine, n=3, **PLAIN)
    scored(verifier, [candidate(f"text {i}") for i in range(5)])
    assert most == 15


def test_rounds_go_on_with_one_chain_and_the_end_of_a_turn_is_taken_back():
    end = 4  # a token without text, as a model's end of turn is

    def answer(prompt, request):
        if request.logprob_ids:
            return decided(0.6, 0.2)
        text = f"round {prompt.count('AGAIN')}."
        ids = (*map(ord, text), end)
        return Completion(ids, text, -1.0, "stop")

    class EndingTokenizer(CharacterTokenizer):
        def reopen(self, prompt_ids, token_ids, markers, whole):
            assert not markers
            left = super().reopen(prompt_ids, token_ids, markers, whole)
            return replace(left, tokens=left.tokens - 1)

    class Ending(ScriptedEngine):
        tokenizer = EndingTokenizer()

    noted, notes = noting(answer)
    engine = Ending(noted.script)
    verifier = GenerativeVerifier(engine=engine, rounds=3, again=" AGAIN ", **PLAIN)
    [made] = scored(verifier, [candidate("one")])
    begin = "What is {1} + 1?|Step 1: one|\n"
    assert notes.prompts == [
        begin,
        begin + "round 0. AGAIN ",
        begin + "round 0. AGAIN round 1. AGAIN ",
        begin + "round 0. AGAIN round 1. AGAIN round 2.#",
    ]
    assert made.score.value == 0.75
    assert len({request.seed for request in notes.requests[:3]}) == 3


def test_a_rationale_that_was_cut_off_keeps_all_of_its_tokens():
    engine, notes = noting(
        lambda _, request: decided(0.5, 0.5) if request.logprob_ids else "abcdef"
    )
    scored(GenerativeVerifier(engine=engine, max_tokens=4, **PLAIN), [candidate("x")])
    assert notes.prompts[1].endswith("|\nabcd#")


def test_without_a_rationale_the_decision_is_all_there_is():
    engine, notes = noting(lambda *_: decided(0.2, 0.6))
    [made] = scored(GenerativeVerifier(engine=engine, max_tokens=0, **PLAIN), [candidate("x")])
    assert made.score.value == 0.25
    assert notes.prompts == ["What is {1} + 1?|Step 1: x|\n#"]


def test_every_token_is_charged_and_the_chain_is_prefilled_once():
    def answer(prompt, request):
        return decided(0.5, 0.5, cached=7) if request.logprob_ids else "so it is."

    engine, _ = noting(answer)
    verifier = GenerativeVerifier(engine=engine, rounds=2, again="+", **PLAIN)
    [made] = scored(verifier, [candidate("one")])
    begin = len("What is {1} + 1?|Step 1: one|\n")
    said = len("so it is.")
    lengths = [begin, begin + said + 1, begin + 2 * said + 2]
    assert [len(call.prompt_ids) for call in made.calls] == lengths
    assert [call.completion_tokens for call in made.calls] == [said, said, 1]
    assert made.calls[-1].cached_prompt_tokens == 7
    meter = Meter(SHAPE)
    meter.charge(made.calls)
    assert meter.usage.prompt_tokens_logical == sum(lengths)
    # Of what follows a text, its last token (written, not read yet) and the words put behind it.
    assert meter.usage.prompt_tokens_ideal == begin + (1 + 1) + (1 + 1)
    assert meter.usage.completion_tokens == 2 * said + 1
    assert meter.cached_tokens == 7


def test_equal_runs_are_equal_and_each_candidate_has_draws_of_its_own():
    def answer(prompt, request):
        if request.logprob_ids:
            p = (sum(map(ord, prompt)) % 97 + 1) / 100
            return decided(p, 1 - p)
        return f"seed {request.seed}"

    def run(order):
        engine, _ = noting(answer)
        made = scored(GenerativeVerifier(engine=engine, n=2, **PLAIN), order)
        return {one.text: result for one, result in zip(order, made, strict=True)}

    some = [candidate("a"), candidate("b"), candidate("c")]
    assert run(some) == run(some[::-1])
    assert len({made.score.value for made in run(some).values()}) == 3
    other = GenerativeVerifier(engine=noting(answer)[0], n=2, seed=1, **PLAIN)
    assert scored(other, some[:1])[0] != run(some)["a"]


def test_step_scores_are_the_share_of_rationales_that_call_a_step_right():
    texts = iter(
        [
            "Verdict: right. Verdict: right. Verdict: wrong",
            "VERDICT: RIGHT, verdict: wrong",  # stops there: the third rests on the second
            "Verdict: right",  # says nothing of the others
            "no idea",
        ]
    )
    engine, _ = noting(lambda _, request: decided(0.5, 0.5) if request.logprob_ids else next(texts))
    verifier = GenerativeVerifier(engine=engine, n=4, **PLAIN)
    [made] = scored(verifier, [candidate("one\n\ntwo\n\nthree")])
    assert made.score.steps == (1.0, 0.5, 0.0)


def test_the_last_round_with_all_verdicts_gives_the_steps():
    texts = iter(["Verdict: wrong", "Verdict: right Verdict: right", "Verdict: right"])
    engine, _ = noting(lambda _, request: decided(0.5, 0.5) if request.logprob_ids else next(texts))
    verifier = GenerativeVerifier(engine=engine, rounds=3, **PLAIN)
    [made] = scored(verifier, [candidate("one\n\ntwo")])
    assert made.score.steps == (1.0, 1.0)


@pytest.mark.parametrize(
    ("text", "steps", "found"),
    [
        ("a \\boxed{correct} b \\boxed{incorrect}", 2, (1.0, 0.0)),
        ("a \\boxed{incorrect}", 3, (0.0, 0.0, 0.0)),
        ("\\boxed{correct}", 2, ()),
        ("\\boxed{correct} \\boxed{correct} \\boxed{correct}", 2, ()),
        ("\\boxed{incorrect} \\boxed{correct}", 2, (0.0, 0.0)),
        ("", 1, ()),
        ("", 0, ()),
    ],
)
def test_verdicts_of_thinkprm(text, steps, found):
    assert verdicts(text, "\\boxed{correct}", "\\boxed{incorrect}", steps) == found


def test_a_wrong_that_holds_the_right_is_not_taken_for_it():
    assert verdicts("incorrect. correct", "correct", "incorrect", 2) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n": 2, "rounds": 2}, "exclude each other"),
        ({"n": 2, "temperature": 0.0}, "needs a temperature"),
        ({"n": 2, "max_tokens": 0}, "max_tokens above 0"),
        ({"rounds": 2, "max_tokens": 0}, "max_tokens above 0"),
        ({"n": 0}, "at least 1"),
        ({"decision_temperature": 0.0}, "positive"),
        ({"prompt": "{problem}"}, "must hold"),
        ({"right": "x", "wrong": "x"}, "nor right as wrong"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerativeVerifier(**settings)


def test_a_prompt_that_leaves_no_room_is_one_clear_error():
    engine, _ = noting(lambda *_: "so", max_model_len=60)
    with pytest.raises(VerifierError, match=r"takes \d+ tokens .* holds 60"):
        scored(GenerativeVerifier(engine=engine, **PLAIN), [candidate("long " * 20)])


def test_a_rationale_leaves_room_for_the_decision():
    engine, notes = noting(
        lambda _, request: decided(0.5, 0.5) if request.logprob_ids else "x" * 99
    )
    engine = replace(engine, max_model_len=60)
    scored(GenerativeVerifier(engine=engine, **PLAIN), [candidate("short")])
    assert len(notes.prompts[1]) + 1 == 60


def test_a_failure_of_the_engine_is_a_verifier_error():
    def fail(prompt, request):
        raise EngineError("out of order")

    with pytest.raises(VerifierError, match="out of order"):
        scored(GenerativeVerifier(engine=noting(fail)[0], **PLAIN), [candidate(), candidate("b")])


def test_without_an_engine_of_its_own_it_asks_the_policy_and_leaves_it_open():
    closed = []

    class Closing(ScriptedEngine):
        async def close(self):
            closed.append(True)

    engine = Closing(lambda _, request: decided(0.8, 0.2) if request.logprob_ids else "so")
    verifier = GenerativeVerifier(**PLAIN)

    async def go():
        info = await verifier.start(engine)
        made = await verifier.score(PROBLEM, [candidate()])
        await verifier.close()
        return info, made

    info, [made] = asyncio.run(go())
    assert info.model == engine.info
    assert made.score.value == 0.8
    assert not closed
    with pytest.raises(VerifierError, match="not started, or closed"):
        asyncio.run(verifier.score(PROBLEM, [candidate()]))
    own = GenerativeVerifier(engine=engine, **PLAIN)
    scored(own, [])
    assert closed == [True]
    assert engine.settings_key() in own.settings_key()


@pytest.mark.slow
def test_a_real_model_is_asked_in_its_own_chat_and_decides_as_a_plain_forward_pass_does(
    smollm2: Path,
):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers_runs import engine as transformers_engine

    verifier = GenerativeVerifier(engine=transformers_engine(smollm2), n=2, max_tokens=24)
    [made] = scored(verifier, [candidate("1 + 1 = 2.\n\nSo it is 2.")])
    assert 0 < made.score.value < 1
    model = AutoModelForCausalLM.from_pretrained(smollm2, dtype=torch.float32).eval()
    decisions = [call for call in made.calls if call.completion_tokens == 1]
    assert len(decisions) == 2
    expected = []
    for call in decisions:
        with torch.no_grad():
            logits = model(torch.tensor([call.prompt_ids])).logits[0, -1]
        yes, no = 9230, 2838  # " Yes" and " No"
        expected.append(float((logits[yes] - logits[no]).sigmoid()))
    assert made.score.value == pytest.approx(sum(expected) / 2, abs=1e-4)
