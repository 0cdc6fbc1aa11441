"""Many calls in flight: their order, their limit, and how they end together."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest

from tts_bench.concurrency.in_flight import in_flight
from tts_bench.errors import EngineError, TtsBenchError


class Crowd:
    """Counts the calls that are made and under way."""

    def __init__(self) -> None:
        self.made = self.now = self.most = self.cancelled = 0

    def calls(self, count: int):
        for number in range(count):
            self.made += 1
            yield self.call(number, (count - number) / 1000)

    async def call(self, number: int, seconds: float) -> int:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return number


async def fail(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(("limit", "most"), [(None, 9), (4, 4), (1, 1), (50, 9)])
def test_results_come_in_order_and_no_more_than_the_limit_are_under_way(limit, most):
    crowd = Crowd()
    assert asyncio.run(in_flight(crowd.calls(9), limit)) == list(range(9))
    assert crowd.most == most


def test_nothing_to_do_is_done():
    assert asyncio.run(in_flight([])) == []
    assert asyncio.run(in_flight(iter(()), 3)) == []


def test_with_a_limit_a_call_is_made_only_when_its_turn_comes():
    crowd = Crowd()

    async def stopped() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await in_flight(_slow(crowd), 2)

    asyncio.run(stopped())
    assert (crowd.made, crowd.cancelled) == (2, 2)


def _slow(crowd: Crowd):
    while True:
        crowd.made += 1
        yield crowd.call(0, 60)


@pytest.mark.parametrize("limit", [None, 3])
def test_the_first_error_is_raised_plain_and_cancels_the_others(limit):
    crowd = Crowd()
    calls = [crowd.call(0, 60), crowd.call(1, 60), fail(EngineError("too long"))]
    with pytest.raises(EngineError, match="too long"):
        asyncio.run(in_flight(calls, limit))
    assert (crowd.now, crowd.cancelled) == (0, 2)


def test_an_error_of_inner_calls_is_raised_plain_too():
    async def outer() -> list[int]:
        return await in_flight([fail(TtsBenchError("deep")), fail(ValueError("late"))])

    with pytest.raises(TtsBenchError, match="deep"):
        asyncio.run(in_flight([outer()]))


def test_a_fault_that_nobody_expected_is_no_group_either():
    with pytest.raises(ValueError, match="a plug-in's"):
        asyncio.run(in_flight([fail(ValueError("a plug-in's"))]))


@pytest.mark.parametrize("limit", [None, 1])
def test_a_call_that_cancels_itself_leaves_no_gap(limit):
    crowd = Crowd()
    calls = [crowd.call(0, 0), fail(asyncio.CancelledError()), crowd.call(2, 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # with one place the last is never awaited
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(in_flight(calls, limit))
        del calls
        gc.collect()
