"""Models are opened in order and closed in reverse, whatever happens in between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tts_bench.engine.base import Request
from tts_bench.engine.scripted import ScriptedEngine
from tts_bench.errors import ModelError, ReplayMiss
from tts_bench.progress import Progress
from tts_bench.store.models import open_models
from tts_bench.types import Sampling
from tts_bench.verifier.base import Verifier, VerifierInfo

SAMPLING = Sampling(max_tokens=8)


class Log(list[str]):
    """What happened, in order, to an engine and a verifier."""

    def engine(self) -> ScriptedEngine:
        log = self

        class Logged(ScriptedEngine):
            def settings_key(self):
                return "logged"

            async def start(self):
                log.append("engine started")
                return await super().start()

            async def close(self):
                log.append("engine closed")
                await super().close()

        return Logged(lambda prompt, request: "four")

    def verifier(self, error: Exception | None = None) -> Verifier:
        log = self

        class Logged(Verifier):
            async def start(self, policy):
                log.append("verifier started")
                if error is not None:
                    raise error
                return VerifierInfo("logged")

            async def close(self):
                log.append("verifier closed")

            async def score(self, problem, candidates):
                raise NotImplementedError

        return Logged()


@pytest.fixture
def open_all(tmp_path: Path):
    """Opens engine and verifier, asks the engine once; `stop` is what goes wrong then."""

    async def open_all(log: Log, failure=None, stop: BaseException | None = None, **how):
        async with open_models(tmp_path / "generations.sqlite", Progress("none")) as models:
            engine = await models.engine(log.engine(), **how)
            _, info = await models.verifier("logged", log.verifier(failure), engine, **how)
            if stop is not None:
                raise stop
            done = await engine.generate(Request((1, 2), SAMPLING, 0))
            assert await models.grader.grade("4", ["4"]) == [True]
        return info, done, engine

    return lambda *args, **how: asyncio.run(open_all(*args, **how))


ALL = ["engine started", "verifier started", "verifier closed", "engine closed"]


def test_all_that_was_opened_is_closed_the_last_first(open_all):
    log = Log()
    info, done, engine = open_all(log)
    assert (info.recipe, done.text, engine.hits) == ("logged", "four", 0)
    assert log == ALL


@pytest.mark.parametrize("how", ["failure", "stop"])
def test_it_is_closed_too_if_a_start_or_the_work_fails(open_all, how):
    log = Log()
    with pytest.raises(ModelError, match="too large"):
        open_all(log, **{how: ModelError("too large")})
    assert log == ALL


def test_a_replay_starts_nothing_and_recalls_what_was_made(open_all):
    open_all(Log())
    log = Log()
    _, done, engine = open_all(log, replay=True)
    assert (done.text, engine.hits, log) == ("four", 1, [])


def test_a_replay_of_what_was_never_made_is_told(open_all):
    with pytest.raises(ReplayMiss, match="nothing was ever recorded with logged"):
        open_all(Log(), replay=True)
