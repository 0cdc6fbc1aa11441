from __future__ import annotations

import asyncio
import io

import pytest

from tts_bench import progress
from tts_bench.progress import Progress


def test_plain_lines_tell_attempts_tokens_failures_and_time_left(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    stream = io.StringIO()
    shown = Progress("auto", stream)  # no terminal: lines
    shown.start(total=4, done=1)
    shown.advance(failed=False, tokens=10)
    shown.advance(failed=True, tokens=20)
    shown.stop()
    first, second = stream.getvalue().splitlines()
    assert first.startswith("2/4 attempts, ")
    assert "tok/s" in first
    assert "left" in first
    assert second.startswith("3/4 attempts, ")
    assert "1 failed" in second


def test_what_generates_nothing_is_told_without_tokens(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    stream = io.StringIO()
    shown = Progress("plain", stream, unit="problem")
    assert list(shown.passing("reading f", iter("ab"))) == ["a", "b"]
    shown.start(total=2, done=0)
    shown.advance(failed=False, tokens=None)
    shown.stop()
    first, second, third = stream.getvalue().splitlines()
    assert first.startswith("reading f ... 1 rows, ")
    assert second.startswith("reading f ... 2 rows, ")
    assert third.startswith("1/2 problems, about ")


@pytest.mark.parametrize("display", ["plain", "bar"])
def test_tokens_are_told_from_the_first_completion_on_before_an_attempt_ends(monkeypatch, display):
    """The first line comes with the first tokens, and others follow though no attempt ends."""
    monkeypatch.setattr(progress, "_LOOK_EVERY", 0.001)
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    stream = io.StringIO()
    made = 0

    async def until(text: str) -> None:
        for _ in range(50_000):
            if text in stream.getvalue():
                return
            await asyncio.sleep(0.001)

    async def work() -> None:
        nonlocal made
        async with Progress(display, stream).counting(4, 1, lambda: made):
            await asyncio.sleep(0.05)
            assert "tok/s" not in stream.getvalue()
            made = 1500
            await until("1,500 tokens, ")
            made = 2500
            await until("2,500 tokens, ")

    asyncio.run(asyncio.wait_for(work(), 60))
    assert "tok/s" in stream.getvalue()
    if display == "plain":
        assert stream.getvalue().startswith("1/4 attempts, 1,500 tokens, ")
        assert "left" not in stream.getvalue()  # nothing has ended by which that could be told


def test_plain_lines_are_not_printed_for_every_attempt():
    stream = io.StringIO()
    shown = Progress("plain", stream)
    shown.start(total=1000, done=0)
    for _ in range(1000):
        shown.advance(failed=False, tokens=1)
    assert len(stream.getvalue().splitlines()) <= 1


def test_a_bar_counts_what_was_done_before():
    stream = io.StringIO()
    shown = Progress("bar", stream)
    shown.start(total=4, done=2)
    shown.advance(failed=False, tokens=10)
    shown.say("a line above the bar")
    shown.stop()
    assert "3/4" in stream.getvalue()
    assert "a line above the bar" in stream.getvalue()


def test_none_is_silent():
    stream = io.StringIO()
    shown = Progress("none", stream)
    shown.start(total=1, done=0)
    shown.advance(failed=True, tokens=1)
    shown.say("nothing")
    shown.stop()
    assert stream.getvalue() == ""


def test_a_heartbeat_says_again_that_something_long_is_under_way(monkeypatch):
    monkeypatch.setattr(progress, "_HEARTBEAT_EVERY", 0.01)
    stream = io.StringIO()

    async def load() -> None:
        async with Progress("plain", stream).heartbeat("loading a model"):
            await asyncio.sleep(0.5)

    asyncio.run(load())
    said = stream.getvalue().splitlines()
    assert len(said) >= 3
    assert all(line.startswith("loading a model ...") for line in said)


def test_a_heartbeat_ends_with_what_failed():
    async def load() -> None:
        async with Progress("none").heartbeat("loading"):
            raise RuntimeError("no such model")

    with pytest.raises(RuntimeError, match="no such model"):
        asyncio.run(load())
