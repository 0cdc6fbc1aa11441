"""Chat endpoints: text goes there and comes back, counted by the endpoint itself."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from aiohttp import web
from stand_in_chat import ChatStandIn, refusal
from stand_in_server import listening

from tts_bench.cost.flops import ModelShape
from tts_bench.engine.base import Completion, EngineInfo, Request
from tts_bench.engine.server.engine import ServerEngine
from tts_bench.engine.server.messages import MessageTokenizer, messages, written
from tts_bench.engine.server.pool import retry_after
from tts_bench.errors import EngineError, ModelError, UsageError
from tts_bench.types import Sampling

SPELT = MessageTokenizer()
WARM = Sampling(40, temperature=1.0, top_p=0.9)
KINDS = ("openai", "ollama", "openrouter", "deepseek")
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 3 ≠ \n🙂"}]


def asked(text: str = "Compute 2 + 3.", seed: int = 7, **sampling) -> Request:
    prompt = SPELT.encode_chat([{"role": "user", "content": text}], {})
    return Request(prompt, replace(WARM, **sampling), seed)


def engine_of(urls, **settings) -> ServerEngine:
    base = {"model": "small-1", "patience": 2.0, "dialect": "chat"}
    return ServerEngine(base_url=tuple(urls), **{**base, **settings})


def drawn(server: ChatStandIn, *requests: Request, **settings) -> tuple[EngineInfo, list]:
    async def go() -> tuple[EngineInfo, list[Completion]]:
        async with listening(server) as urls:  # type: ignore[arg-type]
            engine = engine_of(urls, **settings)
            info = await engine.start()
            try:
                return info, await engine.generate_all(requests)
            finally:
                await engine.close()

    return asyncio.run(go())


def test_messages_come_out_of_ids_as_they_went_in():
    assert messages(SPELT.encode_chat(CHAT, {})) == CHAT
    answer = written("hm", "It is 5.")
    ids = SPELT.encode_chat(CHAT, {}) + answer + SPELT.encode_turn("Sure? § <think>", {})
    said = [{"role": "assistant", "content": "It is 5."}]
    assert messages(ids) == [*CHAT, *said, {"role": "user", "content": "Sure? § <think>"}]
    assert SPELT.decode(answer) == "<think>\nhm\n</think>\n\nIt is 5."


def test_a_turn_cannot_be_gone_on_with():
    ids = SPELT.encode_chat(CHAT, {})
    for more in (SPELT.encode("It is"), written("", "It"), SPELT.encode("It") + ids[:1] + (65,)):
        with pytest.raises(UsageError, match="goes on from the exact tokens"):
            messages(ids + more)
    with pytest.raises(UsageError, match=r"prompt\.chat"):
        messages(SPELT.encode("plain"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_endpoint_gives_text_and_its_own_counts(kind):
    server = ChatStandIn(kind, thought="let me see")
    requests = [asked(seed=seed) for seed in range(20)]
    info, done = drawn(server, *requests, requests[3])
    assert (info.engine, info.model, info.dtype) == ("server chat", "small-1", "as served")
    assert info.notes == ()
    assert info.shape is None
    assert len({one.text for one in done}) == 20
    assert done[3] == done[20]
    for one in done:
        assert one.counts.prompt == 4 + 4
        assert one.written == 3 + len(one.text.split("</think>")[-1].split())
        assert one.text == SPELT.decode(one.token_ids)
        assert math.isnan(one.logprob)
        assert one.finish_reason == "stop"
        assert one.cached_prompt_tokens == (0 if kind == "ollama" else 2)
        assert one.text.startswith("<think>\nlet me see\n</think>\n\n") == (
            kind in ("deepseek", "openrouter")
        )
    sent = server.bodies[-1]
    field = "max_completion_tokens" if kind == "openai" else "max_tokens"
    assert sent == {
        "model": "small-1",
        "messages": [{"role": "user", "content": "Compute 2 + 3."}],
        field: 40,
        "temperature": 1.0,
        "top_p": 0.9,
        "seed": 3,
        "stream": False,
    }


def test_further_fields_are_sent_if_they_change_something():
    request = asked(min_p=0.1, presence_penalty=-1, frequency_penalty=0.0, repetition_penalty=1.1)
    server = ChatStandIn("ollama")
    drawn(server, request, extra_body={"min_p": 0.5})
    sent = server.bodies[-1]
    assert (sent["min_p"], sent["presence_penalty"], sent["repetition_penalty"]) == (0.1, -1, 1.1)
    assert not {"frequency_penalty", "bad_words", "stop_token_ids"} & sent.keys()


def test_what_a_request_has_and_what_a_provider_wants_is_sent():
    server = ChatStandIn("ollama")
    request = asked(top_k=20, stop=("three",), seed=2**40 + 5)
    info, [done] = drawn(server, request, extra_body={"reasoning_effort": "high"})
    sent = server.bodies[-1]
    assert (sent["top_k"], sent["stop"], sent["seed"]) == (20, ["three"], 5)
    assert sent["reasoning_effort"] == "high"
    assert info.engine == 'server chat {"reasoning_effort": "high"}'
    assert "three" not in done.text


@pytest.mark.parametrize("most", [2, 5])
def test_a_completion_that_is_all_thinking_is_cut_off_and_no_error(most):
    for kind in ("openai", "deepseek"):
        _, [done] = drawn(ChatStandIn(kind, thought="a b c d e f"), asked(max_tokens=most))
        assert done.finish_reason == "length"
        assert done.written == most
        assert done.text == ("" if kind == "openai" else f"<think>\n{'a b c d e'[: 2 * most - 1]}")


def test_log_probabilities_are_asked_for_and_added_up():
    info, [done] = drawn(ChatStandIn(), asked(), logprobs=True)
    assert done.logprob == pytest.approx(-0.25 * len(done.text.split()))
    assert info.engine == "server chat with log-probabilities"
    with pytest.raises(ModelError, match="no log-probabilities, which `logprobs: true` asks for"):
        drawn(ChatStandIn(logprobs=False), asked(), logprobs=True)


def test_chosen_letters_are_read_from_the_likeliest_first_tokens():
    letters = (ord("Y"), ord("N"))
    likeliest = {" Yes": 0.5, "yes": 0.125, "Hm": 0.25, "No": 0.0625, "Maybe": 0.03125}
    server = ChatStandIn("ollama", likeliest=likeliest)
    request = replace(asked(max_tokens=1), logprob_ids=letters)
    _, [done] = drawn(server, request, logprobs=True)
    assert server.bodies[-1]["top_logprobs"] == 20
    assert [round(math.exp(one), 6) for one in done.first_logprobs] == [0.625, 0.0625]
    server.likeliest = {"Yes": 0.5, "Hm": 0.125}
    _, [done] = drawn(server, request, logprobs=True)
    assert [round(math.exp(one), 6) for one in done.first_logprobs] == [0.5, 0.125]
    server.likeliest = {"Hm": 0.25}
    with pytest.raises(EngineError, match="none of the 1 likeliest first tokens begins with 'Y'"):
        drawn(server, request, logprobs=True)
    with pytest.raises(EngineError, match=r"with engine\.logprobs: true"):
        drawn(server, request)


def test_an_endpoint_without_usage_leaves_tokens_unknown():
    info, [done] = drawn(ChatStandIn(usage=False), asked())
    assert done.written is None
    assert info.notes == ("it does not count tokens",)


def test_seeds_that_are_not_kept_or_not_taken_are_noted():
    info, done = drawn(ChatStandIn(seeds=False), asked(), asked())
    assert info.notes == ("the same seed gave two texts",)
    assert done[0].text != done[1].text
    server = ChatStandIn("ollama", refuses=("seed",))
    info, _ = drawn(server, asked())
    assert info.notes == ("it takes no seeds",)
    assert "seed" not in server.bodies[-1]


def test_what_an_endpoint_refuses_is_left_out_where_that_changes_nothing():
    server = ChatStandIn(refuses=("temperature", "top_p"), thinks_at_least=1000)
    info, [done] = drawn(server, asked(top_p=1.0, max_tokens=2000))
    assert info.notes == ()
    assert done.text
    assert {"temperature", "top_p", "max_tokens"}.isdisjoint(server.bodies[-1])
    for changed in ({"temperature": 0.5}, {"top_p": 0.5}):
        settings = {"max_tokens": 2000, "top_p": 1.0, **changed}
        [name] = changed
        with pytest.raises(ModelError, match=f"does not take {name} as the suite has it"):
            drawn(server, asked(**settings))


@pytest.mark.parametrize(
    ("root", "given"),
    [
        ("/v1", "/v1/"),
        ("/v1", "/v1/chat/completions"),
        ("/api/v1", "/api"),
        ("/v1beta/openai", "/v1beta/openai/"),
    ],
)
def test_a_base_url_may_hold_the_version_or_not(root, given):
    async def go():
        server = ChatStandIn(root=root)
        async with listening(server) as [url]:  # type: ignore[arg-type]
            engine = engine_of([url + given])
            await engine.start()
            done = await engine.generate(asked())
            await engine.close()
            return done

    assert asyncio.run(go()).text


def shape_of(**settings) -> ModelShape | None:
    return drawn(ChatStandIn(), **settings)[0].shape


def test_a_shape_is_known_only_if_it_is_given():
    given = ModelShape(2, 8, 2, 1, 4, 16, 32)
    assert shape_of(shape=given) == given
    assert shape_of(shape="tts_bench/tiny/policy").layers > 0
    with pytest.raises(ModelError, match="shape: "):
        shape_of(shape="./nothing")


def test_two_endpoints_of_one_model_are_one_and_of_two_models_are_refused():
    requests = [asked(seed=seed) for seed in range(12)]

    async def go(*servers):
        async with listening(*servers) as urls:
            engine = engine_of(urls)
            await engine.start()
            done = await engine.generate_all(requests)
            await engine.close()
            return [one.text for one in done]

    alone = [one.text for one in drawn(ChatStandIn(), *requests)[1]]
    assert asyncio.run(go(ChatStandIn(), ChatStandIn())) == alone
    other = ChatStandIn(listed=("small-1",), model="small-1-0613")
    with pytest.raises(ModelError, match=r"is not as .* is: it has another model or interface"):
        asyncio.run(go(ChatStandIn(), other))


REFUSED = {
    "another model": ({"model": "smal-1"}, {}, r"not list 'small-1'\. Did you mean 'smal-1'"),
    "no key": ({"key": "a"}, {}, r"wants a key \(401: Incorrect.*\): name its variable"),
    "wrong key": ({"key": "a"}, {"api_key_env": "THE_KEY"}, "variable THE_KEY is refused"),
    "wrong key, no list": (
        {"key": "a", "listed": ()},
        {"api_key_env": "THE_KEY"},
        "variable THE_KEY is refused",
    ),
    "all seeds alike": ({"reply": lambda *_: "Five."}, {}, "another seed gives the same text"),
    "no chats": ({"root": "/v2"}, {}, r"a first completion failed: .*\(404\)"),
    "given length field": (
        {},
        {"max_tokens_field": "max_tokens"},
        "'max_tokens' is not supported with this model",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_one_line_at_the_start(name, monkeypatch):
    monkeypatch.setenv("THE_KEY", "sesame")
    server, settings, said = REFUSED[name]
    with pytest.raises(ModelError, match=said) as caught:
        drawn(ChatStandIn(**server), asked(), **settings)
    assert "\n" not in str(caught.value)
    assert "sesame" not in str(caught.value)


def after_start(spoil):
    """Spoils what is asked for after the four completions of a start."""
    return lambda number, answer: spoil(answer) if number > 4 else None


def finished(reason):
    return after_start(
        lambda answer: answer | {"choices": [answer["choices"][0] | {"finish_reason": reason}]}
    )


OF_ONE_REQUEST = {
    "filtered": (finished("content_filter"), "content filter stopped the answer"),
    "a tool": (finished("tool_calls"), "called a tool instead of answering"),
    "given up": (finished("error"), "gave the request up: error"),
    "no choice": (after_start(lambda answer: answer | {"choices": []}), "holds no completion"),
    "flagged": (
        after_start(lambda _: refusal(403, "Your input was flagged by moderation")),
        r"refused a request \(403\)",
    ),
    "words in a body": (after_start(lambda _: {"error": "no luck"}), r"\(400\): no luck"),
    "an error for a choice": (
        after_start(
            lambda _: {"choices": [{"error": {"code": 403, "message": "flagged", "x": 1}}]}
        ),
        r"refused a request \(403\): flagged",
    ),
    "too long": (
        after_start(lambda _: refusal(400, "maximum context length is 8192", param="messages")),
        "maximum context length",
    ),
}
OF_THE_RUN = {
    "quota": (
        lambda _: refusal(429, "You exceeded your quota", type="x", code="insufficient_quota"),
        "account has nothing left",
    ),
    "no credit": (lambda _: refusal(402, "Insufficient Balance"), "account has nothing left"),
    "key expired": (lambda _: refusal(401, "expired"), "wants a key"),
    "model gone": (lambda _: refusal(404, "The model was removed"), "does not know the model"),
    "in a body": (
        lambda _: {"error": {"code": 402, "message": "Insufficient credits"}},
        "account has nothing left",
    ),
    "no system": (
        lambda _: refusal(400, "'messages[0].role' does not support 'system' with this model"),
        r"takes no prompt\.system .*: use prompt\.template",
    ),
    "top_k": (
        lambda _: refusal(400, "Unknown argument", param="top_k"),
        "does not take top_k as the suite has it",
    ),
    "temperature": (
        lambda _: refusal(400, "'temperature' does not support 0.7 with this model"),
        "does not take temperature",
    ),
}


@pytest.mark.parametrize("name", OF_ONE_REQUEST)
def test_what_is_wrong_with_one_request_is_its_error(name):
    fault, said = OF_ONE_REQUEST[name]
    with pytest.raises(EngineError, match=said) as caught:
        drawn(ChatStandIn(fault=fault), asked())
    assert type(caught.value) is EngineError, "a record of it would name a class of its own"


@pytest.mark.parametrize("name", OF_THE_RUN)
def test_what_would_fail_every_request_ends_the_run(name):
    spoil, said = OF_THE_RUN[name]
    with pytest.raises(ModelError, match=said):
        drawn(ChatStandIn(fault=after_start(spoil)), asked())


@pytest.mark.parametrize(
    "busy",
    [
        lambda: web.json_response({"error": {"message": "slow"}}, status=429),
        lambda: web.Response(status=529, text="overloaded"),
        lambda: web.Response(status=503, text="starting"),
        lambda: web.json_response({"error": {"code": 502, "message": "provider"}}),
        lambda: web.Response(status=408, text="timeout"),
    ],
)
def test_what_passes_is_tried_again_also_at_the_start(busy):
    def fault(number, answer):
        return busy() if number % 4 == 3 and number > 4 else None

    def at_start(number, answer):
        return web.Response(status=503, text="starting") if number == 2 else None

    expected = [one.text for one in drawn(ChatStandIn("ollama"), asked(), asked(seed=8))[1]]
    for spoilt in (fault, at_start):
        server = ChatStandIn("ollama", fault=spoilt)
        _, done = drawn(server, asked(), asked(seed=8), patience=30.0)
        assert [one.text for one in done] == expected


def test_retry_after_is_seconds_or_a_date():
    now = 1_445_412_470.0
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now) == 10.0
    assert retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now) == 0.0
    assert retry_after("Wed, 21 Oct 2025 07:00:00 GMT", now) == 60.0
    assert retry_after("2.5", now) == 2.5
    assert retry_after("soon", now) == retry_after("", now) == 0.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"tokenizer_model": "x"}, "tokenizer_model is not for dialect: chat"),
        ({"max_model_len": 512}, "max_model_len is not for dialect: chat"),
        ({"extra_body": {"seed": 1}}, "extra_body must not hold seed"),
        ({"dialect": "auto", "logprobs": True}, "logprobs is for dialect: chat"),
        ({"dialect": "vllm", "extra_body": {"a": 1}}, "extra_body is for dialect: chat"),
    ],
)
def test_settings_that_mean_nothing_are_refused_before_anything_is_asked(settings, said):
    with pytest.raises(ValueError, match=said):
        engine_of(["http://127.0.0.1:9"], **settings)


@pytest.mark.parametrize("server", [{}, {"listed": ()}, {"root": "", "listed": ()}])
def test_auto_does_not_fall_to_chat_but_says_how_to_ask_for_it(server):
    async def go(**settings):
        async with listening(ChatStandIn(**settings)) as urls:  # type: ignore[arg-type]
            await engine_of(urls, dialect="auto").start()

    with pytest.raises(ModelError, match="it takes chats: set dialect: chat"):
        asyncio.run(go(**server))
    with pytest.raises(ModelError, match=r"llama\.cpp does$"):
        asyncio.run(go(root="/v7"))
