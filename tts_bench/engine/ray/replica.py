"""A replica on Ray: an actor in a placement group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import tts_bench
from tts_bench.engine.base import EngineInfo
from tts_bench.engine.huggingface import HuggingFaceTokenizer
from tts_bench.engine.ray.actor import Ready
from tts_bench.engine.ray.cluster import listed, said
from tts_bench.engine.ray.pool import Prompted, ReplicaLost
from tts_bench.errors import EngineDied, EngineError, ModelError

CALLS = 1 << 16
"""Requests that an actor may have at once: the engine in it batches them as it can."""
LOOK_EVERY = 0.5
"""Seconds after which waiting for room may end because a call was cancelled."""
CARRIED = ("VLLM_", "OMP_NUM_THREADS")
"""Beginnings of the names of variables that a replica gets from here: they decide what is drawn."""


@dataclass(frozen=True)
class RayReplica:
    """A started actor."""

    actor: Any
    group: Any
    ready: Ready
    info: EngineInfo

    @property
    def where(self) -> str:
        """The machine it is on."""
        return self.ready.where

    async def tokenizer(self) -> HuggingFaceTokenizer:
        """Its model's. Raises ModelError if it cannot be had."""
        found = await ask(self.actor.tokenizer)
        if isinstance(found, ModelError):
            raise found
        tokenizer: HuggingFaceTokenizer = found
        return tokenizer

    async def generate(self, request: Prompted) -> Any:
        """What is answered to a request there; cancelling the call cancels it there too.

        Raises EngineError if it is refused, ReplicaLost if actor, worker or machine is gone.
        """
        outcome = await ask(self.actor.generate, request)
        if isinstance(outcome, EngineDied):
            raise ReplicaLost(f"its engine died: {outcome}")
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    def kill(self) -> None:
        """End the actor and free its place."""
        end(self.actor, self.group)


@dataclass(frozen=True)
class RayLauncher:
    """Starts replicas of one model."""

    actor: type[Any]
    """Class of the actors: they have `start` and `generate`."""
    model: str
    """As the user calls it."""
    settings: Mapping[str, Any]
    """What each actor is made with."""
    bundle: Mapping[str, float]
    """What each takes of a machine."""
    variables: Mapping[str, str] = field(default_factory=lambda: carried(os.environ))

    async def __call__(self, patience: float | None, placed: Callable[[], None]) -> RayReplica:
        """A replica that is ready, see `Launch`."""
        from ray.util.placement_group import placement_group

        group = placement_group([dict(self.bundle)], strategy="STRICT_PACK")
        actor = None
        try:
            await self._placed(group, patience)
            placed()
            actor = self._actor(group)
            ready = await ask(actor.start)
            if isinstance(ready, ModelError):
                raise ready
            if ready.version != tts_bench.__version__:
                raise ModelError(
                    f"{ready.where} has tts-bench {ready.version}, and here it is"
                    f" {tts_bench.__version__}"
                )
        except BaseException as error:
            end(actor, group)
            if isinstance(error, EngineError):  # what is no error of the model's own
                raise ModelError(f"a replica could not be started: {error}") from error
            raise
        return RayReplica(actor, group, ready, replace(ready.info, model=self.model))

    async def _placed(self, group: Any, patience: float | None) -> None:
        """Wait until the group has its place. Raises ModelError after `patience` seconds."""
        try:
            async with asyncio.timeout(patience):
                while not await asyncio.to_thread(group.wait, LOOK_EVERY):
                    pass
        except TimeoutError as error:
            raise ModelError(
                f"there is no room for a replica: each takes {listed(self.bundle)} of one machine,"
                f" and that was not free for {patience:g} s (settings: replicas, patience)"
            ) from error

    def _actor(self, group: Any) -> Any:
        import ray
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        others = {k: v for k, v in self.bundle.items() if k not in ("CPU", "GPU", "memory")}
        return (
            ray.remote(self.actor)
            .options(
                num_cpus=self.bundle.get("CPU", 0),
                num_gpus=self.bundle.get("GPU", 0),
                memory=self.bundle.get("memory"),
                resources=others,
                max_concurrency=CALLS,
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=0, placement_group_capture_child_tasks=True
                ),
                runtime_env={"env_vars": dict(self.variables)},
            )
            .remote(dict(self.settings))
        )


async def ask(method: Any, *arguments: Any) -> Any:
    """What a method of an actor answers; cancelling the call cancels it there.

    Raises ReplicaLost if the actor is gone, EngineError for what else Ray or the method raises.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    reference = method.remote(*arguments)
    answer = asyncio.wrap_future(reference.future())
    try:
        # Shielded, for Ray sets a result in any case, and a cancelled future takes none.
        return await asyncio.shield(answer)
    except asyncio.CancelledError:
        answer.add_done_callback(_unheard)
        ray.cancel(reference)
        raise
    except RayTaskError as error:
        raise EngineError(said(error)) from error
    except RayError as error:
        raise ReplicaLost(said(error)) from error


def _unheard(answer: asyncio.Future[Any]) -> None:
    """Take an error that nobody waits for, so that none is reported as forgotten."""
    if not answer.cancelled():
        answer.exception()


def end(actor: Any, group: Any) -> None:
    """Kill an actor, if there is one, and free its place."""
    import ray
    from ray.util.placement_group import remove_placement_group

    # Of what is gone already, or with the whole cluster, there is nothing left to end.
    with contextlib.suppress(ray.exceptions.RayError, ValueError, ConnectionError):
        if actor is not None:
            ray.kill(actor, no_restart=True)
        remove_placement_group(group)


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that go to a replica."""
    return {name: value for name, value in environment.items() if name.startswith(CARRIED)}
