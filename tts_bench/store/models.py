"""Models behind one generation store: opened in order, and closed whatever happens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tts_bench.answers.grader import Grader
from tts_bench.engine.base import Engine
from tts_bench.engine.cached import CachedEngine
from tts_bench.progress import Progress
from tts_bench.store.generations import GenerationStore
from tts_bench.verifier.base import Verifier, VerifierInfo
from tts_bench.verifier.cached import CachedVerifier


@dataclass(frozen=True)
class OpenModels:
    """A grader, a generation store, and the models that are started after it one by one."""

    grader: Grader
    store: GenerationStore
    progress: Progress
    salt: str
    """Keeps what these models make apart from all else in the store."""
    _stack: contextlib.AsyncExitStack = field(repr=False)

    async def engine(
        self,
        engine: Engine,
        *,
        replay: bool = False,
        kind: type[CachedEngine] = CachedEngine,
        stage: str = "",
    ) -> CachedEngine:
        """Start an engine that remembers; with `replay` it only recalls.

        `kind` is how it remembers, `stage` stands before what progress says of it. Raises as
        `Engine.start` does, and ReplayMiss if nothing was recorded.
        """
        say = self.progress.say
        cached = kind(engine, self.store, replay=replay, salt=self.salt, say=say)
        self._stack.push_async_callback(cached.close)
        loading = "recalling" if replay else "loading"
        name = getattr(engine, "model", "engine")
        async with self.progress.heartbeat(f"{stage}{loading} {name}"):
            await cached.start()
        return cached

    async def verifier(
        self, name: str, verifier: Verifier, policy: Engine, *, replay: bool = False
    ) -> tuple[CachedVerifier, VerifierInfo]:
        """Start a verifier that remembers, and what it says of itself.

        Raises as `Verifier.start` does, and ReplayMiss if nothing was recorded.
        """
        say = self.progress.say
        cached = CachedVerifier(verifier, self.store, replay=replay, salt=self.salt, say=say)
        self._stack.push_async_callback(cached.close)
        loading = "recalling" if replay else "loading"
        async with self.progress.heartbeat(f"{loading} verifier {name}"):
            return cached, await cached.start(policy)


@contextlib.asynccontextmanager
async def open_models(
    generations: Path, progress: Progress, *, salt: str = "", grader: Grader | None = None
) -> AsyncIterator[OpenModels]:
    """Open the grader and the store; at the end everything is closed, the last opened first.

    The grader is one for mathematics unless another is given.
    """
    async with contextlib.AsyncExitStack() as stack:
        grader = await stack.enter_async_context(grader or Grader())
        store = await stack.enter_async_context(GenerationStore(generations))
        yield OpenModels(grader, store, progress, salt, stack)
