"""A model that dies or falls silent is started anew, whatever its calls were at."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tts_bench.concurrency.threads import ended
from tts_bench.concurrency.upkeep import KeptModel, Upkeep
from tts_bench.errors import EngineDied, EngineError, ModelError, ModelLost, VerifierError


class Model:
    """Answers unless it is dead; `close` fails what waits for it, as an engine does."""

    def __init__(self) -> None:
        self.starts, self.dead, self.waiting = 0, False, list[asyncio.Future[str]]()
        self.says = list[str]()

    def kept(self, **upkeep: Any) -> KeptModel[str]:
        return KeptModel("the model", Upkeep(**upkeep), self.start, self.close, self.says.append)

    async def start(self) -> str:
        self.starts, self.dead = self.starts + 1, False
        return "same"

    async def close(self) -> None:
        for one in self.waiting:
            if not one.done():
                one.set_exception(EngineError("the engine was closed"))

    async def wait(self) -> str:
        """Waits in the first life, answers in later ones."""
        if self.starts > 1:
            return "answered"
        self.waiting.append(asyncio.get_running_loop().create_future())
        return await self.waiting[-1]

    async def die(self) -> str:
        if self.starts > 1:
            return "revived"
        raise EngineDied("gone")


def run(work: Callable[[KeptModel[str]], Awaitable[Any]], model: Model, **upkeep: Any) -> Any:
    async def go() -> Any:
        kept = model.kept(**upkeep)
        await kept.start()
        try:
            return await work(kept)
        finally:
            await kept.close()

    return asyncio.run(asyncio.wait_for(go(), 60))


def test_calls_in_flight_are_made_again_though_they_failed_otherwise():
    model = Model()

    async def work(kept: KeptModel[str]) -> list[str]:
        return await asyncio.gather(
            *(kept.call(model.wait) for _ in range(3)), *(kept.call(model.die) for _ in range(3))
        )

    assert run(work, model) == ["answered"] * 3 + ["revived"] * 3
    assert model.starts == 2
    assert model.says == ["the model died: gone; it is started anew (1 of 2)"]


def test_an_error_of_one_call_is_that_calls():
    async def fail() -> str:
        raise EngineError("too long")

    model = Model()
    with pytest.raises(EngineError, match="too long"):
        run(lambda kept: kept.call(fail), model)
    assert model.starts == 1


@pytest.mark.parametrize("hidden", [ConnectionResetError("peer"), EOFError(), EngineDied("gone")])
def test_a_death_is_seen_within_the_error_that_was_made_of_it(hidden: Exception):
    async def translate() -> str:
        if model.starts > 1:
            return "revived"
        try:
            raise hidden
        except Exception as error:
            raise VerifierError("cannot be scored") from error

    model = Model()
    assert run(lambda kept: kept.call(translate), model) == "revived"


def test_the_loss_of_another_model_is_no_death_of_this_one():
    async def ask_the_other() -> str:
        try:
            raise ModelLost("the other is gone")
        except ModelLost as error:
            raise VerifierError("cannot be scored") from error

    model = Model()
    with pytest.raises(ModelLost, match="the other"):
        run(lambda kept: kept.call(ask_the_other), model)
    assert model.starts == 1


def test_one_that_comes_back_as_another_model_is_lost():
    class Other(Model):
        async def start(self) -> str:
            await super().start()
            return str(self.starts)

    model = Other()
    with pytest.raises(ModelLost, match=r"another model than before .*1 time;"):
        run(lambda kept: kept.call(model.die), model, restarts=1)


def test_silence_counts_from_the_last_answer_of_any_call():
    """Five calls that answer one after the other take longer than the limit, which is kept."""

    async def work(kept: KeptModel[str]) -> list[str]:
        turn = asyncio.Lock()

        async def slowly() -> str:
            async with turn:
                await asyncio.sleep(0.8)
                return "late"

        return await asyncio.gather(*(kept.call(slowly) for _ in range(5)))

    model = Model()
    assert run(work, model, request_timeout=3) == ["late"] * 5
    assert model.starts == 1


def test_a_dead_model_that_cannot_be_closed_holds_nobody_up(monkeypatch):
    monkeypatch.setattr("tts_bench.concurrency.upkeep._CLOSING", 0.05)

    class Stuck(Model):
        async def close(self) -> None:
            await asyncio.sleep(3600)

    model = Stuck()
    assert run(lambda kept: kept.call(model.die), model) == "revived"


def test_leaving_the_process_at_the_start_is_an_error_of_the_model():
    class Leaves(Model):
        async def start(self) -> str:
            raise SystemExit(3)

    with pytest.raises(
        ModelError, match=r"the model could not be started: it called sys.exit\(3\)"
    ):
        run(lambda kept: kept.call(Leaves().wait), Leaves())


def test_to_wait_for_a_thread_that_hangs_can_be_given_up():
    async def go() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ended(thread), 0.05)
        stop.set()
        await ended(thread)

    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, daemon=True)
    thread.start()
    asyncio.run(go())
    assert not thread.is_alive()
