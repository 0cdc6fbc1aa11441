from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.base import Completion
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.scripted import CharacterTokenizer, ScriptedEngine
from tts_bench.errors import BudgetExhausted
from tts_bench.prompt import Prompt
from tts_bench.strategy.session import Session, draw_seed
from tts_bench.types import Problem, Sampling
from tts_bench.verifier.confidence import ConfidenceVerifier

PROBLEM = Problem("p1", "What is 1 + 1?")
PROMPT = tuple(map(ord, PROBLEM.text))


async def same(answers):
    return list(answers)


def make(script, *, engine=None, budget=None, seed=0, problem=PROBLEM, max_tokens=50, **sampling):
    requests = []

    def recorded(prompt, request):
        requests.append(request)
        return script(prompt, request)

    engine = engine or ScriptedEngine(recorded)
    session = Session(
        Prompt(chat=False).dialogue(problem, engine.tokenizer),
        engine=engine,
        verifier=ConfidenceVerifier(),
        ledger=Ledger(Meter(None), Meter(None, has_model=False), Budget(budget)),
        sampling=Sampling(max_tokens, **sampling),
        seed=seed,
        canonicalize=same,
    )
    return session, requests


class SpeltTokenizer(CharacterTokenizer):
    """Prompts are characters, and what is written is in a real tokenizer's spelling."""

    def __init__(self, tokenizer):
        self.real = HuggingFaceTokenizer(tokenizer)

    def decode(self, token_ids, special_tokens=False):
        return self.real.decode(token_ids, special_tokens)


class Spelt(ScriptedEngine):
    """Writes the next ids of one text in a real tokenizer's spelling, as a real engine does."""

    tokenizer = None

    def __init__(self, tokenizer, ids):
        super().__init__(by_seed)
        self.__dict__ |= {"tokenizer": SpeltTokenizer(tokenizer), "ids": ids}

    async def generate(self, request):
        begin = len(request.prompt_ids) - len(PROMPT)
        ids = self.ids[begin : begin + request.sampling.max_tokens]
        text = self.tokenizer.added_text(request.prompt_ids, ids)
        return Completion(ids, text, logprob=-1.0, finish_reason="length")


def test_a_character_cut_between_two_draws_is_whole_behind_the_second(tiny_model_dir):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    written = "naïve 東京 costs \\boxed{10 €}"
    ids = tuple(tokenizer(written, add_special_tokens=False)["input_ids"])
    cut = [n for n in range(1, len(ids)) if tokenizer.decode(ids[:n]).endswith("\ufffd")]
    assert len(cut) >= 3, "the tokenizer cuts characters, or nothing is tested here"

    async def in_two(first):
        session, _ = make(by_seed, engine=Spelt(tokenizer, ids))
        parents = await session.sample(max_tokens=first)
        [whole] = await session.extend(parents, max_tokens=len(ids))
        return parents[0].text, whole

    async def token_by_token():
        session, _ = make(by_seed, engine=Spelt(tokenizer, ids))
        grown = await session.sample(max_tokens=1)
        while len(grown[0].token_ids) < len(ids):
            grown = await session.extend(grown, max_tokens=1)
        return grown[0]

    for first in cut:
        text, whole = asyncio.run(in_two(first))
        assert text.endswith("\ufffd")
        assert (whole.text, whole.answer) == (written, "10 €")
    assert asyncio.run(token_by_token()).text == written


def test_a_mark_that_nothing_completes_stays(tiny_model_dir):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    broken = next(n for n in range(len(tokenizer)) if tokenizer.decode([n]) == "\ufffd")
    ids = (broken, *tokenizer(" and so on", add_special_tokens=False)["input_ids"])

    async def go():
        session, _ = make(by_seed, engine=Spelt(tokenizer, ids))
        [whole] = await session.extend(await session.sample(max_tokens=1), max_tokens=50)
        return whole.text

    assert asyncio.run(go()) == "\ufffd and so on"


def by_seed(prompt, request):
    return f"\\boxed{{{request.seed % 7}}}"


def seeds_of(calls, **options):
    """Seeds of the requests that a sequence of `sample` calls makes."""
    session, requests = make(by_seed, **options)

    async def go():
        for n, sampling in calls:
            await session.sample(n, **sampling)

    asyncio.run(go())
    return [request.seed for request in requests]


def test_draws_are_the_same_however_they_are_asked_for():
    assert seeds_of([(16, {})]) == seeds_of([(4, {}), (12, {})])
    assert len(set(seeds_of([(16, {})]))) == 16


def test_more_draws_begin_with_the_fewer_ones():
    assert seeds_of([(64, {})])[:16] == seeds_of([(16, {})])


def test_where_a_draw_ends_does_not_change_its_seed_but_its_law_does():
    base = seeds_of([(4, {})])
    assert seeds_of([(4, {"max_tokens": 7, "stop": ("x",)})]) == base
    assert seeds_of([(4, {"temperature": 0.5})]) != base
    assert seeds_of([(4, {"top_p": 0.5})]) != base


def test_seeds_differ_between_runs_and_problems():
    base = seeds_of([(4, {})])
    assert not set(base) & set(seeds_of([(4, {})], seed=1))
    assert not set(base) & set(seeds_of([(4, {})], problem=replace(PROBLEM, id="p2")))


def test_greedy_draws_are_one_and_the_same_request():
    assert seeds_of([(3, {"temperature": 0.0})]) == [0, 0, 0]


def test_seeds_fit_into_63_bits():
    law = (1.0, 1.0, 0)
    assert all(0 <= draw_seed(0, "p", b"ids", law, (i,)) < 2**63 for i in range(100))


def test_seeds_are_those_of_the_draws_that_stores_have():
    session, requests = make(lambda *_: "x")
    asyncio.run(session.sample(2))
    assert [one.seed for one in requests] == [2167687149582832336, 4188832319058505946]


def test_a_candidate_carries_what_the_engine_said():
    session, _ = make(lambda *_: "so \\boxed{2}.")
    [candidate] = asyncio.run(session.sample())
    assert candidate.text == "so \\boxed{2}."
    assert candidate.answer == candidate.answer_class == "2"
    assert candidate.token_ids == tuple(map(ord, candidate.text))
    assert candidate.finished
    assert candidate.mean_logprob == pytest.approx(-0.1)
    assert candidate.path == (0,)


def test_no_answer_is_none_and_has_no_class():
    session, _ = make(lambda *_: "I cannot say.")
    [candidate] = asyncio.run(session.sample())
    assert candidate.answer is None
    assert candidate.answer_class is None


def test_of_a_text_that_was_cut_off_only_a_boxed_answer_counts():
    for text in ("first 12 + 30 = 42, then 7 * 6", "The answer is 1234567890 and so on"):
        session, _ = make(lambda *_, text=text: text, max_tokens=18)
        [cut] = asyncio.run(session.sample())
        assert (cut.finish_reason, cut.answer) == ("length", None)
    session, _ = make(lambda *_: "\\boxed{42} and then " + "x" * 99, max_tokens=20)
    [stated] = asyncio.run(session.sample())
    assert (stated.finish_reason, stated.answer) == ("length", "42")
    session, _ = make(lambda *_: "first 12 + 30 = 42")
    [whole] = asyncio.run(session.sample())
    assert (whole.finish_reason, whole.answer) == ("stop", "42")


def test_a_truncated_candidate_and_a_paused_one_are_not_finished():
    session, _ = make(lambda *_: "one step\n\nanother", max_tokens=4)
    [cut] = asyncio.run(session.sample())
    assert (cut.finish_reason, cut.finished) == ("length", False)
    session, _ = make(lambda *_: "one step\n\nanother")
    [paused] = asyncio.run(session.sample(stop=("\n\n",)))
    assert (paused.text, paused.stop, paused.finished) == ("one step\n\n", "\n\n", False)


def test_extend_continues_from_the_exact_tokens():
    session, requests = make(lambda prompt, _: "ab" if prompt == PROBLEM.text else "cd")

    async def go():
        parents = await session.sample(2)
        return parents, await session.extend(parents, n=2, inject="!")

    parents, children = asyncio.run(go())
    assert [child.text for child in children] == ["ab!cd"] * 4
    assert [child.parent for child in children] == [0, 0, 1, 1]
    assert [child.path for child in children] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert requests[2].prompt_ids == PROMPT + parents[0].token_ids + (ord("!"),)
    assert children[0].token_ids == parents[0].token_ids + tuple(map(ord, "!cd"))
    assert children[0].generated_tokens == 4
    assert children[0].logprob == pytest.approx(-0.4)
    # Twins: equal texts from different draws go on differently.
    assert len({request.seed for request in requests}) == 6


def test_every_token_is_charged():
    session, _ = make(lambda *_: "abcde")

    async def go():
        parents = await session.sample(3)
        await session.extend(parents[:1], inject="!!")

    asyncio.run(go())
    spent = session.spent
    assert spent.requests == 4
    assert spent.completion_tokens == 20
    assert spent.prompt_tokens_logical == 3 * len(PROMPT) + len(PROMPT) + 5 + 2
    # The prompt once; then the last written token and the injected ones.
    assert spent.prompt_tokens_ideal == len(PROMPT) + 1 + 2


def test_the_budget_is_never_exceeded():
    session, requests = make(lambda *_: "x" * 100, budget=10)

    async def go():
        first = await session.sample(3)
        assert [len(one.token_ids) for one in first] == [3, 3, 3]
        assert session.left == 1
        second = await session.sample(3)
        assert [len(one.token_ids) for one in second] == [1]
        with pytest.raises(BudgetExhausted):
            await session.sample(1)

    asyncio.run(go())
    assert len(requests) == 4


def test_scores_come_from_the_verifier_and_are_charged_to_it():
    session, _ = make(lambda *_: Completion((1, 2), "ab", -0.2, "stop"))

    async def go():
        return await session.score(await session.sample(2))

    scores = asyncio.run(go())
    assert [score.value for score in scores] == pytest.approx([0.904837, 0.904837], rel=1e-5)


def test_equal_settings_are_equal_draws_however_they_are_written():
    assert seeds_of([(2, {"temperature": 1})]) == seeds_of([(2, {"temperature": 1.0})])


def test_a_stop_string_may_be_given_alone():
    session, _ = make(lambda *_: "one\n\ntwo")
    [paused] = asyncio.run(session.sample(stop="\n\n"))
    assert paused.stop == "\n\n"


def test_a_candidate_of_another_session_is_refused():
    mine, _ = make(by_seed)
    other, _ = make(by_seed)
    drawn = asyncio.run(other.sample(1))
    for verb in (mine.extend, mine.score):
        with pytest.raises(ValueError, match="did not come from this session"):
            asyncio.run(verb(drawn))


def test_an_unknown_sampling_field_is_an_error_at_once():
    session, _ = make(by_seed)
    with pytest.raises(TypeError, match="temprature"):
        asyncio.run(session.sample(1, temprature=1.0))


class ThinkingTokenizer(CharacterTokenizer):
    """Its template opens the model's thinking, as templates of reasoning models do."""

    def encode_chat(self, messages, template_kwargs):
        opening = "<think>\n" if template_kwargs.get("enable_thinking", True) else ""
        return (*super().encode_chat(messages, template_kwargs), *map(ord, opening))


class ThinkingEngine(ScriptedEngine):
    tokenizer = ThinkingTokenizer()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}, or", None),
        ("the answer is 7", None),
        (r"so \boxed{7}</think>I do not know", None),
        (r"so \boxed{7}</think>\boxed{12}", "12"),
        ("7?</think>The answer is 12.", "12"),
        (r"a</think>b<think>\boxed{7}", None),
    ],
)
def test_a_template_that_opens_the_thinking_leaves_no_answer_within_it(text, answer):
    async def answers(**template_kwargs):
        engine = ThinkingEngine(lambda prompt, request: text)
        session = Session(
            Prompt(template_kwargs=template_kwargs).dialogue(PROBLEM, engine.tokenizer),
            engine=engine,
            verifier=ConfidenceVerifier(),
            ledger=Ledger(Meter(None), Meter(None, has_model=False), Budget(None)),
            sampling=Sampling(50),
            seed=0,
            canonicalize=same,
        )
        [drawn] = await session.sample(1)
        [longer] = await session.extend([drawn], inject="\n")
        assert drawn.prompt_ids[-8:] == tuple(map(ord, "<think>\n")) or template_kwargs
        return drawn.answer, drawn.answer_class, longer.answer

    found, form, _ = asyncio.run(answers())
    assert (found, form) == (answer, answer)
    if "</think>" not in text:
        assert asyncio.run(answers()) == (None, None, None)
        assert asyncio.run(answers(enable_thinking=False))[0] == "7"
