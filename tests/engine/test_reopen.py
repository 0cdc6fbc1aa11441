"""Going on behind a marker that was taken back: on strings, and on a real tokenizer and model."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from transformers_runs import run

from tts_bench.cost.ledger import Budget, Ledger, Meter
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.reopen import reopen
from tts_bench.engine.stop_strings import StopStrings
from tts_bench.engine.transformers import TransformersEngine
from tts_bench.prompt import Prompt
from tts_bench.store.generations import GenerationStore
from tts_bench.strategy.session import Session
from tts_bench.suite.registry import STRATEGIES, Registry
from tts_bench.types import Candidate, Problem, Sampling
from tts_bench.verifier.confidence import ConfidenceVerifier

PROBLEM = Problem("p", "1 plus 2")
END = 2
"""The end-of-turn token of the tiny model; 1 is the special token `<|start|>`."""
WORDS = ["", "a ", "b", "x.</", "think", ">", ">\n", "</", "\n\n", "</think>", "<", "end "]


def words(ids: tuple[int, ...]) -> str:
    return "".join(WORDS[i] for i in ids)


def spelt(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


@pytest.mark.parametrize(
    ("ids", "tokens", "rest"),
    [
        ((1, 2, 9), 2, ""),  # a token of its own
        ((1, 7, 4, 5), 1, ""),  # several tokens
        ((1, 3, 4, 5), 1, "x."),  # the first of several begins with other text
        ((1, 7, 4, 6), 1, "\n"),  # the last ends with other text
        ((1, 3, 4, 6), 1, "x.\n"),  # both
        ((9, 1, 9), 2, ""),  # only the last of two
    ],
)
def test_a_whole_marker_goes_and_all_other_text_stays(ids, tokens, rest):
    left = reopen(ids, ("</think>",), True, show=words, plain=words, encode=spelt)
    assert (left.tokens, left.rest, left.rest_ids) == (tokens, rest, spelt(rest))
    before, _, after = words(ids).rpartition("</think>")
    assert words(ids[: left.tokens]) + left.rest == before + after
    assert left.characters == len(words(ids[:tokens]))


@pytest.mark.parametrize(
    ("ids", "tokens", "rest"),
    [
        ((1, 7, 4), 1, ""),
        ((1, 7), 1, ""),
        ((1, 3, 4), 1, "x."),
        ((1, 2), 2, ""),
        ((9, 1), 2, ""),  # a whole one further up is no half at the end
        ((1, 11), 2, ""),
    ],
)
def test_of_a_marker_that_was_cut_off_the_written_half_goes(ids, tokens, rest):
    left = reopen(ids, ("</think>", "###"), False, show=words, plain=words, encode=spelt)
    assert (left.tokens, left.rest) == (tokens, rest)


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny_model_dir)


def test_a_real_tokenizer_loses_no_text_wherever_the_marker_stands(tokenizer: Any) -> None:
    text = "3 plus 4 equals 7.\n\nüber 10 €, naïve 東京 equals"
    ids = tuple(tokenizer(text)["input_ids"])
    for begin in range(len(text)):
        for end in range(begin + 1, len(text) + 1):
            count = next(
                n for n in range(1, len(ids) + 1) if text[:end] == tokenizer.decode(ids[:n])[:end]
            )
            written, marker = ids[:count], text[begin:end]
            left = HuggingFaceTokenizer(tokenizer).reopen((), written, (marker,), True)
            before, _, after = tokenizer.decode(written).rpartition(marker)
            now = (*written[: left.tokens], *left.rest_ids)
            assert tokenizer.decode(now) == before + after
            assert tokenizer.decode(written[: left.tokens]) == text[: left.characters]


def test_a_special_token_is_found_where_a_stop_string_names_it(tokenizer: Any) -> None:
    ids = [*tokenizer("3 plus")["input_ids"], 1, *tokenizer("4")["input_ids"]]
    marker = "<|start|>4"
    port = HuggingFaceTokenizer(tokenizer)
    assert port.names_special((marker,))
    assert not port.names_special(("start", "\n\n"))
    assert StopStrings(port, (marker,), special=True).found(ids) == marker
    left = port.reopen((), tuple(ids), (marker,), True)
    assert ids[: left.tokens] == tokenizer("3 plus")["input_ids"]
    assert (left.characters, left.rest) == (len("3 plus"), "")


Body = Callable[[Session], Awaitable[Any]]


def session_on(engine: Any, **sampling: Any) -> Session:
    return Session(
        Prompt().dialogue(PROBLEM, engine.tokenizer),
        engine=engine,
        verifier=ConfidenceVerifier(),
        ledger=Ledger(Meter(None), Meter(None, has_model=False), Budget()),
        sampling=Sampling(**{"max_tokens": 60, **sampling}),
        seed=4,
        canonicalize=_same,
    )


def in_session(folder: Path, body: Body, **sampling: Any) -> Any:
    """Run `body` with a session on the tiny model."""
    return run(folder, lambda engine: body(session_on(engine, **sampling)))


async def _same(answers: Any) -> list[str]:
    await asyncio.sleep(0)
    return list(answers)


def text_of(tokenizer: Any, candidate: Candidate) -> str:
    """The text of the candidate's tokens, decoded behind those of its prompt."""
    prompt = tokenizer.decode(candidate.prompt_ids, skip_special_tokens=True)
    ids = [*candidate.prompt_ids, *candidate.token_ids]
    whole: str = tokenizer.decode(ids, skip_special_tokens=True)
    assert whole.startswith(prompt)
    return whole[len(prompt) :]


def thought(tokenizer: Any, folder: Path) -> Candidate:
    """A text of the model's, of which the tests choose markers."""

    async def body(session: Session) -> Candidate:
        return (await session.sample(1, max_tokens=60))[0]

    found: Candidate = in_session(folder, body)
    return found


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_model_goes_on_behind_what_it_was_made_to_take_back(
    tokenizer: Any, endless: Path, tokens: int
) -> None:
    whole = thought(tokenizer, endless)
    markers = [tokenizer.decode(whole.token_ids[i : i + tokens]) for i in range(2, 50)]
    markers = [one for one in markers if one and "\N{REPLACEMENT CHARACTER}" not in one][:12]
    assert len(set(markers)) > 2

    async def body(engine: TransformersEngine) -> list[tuple[Candidate, Candidate]]:
        pairs = []
        for marker in markers:
            session = session_on(engine)
            [first] = await session.sample(1, stop=(marker,))
            [more] = await session.extend([first], inject="Wait", drop_stop=True, max_tokens=9)
            pairs.append((first, more))
        return pairs

    for marker, (first, more) in zip(markers, run(endless, body), strict=True):
        assert first.stop == marker
        before, _, after = first.text.rpartition(marker)
        assert more.text.startswith(before + after + "Wait")
        assert more.text == text_of(tokenizer, more)
        assert more.generated_tokens == len(first.token_ids) + 9


def test_the_end_of_a_turn_is_taken_back_too(tokenizer: Any, tiny_model_dir: Path) -> None:
    async def body(session: Session) -> list[Candidate]:
        drawn = await session.sample(8, max_tokens=400, temperature=1.5)
        ended = [one for one in drawn if one.finished]
        more = await session.extend(ended, inject="Wait", drop_stop=True, max_tokens=5)
        return [*ended, *more]

    both = in_session(tiny_model_dir, body)
    ended, more = both[: len(both) // 2], both[len(both) // 2 :]
    assert ended
    for first, second in zip(ended, more, strict=True):
        assert first.token_ids[-1] == END
        kept = len(first.token_ids) - 1
        assert second.token_ids[:kept] == first.token_ids[:-1]
        assert END not in second.token_ids[:-5]
        assert second.text.startswith(first.text + "Wait")
        assert second.text == text_of(tokenizer, second)


def test_a_special_token_is_taken_back_too(tokenizer: Any, endless: Path) -> None:
    async def body(session: Session) -> list[Candidate]:
        drawn = await session.sample(16, max_tokens=300, temperature=2.0, stop=("<|start|>",))
        stopped = [one for one in drawn if one.stop]
        return [*stopped, *await session.extend(stopped, inject="Wait", drop_stop=True)]

    both = in_session(endless, body, max_tokens=3)
    stopped, more = both[: len(both) // 2], both[len(both) // 2 :]
    assert stopped
    for first, second in zip(stopped, more, strict=True):
        assert first.token_ids[-1] == 1
        assert second.token_ids[: len(first.token_ids) - 1] == first.token_ids[:-1]
        assert 1 not in second.token_ids[:-3]


@pytest.mark.parametrize("tokens", [1, 4])
def test_budget_forcing_on_a_model(tokenizer: Any, endless: Path, tokens: int) -> None:
    whole = thought(tokenizer, endless)
    places = range(4, 40)
    marker = next(
        text
        for place in places
        if "\N{REPLACEMENT CHARACTER}"
        not in (text := tokenizer.decode(whole.token_ids[place : place + tokens]))
        and len(text) >= tokens
    )
    strategy = Registry().load(STRATEGIES, "budget_forcing")(
        end_of_thinking=marker,
        waits=1,
        max_thinking_tokens=70,
        max_answer_tokens=12,
    )
    solution = in_session(endless, lambda session: strategy.solve(PROBLEM, session))
    [candidate] = solution.candidates
    assert solution.facts["waits"] == 1
    assert solution.facts["thinking_tokens"] <= 70
    assert candidate.text == text_of(tokenizer, candidate)
    assert "Wait" in candidate.text


def test_a_users_next_turn_stands_behind_the_models_exact_tokens(
    tokenizer: Any, tiny_model_dir: Path
) -> None:
    async def body(session: Session) -> list[Candidate]:
        drawn = await session.sample(6, max_tokens=400, temperature=1.5)
        return [*drawn, *await session.extend(drawn, reply="Look again.", max_tokens=7)]

    both = in_session(tiny_model_dir, body)
    turn = "<|end|>\n<|start|>user\nLook again.<|end|>\n<|start|>assistant\n"
    for first, second in zip(both[:6], both[6:], strict=True):
        said = first.token_ids[:-1] if first.finished else first.token_ids
        assert second.token_ids[: len(said)] == said
        added = second.token_ids[len(said) : len(second.token_ids)]
        assert tokenizer.decode(added).startswith(turn)
        assert second.text == text_of(tokenizer, second)


def test_a_replay_needs_no_tokenizer(endless: Path, tmp_path: Path) -> None:
    from tts_bench.engine.cached import CachedEngine

    async def solve(engine: Any) -> list[Candidate]:
        session = session_on(engine, max_tokens=20)
        first = await session.sample(2, stop=("e", "a", "1"))
        second = await session.extend(first, inject="Wait", drop_stop=True)
        return [*first, *second, *await session.extend(second, reply="Look again.")]

    async def main(replay: bool) -> list[Candidate]:
        async with GenerationStore(tmp_path / "g.sqlite") as store:
            inner = TransformersEngine(model=str(endless), device="cpu", threads=1)
            engine = CachedEngine(inner, store, replay=replay)
            await engine.start()
            try:
                return await solve(engine)
            finally:
                await engine.close()

    assert asyncio.run(main(replay=False)) == asyncio.run(main(replay=True))
