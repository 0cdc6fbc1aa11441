"""What every engine must keep, whichever it is.

Set TTS_BENCH_TEST_ENGINE to a YAML file with an `engine:` block to hold your own engine to it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from open_engine import Open

from tts_bench.engine.base import Completion, Engine, EngineInfo, Request
from tts_bench.engine.cached import CachedEngine
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.tokenizer import Tokenizer
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.engine.vllm import VLLMEngine
from tts_bench.errors import EngineError, ModelError
from tts_bench.store.generations import GenerationStore
from tts_bench.suite.load import load_blocks
from tts_bench.suite.registry import ENGINES, Registry
from tts_bench.suite.yaml_document import read_yaml
from tts_bench.types import CUT, Sampling

TINY = str(Path(__file__).resolve().parents[2] / "tts_bench" / "tiny" / "policy")
SMOLLM2 = Path(__file__).resolve().parents[2] / "models" / "SmolLM2-135M-Instruct"
OWN = os.environ.get("TTS_BENCH_TEST_ENGINE")
NAMES = [
    "scripted",
    "transformers",
    pytest.param("vllm", marks=pytest.mark.vllm),
    pytest.param("server-vllm", marks=pytest.mark.vllm),
    pytest.param("ray-vllm", marks=pytest.mark.vllm),
    pytest.param("server-llamacpp", marks=pytest.mark.slow),
    *(["own"] if OWN else []),
]
WARM = Sampling(24, temperature=1.5)
GREEDY = Sampling(24, temperature=0)
TEXTS = ["3 plus 4", "a\n\nb", "  two  spaces ", "\\boxed{\\frac{1}{2}}", "naïve 10 € 東京 🙂"]

T = TypeVar("T")


def wander(prompt: str, request: Request) -> str:
    """One character after the other, each by the text so far; in the end it ends by itself."""
    seed, text = request.seed if request.sampling.temperature else 0, ""
    while len(text) < 400:
        rng = random.Random(f"{seed} {(prompt + text)[-40:]}")
        text += rng.choice("one plus two. So.\n\né東京!")
        if rng.random() < 0.02:
            break
    return text


def settings(name: str, urls: tuple[str, ...] = ()) -> Engine:
    """A new engine of that name."""
    if name == "own":
        assert OWN is not None
        blocks = load_blocks(read_yaml(Path(OWN), OWN), Registry(), [ENGINES])
        own: Engine = blocks["engine"][1]
        return own
    if name == "server-vllm":
        return ServerEngine(base_url=urls, model="tts_bench/tiny/policy")
    if name == "server-llamacpp":
        return ServerEngine(base_url=urls, model="smollm2", tokenizer_model=str(SMOLLM2))
    if name == "scripted":
        return ScriptedEngine(wander, max_model_len=512)
    if name == "transformers":
        return TransformersEngine(model=TINY, device="cpu", threads=1)
    return VLLMEngine(model=TINY, kv_cache_gb=0.125)


@dataclass(frozen=True)
class Running:
    """A started engine and the event loop that it is used from."""

    engine: Engine
    info: EngineInfo
    loop: asyncio.Runner
    long: int = 400
    """Tokens of a long text; fewer where one takes a minute."""

    @property
    def tokenizer(self) -> Tokenizer:
        return self.engine.tokenizer

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def draw(self, *requests: Request) -> list[Completion]:
        return self.run(self.engine.generate_all(requests))

    def prompt(self, text: str) -> tuple[int, ...]:
        """As a chat if the model has a template for one."""
        try:
            return self.tokenizer.encode_chat([{"role": "user", "content": text}], {})
        except ModelError:
            return self.tokenizer.encode(text, add_special_tokens=True)

    def outcomes(self, requests: Sequence[Request]) -> list[Completion | BaseException]:
        """Completions and errors of requests that are in flight together."""

        async def all_at_once() -> list[Completion | BaseException]:
            asked = (self.engine.generate(request) for request in requests)
            return await asyncio.gather(*asked, return_exceptions=True)

        return self.run(all_at_once())

    def refuses(self, request: Request) -> bool:
        """Whether it says that it cannot draw so, in words that begin with the field's name."""
        [field] = request.sampling.further
        why = self.engine.unable(request.sampling)
        assert why is None or why.startswith(f"{field}: ")
        return why is not None

    def long_text(self) -> tuple[Request, Completion]:
        """The longest of some completions, and its request."""
        ids = self.prompt("Count to ten.")
        requests = [Request(ids, replace(WARM, max_tokens=60), seed) for seed in range(16)]
        pairs = zip(requests, self.draw(*requests), strict=True)
        return max(pairs, key=lambda pair: len(pair[1].token_ids))


@pytest.fixture(scope="module", params=NAMES)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    urls: tuple[str, ...] = ()
    if request.param == "server-vllm":
        urls = tuple(server.url for server in request.getfixturevalue("vllm_servers"))
    if request.param == "server-llamacpp":
        request.getfixturevalue("smollm2")
        urls = (request.getfixturevalue("llamacpp_server").url,)
    if request.param == "ray-vllm":
        engine: Engine = request.getfixturevalue("ray_nodes").engine()
    else:
        engine = settings(request.param, urls)
    with asyncio.Runner() as loop:
        info = loop.run(engine.start())
        yield Running(engine, info, loop, 40 if request.param == "server-llamacpp" else 400)
        loop.run(engine.close())


def mixed(running: Running) -> list[Request]:
    """Requests that differ in prompt, sampling and seed; some share a prompt."""
    samplings = [WARM, replace(WARM, max_tokens=9, top_p=0.9), GREEDY, replace(WARM, top_k=20)]
    texts = ["3 plus 4", "x" * 40, "é", "3 plus 4", "one plus two equals three. " * 4]
    return [
        Request(running.prompt(text), samplings[i % 4], seed=100 + i)
        for i, text in enumerate([*texts, *texts])
    ]


def drawn(completions: Sequence[Completion]) -> list[tuple[object, ...]]:
    """What must be the same each time, all but the log-probabilities, which are rounded."""
    return [(one.token_ids, one.text, one.finish_reason, one.stop) for one in completions]


def test_it_says_of_itself_what_it_said_when_it_was_started(running):
    assert running.engine.info == running.info
    assert running.info.identity
    assert running.info.max_model_len > 1


def test_a_seed_gives_the_same_completion_alone_in_a_batch_and_in_any_order(running):
    requests = mixed(running)
    alone = [running.draw(request)[0] for request in requests]
    for order in (range(len(requests)), reversed(range(len(requests)))):
        places = list(order)
        batch = dict(zip(places, running.draw(*(requests[i] for i in places)), strict=True))
        again = [batch[i] for i in range(len(requests))]
        assert drawn(again) == drawn(alone)
        logprobs = [one.logprob for one in alone]
        assert [one.logprob for one in again] == pytest.approx(logprobs, abs=1e-3)


def test_another_seed_gives_another_completion_and_any_63_bits_are_a_seed(running):
    ids, seeds = running.prompt("3 plus 4"), [0, 1, 2, 2**31, 2**40 + 7, 2**62 + 8, 2**63 - 1]
    done = running.draw(*(Request(ids, WARM, seed) for seed in seeds))
    assert len({one.token_ids for one in done}) == len(seeds)


def test_at_temperature_0_the_seed_is_nothing(running):
    ids = running.prompt("3 plus 4")
    one, other = running.draw(*(Request(ids, GREEDY, seed) for seed in (1, 2)))
    assert drawn([one]) == drawn([other])


def test_a_completion_is_tokens_text_and_log_probability_that_fit_together(running):
    for request, done in zip(mixed(running), running.draw(*mixed(running)), strict=True):
        assert 1 <= len(done.token_ids) <= request.sampling.max_tokens
        assert done.text == running.tokenizer.added_text(request.prompt_ids, done.token_ids)
        assert done.logprob <= 0
        assert done.stop is None
        if done.finish_reason == "length":
            assert len(done.token_ids) == request.sampling.max_tokens
        assert 0 <= done.cached_prompt_tokens <= len(request.prompt_ids)


def test_a_text_can_be_continued_from_its_exact_tokens(running):
    ids = running.prompt("Count to ten.")
    [whole] = running.draw(Request(ids, GREEDY, 0))
    for cut in range(1, len(whole.token_ids), 3):
        rest = replace(GREEDY, max_tokens=24 - cut)
        [more] = running.draw(Request(ids + whole.token_ids[:cut], rest, 0))
        assert whole.token_ids[:cut] + more.token_ids == whole.token_ids


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_stop_string_ends_the_text_and_stays_in_it(running, tokens):
    """For stop strings of one token and of several, wherever they stand."""
    request, whole = running.long_text()
    ids, shown = whole.token_ids, running.tokenizer.added_text
    texts = [shown(request.prompt_ids, ids[:count]) for count in range(len(ids) + 1)]
    pieces = [
        (after.removeprefix(before), before)
        for before, after in zip(texts[1:], texts[1 + tokens :], strict=False)
    ]
    stops = [piece for piece, before in pieces if piece and CUT not in piece + before[-1:]]
    assert len(stops) > 3, "the text is too short for this test"
    for stop in stops[:8]:
        count = next(n for n, text in enumerate(texts) if stop in text)
        sampling = replace(request.sampling, stop=("never in the text", stop))
        short = replace(sampling, max_tokens=count - 1) if count > 1 else sampling
        cut, early = running.draw(
            replace(request, sampling=sampling), replace(request, sampling=short)
        )
        assert drawn([cut]) == [(ids[:count], texts[count], "stop", stop)]
        if count > 1:
            assert drawn([early]) == [(ids[: count - 1], texts[count - 1], "length", None)]


def test_a_stop_token_ends_the_text_and_stays_in_it(running):
    request, whole = running.long_text()
    ids = whole.token_ids
    for token in dict.fromkeys(ids[2:-1:5]):
        sampling = replace(request.sampling, stop_token_ids=(token,))
        if running.refuses(replace(request, sampling=sampling)):
            return
        [cut] = running.draw(replace(request, sampling=sampling))
        count = ids.index(token) + 1
        text = running.tokenizer.added_text(request.prompt_ids, ids[:count])
        assert drawn([cut]) == [(ids[:count], text, "stop", None)]


FURTHER_FIELDS: dict[str, Any] = {
    "min_p": 0.2,
    "presence_penalty": 1.5,
    "frequency_penalty": 1.5,
    "repetition_penalty": 1.8,
}


@pytest.mark.parametrize("name", FURTHER_FIELDS)
def test_a_further_field_changes_what_is_drawn_and_neighbours_do_not_see_it(running, name):
    ids = running.prompt("Count to ten: one, two, three,")
    plain = [Request(ids, WARM, seed) for seed in range(8)]
    more = {name: FURTHER_FIELDS[name]}
    changed = [replace(one, sampling=replace(WARM, **more)) for one in plain]
    if running.refuses(changed[0]):
        return
    alone = [running.draw(one)[0] for one in (*plain, *changed)]
    pairs = [one for pair in zip(plain, changed, strict=True) for one in pair]
    together = running.draw(*pairs)
    assert drawn(together[::2]) == drawn(alone[:8])
    assert drawn(together[1::2]) == drawn(alone[8:])
    # A script does with a field what it likes.
    is_script = running.info.engine == "scripted"
    assert is_script or drawn(together[::2]) != drawn(together[1::2])


def test_bad_words_are_not_written(running):
    ids = running.prompt("Count to ten: one, two, three,")
    [greedy] = running.draw(Request(ids, GREEDY, 0))
    spelt = running.tokenizer
    words = [spelt.decode(greedy.token_ids[at : at + n]).strip() for at, n in ((0, 1), (4, 2))]
    for word in filter(None, words):
        forbidden = replace(GREEDY, bad_words=(word,))
        if running.refuses(Request(ids, forbidden, 0)):
            return
        [other] = running.draw(Request(ids, forbidden, 0))
        spelling = spelt.encode(word)
        is_script = running.info.engine == "scripted"
        assert is_script or spelling not in _windows(other.token_ids, len(spelling))


def _windows(ids: tuple[int, ...], length: int) -> set[tuple[int, ...]]:
    return {ids[at : at + length] for at in range(len(ids) - length + 1)}


def test_prompt_and_completion_end_with_the_context(running):
    longest = running.info.max_model_len
    if longest > 8192:
        pytest.skip(f"a prompt of {longest} tokens takes too long")
    ids = running.tokenizer.encode("seven " * longest)[: longest - 1]
    one, more = running.draw(
        Request(ids, WARM, 0), Request(ids[: longest - 9], replace(WARM, max_tokens=9999), 0)
    )
    assert len(one.token_ids) == 1
    assert len(more.token_ids) == 9 or more.finish_reason == "stop"


def test_a_bad_prompt_is_an_error_of_that_request_alone(running):
    good = mixed(running)
    bad = {
        "too long": good[0].prompt_ids[:1] * running.info.max_model_len,
        "empty": (),
        "no such token": (*good[0].prompt_ids, 2**31 - 1),
        "negative": (-1, *good[0].prompt_ids),
    }
    expected = drawn(running.draw(*good))
    requests = [*good, *(Request(ids, WARM, 1) for ids in bad.values())]
    outcomes = running.outcomes(requests)
    assert drawn(outcomes[: len(good)]) == expected  # type: ignore[arg-type]
    for what, error in zip(bad, outcomes[len(good) :], strict=True):
        assert isinstance(error, EngineError), what
        assert "\n" not in str(error)


def test_a_request_that_is_cancelled_leaves_the_others_alone(running):
    ids = running.prompt("Count to ten.")
    requests = [
        Request(ids, replace(WARM, max_tokens=min(100, running.long)), seed) for seed in range(16)
    ]
    expected = drawn(running.draw(*requests))

    async def cancel_every_other() -> list[Any]:
        asked = [asyncio.create_task(running.engine.generate(one)) for one in requests]
        await asyncio.sleep(0)
        for task in asked[::2]:
            task.cancel()
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = running.run(cancel_every_other())
    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes[::2])
    assert drawn(outcomes[1::2]) == expected[1::2]
    assert drawn(running.draw(*requests)) == expected


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_survives_its_tokens(running, text):
    spelt = running.tokenizer
    if any(spelt.decode(spelt.encode(one)) != one for one in set(text)):
        pytest.skip("the tokenizer lacks some of these characters")
    assert spelt.decode(spelt.encode(text)) == text
    assert spelt.encode(spelt.decode(spelt.encode(text))) == spelt.encode(text)
    assert spelt.encode("") == ()


def test_special_tokens_are_no_text(running):
    spelt = running.tokenizer
    plain, opened = spelt.encode("3 plus 4"), spelt.encode("3 plus 4", add_special_tokens=True)
    assert spelt.decode(plain, special_tokens=True) == "3 plus 4"
    assert spelt.decode(opened) == "3 plus 4"
    chat = running.prompt("3 plus 4")
    assert "3 plus 4" in spelt.decode(chat)
    assert len(spelt.decode(chat, special_tokens=True)) >= len(spelt.decode(chat))


def test_what_ended_a_text_can_be_taken_back(running):
    request, whole = running.long_text()
    spelt, begin = running.tokenizer, request.prompt_ids
    most = replace(WARM, max_tokens=running.long)
    requests = [replace(request, sampling=most, seed=seed) for seed in range(16)]
    for done in running.draw(*requests):
        if done.finish_reason == "stop":
            left = spelt.reopen(begin, done.token_ids, (), True)
            assert (left.characters, left.rest) == (len(done.text), "")
            assert spelt.added_text(begin, done.token_ids[: left.tokens]) == done.text
    texts = [spelt.added_text(begin, whole.token_ids[:n]) for n in range(len(whole.token_ids))]
    tried = 0
    for text in texts[6:20]:
        marker = text[-4:]
        count = next(n for n, shown in enumerate(texts) if marker in shown)
        written = whole.token_ids[:count]
        if spelt.decode(written, special_tokens=True) != spelt.decode(written):
            continue  # a special token may stand within the marker
        tried += 1
        before, _, after = texts[count].rpartition(marker)
        left = spelt.reopen(begin, written, (marker,), True)
        assert texts[count][: left.characters] + left.rest == before + after
        assert spelt.added_text(begin, written[: left.tokens] + left.rest_ids) == before + after
    assert tried


def test_a_store_before_it_changes_nothing_and_a_replay_needs_no_engine(running, tmp_path):
    async def work(replay: bool) -> tuple[list[Completion], list[Any]]:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            cached = CachedEngine(Open(running.engine), store, replay=replay)
            await cached.start()
            done = await cached.generate_all(requests)
            spelt = cached.tokenizer
            ids = spelt.encode("3 plus 4")
            begin, written = requests[0].prompt_ids, done[0].token_ids
            said = [ids, spelt.decode(ids), spelt.reopen(begin, written, (), True)]
            await cached.close()
            return done, said

    requests = mixed(running)
    done, said = running.run(work(replay=False))
    assert drawn(done) == drawn(running.draw(*requests))
    assert said[:2] == [running.tokenizer.encode("3 plus 4"), "3 plus 4"]
    assert running.run(work(replay=True)) == (done, said)


def test_after_it_is_closed_requests_fail_and_it_can_be_started_again(running):
    request = mixed(running)[0]
    expected = drawn(running.draw(request))

    async def close_beside_requests() -> list[Any]:
        long = replace(request, sampling=replace(WARM, max_tokens=300))
        asked = [asyncio.create_task(running.engine.generate(long)) for _ in range(4)]
        await asyncio.sleep(0)
        await running.engine.close()
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = running.run(close_beside_requests())
    assert all(isinstance(one, EngineError | Completion) for one in outcomes)
    assert all(isinstance(one, EngineError) for one in running.outcomes([request, request]))
    running.run(running.engine.close())  # once more does no harm
    assert running.run(running.engine.start()) == running.info
    assert drawn(running.draw(request)) == expected
