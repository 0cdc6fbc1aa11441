"""Several vLLM engines in one process, each with its thread: they take turns and end together.

On a CPU the core of an engine runs in this process. What vLLM knows of a forward pass is global
there, so no two may run at once; and shutting one engine down destroys the process groups that
the others use, so those that are closed first wait for the last one. Engines whose core is a
process of its own (the GPU's way) share nothing and are not held up.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vllm.v1.engine.llm_engine import LLMEngine

_next = threading.Lock()
_turn = threading.Lock()
_open: set[int] = set()
_closed: list[LLMEngine] = []


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """While this is held, no other engine of the process loads, computes or ends.

    Whoever waits is next: a thread that steps in a loop cannot shut another one out.
    """
    with _next:
        _turn.acquire()
    try:
        yield
    finally:
        _turn.release()


def opened(engine: LLMEngine) -> None:
    """Count an engine that was loaded, within its `turn`."""
    if _runs_here(engine):
        _open.add(id(engine))


def step(engine: LLMEngine) -> list[Any]:
    """One step of an engine, in its turn."""
    if not _runs_here(engine):
        return engine.step()
    with turn():
        return engine.step()


def retire(engine: LLMEngine) -> None:
    """Shut an engine down; where another one of this process is open, once that is closed."""
    if not _runs_here(engine):
        engine.engine_core.shutdown()
        return
    with turn():
        _open.discard(id(engine))
        _closed.append(engine)
        while _closed and not _open:
            _closed.pop().engine_core.shutdown()


def _runs_here(engine: LLMEngine) -> bool:
    return not hasattr(engine.engine_core, "resources")
